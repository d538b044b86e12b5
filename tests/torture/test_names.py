"""Hostile names in pages, tables and folders, and that what looks at them sees."""

import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glia.data.formulas import armed, disarmed
from glia.errors import GliaError
from glia.runs.folder import RunFolder, check_name, plain_name
from torture import names


def test_names_stay_text_and_lead_nowhere(tmp_path: Path) -> None:
    result = names.run(200, tmp_path, lambda line: None)
    assert result.tried == 200 and not result.failed, "\n".join(result.failed[:20])


@pytest.mark.parametrize(
    "part",
    [
        "<script>1</script>", "<img src=x onerror=alert(1)>", "<a href='javascript:alert(1)'>", "<iframe></iframe>",
        "<p style='x'>", "<img src='http://x/y.png'>", "<base href='//x'>", "51317",
    ],
)  # fmt: skip
def test_a_page_that_could_act_is_seen(part: str) -> None:
    policy = "default-src 'none'; img-src data:; style-src 'sha256-x'"
    page = f'<meta http-equiv="Content-Security-Policy" content="{policy}"><p>fine</p>'
    assert not list(names.page_faults(page))
    assert list(names.page_faults(page + part))
    assert list(names.page_faults("<p>fine</p>"))


def test_a_table_that_could_act_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = names.drawn(names.FORMULAS, 20, random.Random(0))
    assert not list(names.table_faults(cells, tmp_path / "a"))
    monkeypatch.setattr("glia.predict.rows.disarmed", lambda cells: cells)
    assert list(names.table_faults(cells, tmp_path / "b"))


@given(st.lists(st.text(alphabet="=+-@'\t\r\n＝a1.e ") | st.text()))
def test_a_text_comes_back_as_it_was(texts: list[str]) -> None:
    cells = pl.Series("c", texts, dtype=pl.String)
    assert armed(disarmed(cells)).to_list() == texts
    for text in disarmed(cells).to_list():
        assert (
            text[:1] not in set("=+-@\t\r\n＝")
            or text.lstrip("+-").replace(".", "").lower().strip("e+-0123456789") == ""
        )


@pytest.mark.parametrize(
    "name", ["..", "CON", "nul.txt", "com1", "a.", "", "a/b", "a\0b", "x" * 300, "%2e%2e", "\u202ea", "-a"]
)
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(GliaError):
        check_name(name)
    with pytest.raises(GliaError):
        RunFolder.create(tmp_path, name)
    check_name(plain_name(name))

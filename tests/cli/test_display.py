"""What the terminal calls measures."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from glia.cli.display import results
from glia.report.words import measure_name
from glia.workbench import prepare as room
from glia.workbench.prepare import prepare


def test_figures_and_their_errors_have_names_that_people_read() -> None:
    metrics = {"test": {"cer": 0.1, "cer_error": 0.01, "right_texts": 0.5}, "baselines": []}
    out = io.StringIO()
    Console(file=out, width=200).print(results(metrics, "test"))
    assert "± CER" in out.getvalue() and "cer_error" not in out.getvalue() and "cer error" not in out.getvalue()
    assert measure_name("cer_error") == "standard error of the character error rate"


def test_a_source_is_asked_once_whether_it_is_a_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    kind = room.KINDS["corpus"]

    def fits(data: object) -> bool:
        asked.append(data)
        return kind.fits(data)  # type: ignore[arg-type]

    monkeypatch.setitem(room.KINDS, "corpus", room.Kind(fits, kind.prepare, kind.usual))
    (tmp_path / "novel.txt").write_text("It was a dark and stormy night. " * 200)
    found = prepare(tmp_path / "novel.txt")
    assert len(asked) == 1
    assert found.valid is not None and len(found.valid) < 0.09 * len(found.train)  # the corpus's own shares, not 10 %

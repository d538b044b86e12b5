"""The report page: what is on it, and that nothing from data becomes markup."""

import base64
import hashlib
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fake_parts import begin, write_json
from fake_runs import HOSTILE, KINDS, failed, hostile, houses, many_classes, penguins, pictures
from hypothesis import given
from hypothesis import strategies as st

from glia.report.page import render, script_json

VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Elements with their attributes, the text outside scripts and styles, and what scripts and styles hold."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.code: dict[str, list[str]] = {"script": [], "style": []}
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.code:
            self.code[self.open[-1]].append(data)
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def sha256(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_one_closed_page(kind: str, tmp_path: Path) -> None:
    html = render(KINDS[kind](tmp_path / "runs" / kind))
    page = Page(html)
    assert page.open == []
    assert len(html) < 1_000_000
    assert kind in page.text

    scripts = page.all("script")
    assert [script.get("type") for script in scripts] == ["application/json", None]
    assert all(set(script) <= {"type", "id"} for script in scripts)
    assert len(page.all("style")) == 1
    policy = next(meta["content"] or "" for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none';")
    assert f"script-src '{sha256(page.code['script'][1])}'" in policy
    assert f"style-src '{sha256(page.code['style'][0])}'" in policy

    for tag, attributes in page.elements:
        assert tag not in ("iframe", "object", "embed", "base", "form", "foreignobject")
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in ("style", "srcset")
            if name in ("src", "href", "xlink:href"):
                assert (value or "").startswith(("#", "data:image/png;base64,")) or value == "data:,"
    assert "url(" not in page.code["style"][0] and "@import" not in page.code["style"][0]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_read_without_seeing_it(kind: str, tmp_path: Path) -> None:
    page = Page(render(KINDS[kind](tmp_path / kind)))
    assert len(page.all("h1")) == 1
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    assert all(head.get("scope") in ("row", "col") for head in page.all("th"))
    assert all(picture.get("alt") for picture in page.all("img"))
    ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
    assert max(ids.values()) == 1
    labelled = [svg["aria-labelledby"] for svg in page.all("svg") if svg.get("role") == "img"]
    assert all(name in ids for name in labelled)
    anchors = [link["href"] or "" for link in page.all("a")]
    assert all(anchor[1:] in ids for anchor in anchors)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_pointer_shows_belongs_to_a_drawing(kind: str, tmp_path: Path) -> None:
    page = Page(render(KINDS[kind](tmp_path / kind)))
    plots = json.loads(page.code["script"][0])
    assert set(plots) == {svg["data-plot"] for svg in page.all("svg") if "data-plot" in svg}
    for plot in plots.values():
        left, top, right, bottom = plot["box"]
        for line in plot["lines"]:
            assert all(left - 1 <= x <= right + 1 and top - 9 <= y <= bottom + 1 for x, y, _, _ in line["points"])


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    page = Page(render(hostile(tmp_path / "<svg onload=alert(7)>")))
    assert "<svg onload=alert(7)>" in page.text
    for name in HOSTILE:
        assert " ".join(name.split()) in page.text
    assert "51317" not in page.text  # what {{ 7331 * 7 }} would come to
    assert "Confusion" in page.text and "Commonest mistakes" in page.text


@given(
    st.recursive(
        st.text() | st.sampled_from(HOSTILE), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_script_json_reads_back_and_cannot_end_its_element(value: object) -> None:
    text = str(script_json(value))
    assert json.loads(text) == value
    assert not set(text) & set("<>&\u2028\u2029")


def test_a_finished_run_says_what_matters(tmp_path: Path) -> None:
    page = Page(render(penguins(tmp_path / "runs" / "penguins-3")))
    for words in (
        "Predicts species (3 classes) from 6 columns of penguins.csv",
        "Test accuracy", "Do you need a network?", "gradient boosting", "no clear difference",
        "overfitting", "valid loss best 0.131; valid loss last 0.154", "missing regularisation",
        "dropout 0.3: held-out accuracy 0.710 → 0.930", "400 steps, 2 seeds", "Share of zeros behind each layer",
        "Gradient norm", "Confusion", "ROC curve", "Calibration", "record_id", "every row has its own value",
        "11 rows have no value for sex",
        "Biscoe (168), Dream (124)", "Fingerprint", "range test: the loss fell fastest at 0.02",
        "glia train --recipe runs/penguins-3/recipe.toml",
        "glia predict runs/penguins-3 new.csv", "AMD EPYC 9R14", "4,611", "best: epoch 29",
    ):  # fmt: skip
        assert words in page.text.replace("\u00a0", " "), words


def test_a_failed_run_says_where_it_broke(tmp_path: Path) -> None:
    page = Page(render(failed(tmp_path / "broken")))
    assert "Failed" in page.text and "the loss is not finite at step 141" in page.text
    assert "not finite from step 141" in page.text
    assert "Test accuracy" not in page.text and "Do you need a network?" not in page.text


def test_a_run_that_has_just_begun(tmp_path: Path) -> None:
    begin(tmp_path / "new")
    page = Page(render(tmp_path / "new"))
    assert "Not finished" in page.text and "glia resume" in page.text
    assert "Training" not in page.text


def test_an_empty_folder_still_has_a_page(tmp_path: Path) -> None:
    page = Page(render(tmp_path))
    assert "State unknown" in page.text and tmp_path.name in page.text


@pytest.mark.parametrize("removed", ["metrics.json", "curves.json", "data.json", "chart.jsonl", "model/task.json"])
def test_any_part_may_be_missing(removed: str, tmp_path: Path) -> None:
    whole = len(render(penguins(tmp_path / "whole")))
    folder = penguins(tmp_path / "part")
    (folder / removed).unlink()
    assert len(render(folder)) < whole


@pytest.mark.parametrize(
    "name", ["metrics.json", "curves.json", "data.json", "recipe.toml", "predictions/test.safetensors"]
)
@pytest.mark.parametrize("damage", [b"", b'{"a": [1, 2', b"\xff\xfe\x00", b"[" * 100_000, b"[1, 2]"])
def test_a_damaged_file_is_named(name: str, damage: bytes, tmp_path: Path) -> None:
    folder = penguins(tmp_path / "run")
    (folder / name).write_bytes(damage)
    if not (name == "recipe.toml" and damage == b""):  # an empty recipe is valid TOML
        assert name in Page(render(folder)).text


def test_values_of_the_wrong_kind_do_not_stop_the_page(tmp_path: Path) -> None:
    folder = penguins(tmp_path / "run")
    for name in ("metrics.json", "curves.json", "data.json", "machine.json", "status.json", "model/task.json"):
        given = json.loads((folder / name).read_text())
        for wrong in (None, 3, [1], {"a": "b"}):
            write_json(folder, name, dict.fromkeys(given, wrong))
            assert Page(render(folder)).open == []
        write_json(folder, name, given)


def test_pictures_are_drawn_anew_and_only_from_the_run(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "runs" / "shapes")
    assert len(Page(render(folder)).all("img")) == 9
    outside = tmp_path / "secret.png"
    (folder / "predictions/worst/0.png").rename(outside)
    (folder / "predictions/worst/1.png").write_bytes(b"<svg onload=alert(1)>")
    worst = json.loads((folder / "predictions/worst.json").read_text())
    worst[0]["picture"] = "../../../secret.png"
    worst[2]["picture"] = str(outside)
    write_json(folder, "predictions/worst.json", worst)
    assert len(Page(render(folder)).all("img")) == 6


def test_many_classes_and_targets_stay_readable(tmp_path: Path) -> None:
    many = Page(render(many_classes(tmp_path / "many", classes=60)))
    assert "Commonest mistakes" in many.text and "By class, the worst first" in many.text
    assert "Rows: the truth." not in many.text
    several = Page(render(houses(tmp_path / "several", targets=3)))
    assert "Each target of the network" in several.text and "Errors of rooms" in several.text


def test_the_page_is_the_same_every_time(tmp_path: Path) -> None:
    folder = penguins(tmp_path / "run")
    assert render(folder) == render(folder)

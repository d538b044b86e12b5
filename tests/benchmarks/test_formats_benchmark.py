"""The benchmark of number formats: its interval is Student's, its verdict what was settled, a cut run goes on."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from scipy.stats import ttest_rel

from benchmarks import formats
from benchmarks.formats import Gap
from glia.data.batches import Batches
from glia.data.facts import ImageFacts


def test_the_interval_is_that_of_paired_differences() -> None:
    ours, theirs = [1.0, 2.5, 2.0, 4.0], [0.5, 2.0, 2.5, 3.0]
    gap, expected = Gap.of(ours, theirs), ttest_rel(ours, theirs).confidence_interval(0.95)
    assert (gap.low, gap.high) == pytest.approx((expected.low, expected.high))
    assert gap.mean == pytest.approx(0.375)
    assert Gap.of([1.0, 2.0], [1.0, 2.0]) == Gap(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("gap", "better", "equal"),
    [
        (Gap(0.1, -0.1, 0.3), -1, True),
        (Gap(0.2, 0.1, 0.3), -1, False),  # a higher loss, and not by chance
        (Gap(0.2, 0.1, 0.3), 1, True),  # a higher accuracy
        (Gap(-0.2, -0.3, -0.1), 1, False),
        (Gap(0.6, -0.1, 1.3), -1, False),  # larger than what seeds do
    ],
)
def test_the_verdict(gap: Gap, better: int, equal: bool) -> None:
    assert gap.equal(better, spread=0.5) == equal


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> formats.Work:
    def rows(work: formats.Work) -> tuple[Batches, Batches, ImageFacts]:
        drawn = torch.Generator().manual_seed(0)
        x = torch.randint(256, (96, 1, 28, 28), generator=drawn, dtype=torch.uint8)
        y = (x[:, 0, :14].float().mean((1, 2)) > x[:, 0, 14:].float().mean((1, 2))).long()
        train, valid = (Batches(x[part], y[part], torch.arange(48)) for part in (slice(48), slice(48, None)))
        return train, valid, ImageFacts(1, 28, 28, (0.5,), (0.3,), 48)

    monkeypatch.setattr(formats, "rows_of", rows)
    monkeypatch.setattr(formats, "KEPT", tmp_path / "formats.jsonl")
    return dataclasses.replace(formats.WORKS["dense"], rows=48, valid=48, epochs=2)


def test_trainings_are_paired_and_kept(few: formats.Work) -> None:
    found = formats.measured("dense", few, 2)
    float32, bfloat16 = (formats.at(found[form], 0, "train_loss") for form in ("float32", "bfloat16"))
    assert float32 != bfloat16
    assert bfloat16 == pytest.approx(float32, rel=0.02)  # the same weights and rows; other seeds are further away
    assert len(formats.KEPT.read_text().splitlines()) == 6
    lines = formats.KEPT.read_text().splitlines()
    formats.KEPT.write_text("\n".join(lines[:-1]) + "\n")  # cut before the last one
    again = formats.measured("dense", few, 2)
    assert len(formats.KEPT.read_text().splitlines()) == 6
    assert [one["epochs"] for one in again["control"]] == [one["epochs"] for one in found["control"]]
    assert again["float32"] == found["float32"]


def test_other_settings_are_made_anew(few: formats.Work) -> None:
    formats.measured("dense", few, 1)
    formats.measured("dense", dataclasses.replace(few, lr=0.01), 1)
    kept = [json.loads(line) for line in formats.KEPT.read_text().splitlines()]
    assert [one["settings"]["lr"] for one in kept] == [1e-3] * 3 + [0.01] * 3


def test_the_page_says_what_was_found(few: formats.Work) -> None:
    found = formats.measured("dense", few, 2)
    text = formats.page(formats.section("dense", few, found))
    assert text.count("| valid accuracy |") == few.epochs
    passed, why = formats.verdict(found, "bfloat16")
    assert why in text
    assert why.startswith("bfloat16 equal" if passed else "bfloat16 NOT SHOWN EQUAL")

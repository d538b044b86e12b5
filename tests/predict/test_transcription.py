"""Texts from sounds: error rates by hand, and one run whose network learns to name tones."""

import csv
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import glia
from glia.errors import GliaError
from glia.predict.transcription import error_rates
from tests.data.sounds import tone, write

TONES = {"a": 500, "b": 1200, "c": 2600}


def test_error_rates_by_hand() -> None:
    """One of four signs wrong, one word of two; then all right: 1 of 9 signs, 1 of 4 words, 1 of 2 texts."""
    found = error_rates([("a cd", "b cd"), ("ab cd", "ab cd")])
    assert found["cer"] == pytest.approx(1 / 9) and found["wer"] == pytest.approx(1 / 4)
    assert found["right_texts"] == 0.5
    assert error_rates([("x y z", "x")])["wer"] == 2.0  # more can be put in than was said


def spoken(text: str, seed: int) -> np.ndarray:
    """A tone for each letter, a pause for each space."""
    dice = np.random.default_rng(seed)
    pieces = []
    for sign in text:
        long = float(dice.uniform(0.08, 0.14))
        pieces += [tone(TONES[sign], long) if sign in TONES else np.zeros(round(0.2 * 8000), np.float32)]
        pieces.append(np.zeros(480, np.float32))
    wave = np.concatenate(pieces)
    return (wave + 0.01 * dice.normal(size=len(wave))).astype(np.float32)


def speeches(root: Path, rows: int = 240) -> Path:
    dice = np.random.default_rng(0)
    lines = []
    for i in range(rows):
        text = " ".join("".join(dice.permutation(list("abc"))[: dice.integers(1, 4)]) for _ in range(2))
        write(root / "clips" / f"{i}.wav", spoken(text, i))
        lines.append([f"clips/{i}.wav", text])
    with (root / "speeches.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "text"], *lines])
    return root / "speeches.csv"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> glia.Run:
    root = tmp_path_factory.mktemp("speech")
    return glia.train(
        speeches(root), target="text", runs=root, epochs=14, width=48, depth=1, augment="none", lr=4e-3, batch_size=8,
        tell=lambda line: None,
    )  # fmt: skip


def test_a_network_learns_to_write_tones_down(run: glia.Run) -> None:
    test, beside = run.metrics["test"], run.metrics["baselines"][0]["test"]
    assert test["cer"] < 0.1 < beside["cer"] and test["wer"] < 0.3
    worst = json.loads((run.folder / "predictions" / "worst.json").read_text())
    assert worst[0]["name"].startswith("clips/") and worst[0]["loss"] >= worst[-1]["loss"]
    page = (run.folder / "report.html").read_text()
    assert "character error rate" in page and "the text that is said" in page


def test_new_sounds_become_texts(run: glia.Run, tmp_path: Path) -> None:
    write(tmp_path / "one.wav", spoken("ab ca", 1000))
    write(tmp_path / "two.wav", spoken("cb b", 1001))
    found = run.predict(tmp_path)
    assert found.columns == ["file", "start_s", "end_s", "text"] and found["file"].to_list() == ["one.wav", "two.wav"]
    assert found["text"].to_list() == ["ab ca", "cb b"]
    assert run.predict(tmp_path, beam=8)["text"].to_list() == ["ab ca", "cb b"]
    (tmp_path / "t.csv").write_text("path,text\none.wav,ab ca\ntwo.wav,cb a\n")
    assert run.evaluate(tmp_path / "t.csv")["cer"] == pytest.approx(1 / 9)
    with pytest.raises(GliaError, match="beam is too small"):
        run.predict(tmp_path, beam=0)


def test_a_recording_is_read_word_by_word(run: glia.Run, tmp_path: Path) -> None:
    """Words of a long file, each where it was said, though no window holds them all."""
    words = ["ab", "c", "ba", "cb", "a", "bc", "ca", "b", "ac", "cb"]
    pieces, starts, at = [], [], 0
    for i, word in enumerate(words):
        piece = spoken(word + " ", 2000 + i)
        starts.append(at / 8000)
        at += len(piece)
        pieces.append(piece)
    path = write(tmp_path / "long.wav", np.concatenate(pieces))
    found = run.predict(path)
    assert isinstance(found, pl.DataFrame) and len(found) > 5
    told = found["text"].to_list()
    assert distance(" ".join(told), " ".join(words)) <= 3
    if len(told) == len(words):
        assert np.abs(np.array(found["start_s"].to_list()) - starts).max() < 0.15


def distance(told: str, said: str) -> float:
    return error_rates([(told, said)])["cer"] * len(said)

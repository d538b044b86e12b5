"""Texts from sounds: error rates by hand, and one run whose network learns to name tones."""

import csv
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

import glia
from glia.data.sound.reader import SoundReader
from glia.data.task import Task
from glia.errors import GliaError
from glia.nn.ctc import ended
from glia.nn.spectrogram import LogMel
from glia.predict.predict import whole
from glia.predict.transcription import Transcribes, error_rates
from tests.data.sounds import tone, write

PAUSE = 3500
TONES = {"a": 500, "b": 1200, "c": 2600}


def test_error_rates_by_hand() -> None:
    """One of four signs wrong, one word of two; then all right: 1 of 9 signs, 1 of 4 words, 1 of 2 texts."""
    found = error_rates([("a cd", "b cd"), ("ab cd", "ab cd")])
    assert found["cer"] == pytest.approx(1 / 9) and found["wer"] == pytest.approx(1 / 4)
    assert found["right_texts"] == 0.5
    assert error_rates([("x y z", "x")])["wer"] == 2.0  # more can be put in than was said


def spoken(text: str, seed: int) -> np.ndarray:
    """A tone for each letter, a higher one for each space."""
    dice = np.random.default_rng(seed)
    pieces = []
    for sign in text:
        long = float(dice.uniform(0.08, 0.14))
        pieces.append(tone(TONES.get(sign, PAUSE), long))
        pieces.append(np.zeros(480, np.float32))
    wave = np.concatenate(pieces)
    return (wave + 0.01 * dice.normal(size=len(wave))).astype(np.float32)


def speeches(root: Path, rows: int = 60) -> Path:
    dice = np.random.default_rng(0)
    lines = []
    for i in range(rows):
        text = " ".join("".join(dice.permutation(list("abc"))[: dice.integers(1, 4)]) for _ in range(2))
        write(root / "clips" / f"{i}.wav", spoken(text, i))
        lines.append([f"clips/{i}.wav", text])
    with (root / "speeches.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "text"], *lines])
    return root / "speeches.csv"


class Ear(nn.Module):
    """A network made by hand: at each frame the sign whose tone is loudest, the blank where all are faint."""

    frame = 160

    def __init__(self) -> None:
        super().__init__()
        self.front = LogMel(8000, 20, window=200, hop=80, size=256)
        self.faint = nn.Parameter(torch.tensor(50.0))
        self.bins = [round(hertz / 8000 * 256) for hertz in (PAUSE, *TONES.values())]

    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        power = self.front.power(waves)[:, ::2]
        tones = torch.stack([power[..., place - 2 : place + 3].sum(2) for place in self.bins], 2)
        faint = self.faint.expand(*tones.shape[:2], 1)
        logits = torch.cat((faint, 1e-3 * torch.ones_like(faint), tones), 2).log()
        return ended(logits, (self.front.frames(waves) + 1) // 2)


TASK = Task("transcribe", ("text",), ("", "\N{REPLACEMENT CHARACTER}", " ", "a", "b", "c"))
READER = SoundReader(8000, length=12_000, usual=8000, task=TASK)


def heard(source: Path, **options: int) -> pl.DataFrame:
    return whole(Transcribes().frames(Ear(), TASK, READER, source, **options))


def test_new_sounds_become_texts(tmp_path: Path) -> None:
    write(tmp_path / "one.wav", spoken("ab ca", 1))
    write(tmp_path / "two.wav", spoken("cb b", 2))
    found = heard(tmp_path)
    assert found.columns == ["file", "start_s", "end_s", "text"] and found["file"].to_list() == ["one.wav", "two.wav"]
    assert found["text"].to_list() == ["ab ca", "cb b"] == heard(tmp_path, beam=8)["text"].to_list()
    (tmp_path / "t.csv").write_text("path,text\none.wav,ab ca\ntwo.wav,cb a\n")
    assert Transcribes().evaluate(Ear(), TASK, READER, tmp_path / "t.csv")["cer"] == pytest.approx(1 / 9)
    with pytest.raises(GliaError, match="beam is too small"):
        heard(tmp_path, beam=0)


def test_a_recording_is_read_word_by_word(tmp_path: Path) -> None:
    """Words of a long file, each where it was said, though no window holds them all."""
    dice = np.random.default_rng(0)
    words = ["".join(dice.choice(list("abc"), dice.integers(1, 4))) for _ in range(40)]
    pieces = [spoken(f"{word} ", i) for i, word in enumerate(words)]
    starts = np.cumsum([0, *map(len, pieces)])[:-1] / 8000
    found = heard(write(tmp_path / "long.wav", np.concatenate(pieces)))
    assert found["text"].to_list() == words
    np.testing.assert_allclose(found["start_s"].to_numpy(), starts, atol=0.03)
    assert (found["end_s"] > found["start_s"]).all()


def test_a_run_from_table_to_page(tmp_path: Path) -> None:
    run = glia.train(
        speeches(tmp_path), target="text", runs=tmp_path, epochs=3, width=16, depth=1, batch_size=8, lr=5e-3,
        tell=lambda line: None,
    )  # fmt: skip
    losses = run.history["valid_loss"]
    assert losses[-1] < 0.8 * losses[0]
    assert set(run.metrics["test"]) == {"cer", "wer", "right_texts", "cer_error"}
    assert run.metrics["baselines"][0]["name"] == "commonest text"
    worst = json.loads((run.folder / "predictions" / "worst.json").read_text())
    assert worst[0]["name"].startswith("clips/") and worst[0]["loss"] >= worst[-1]["loss"]
    page = (run.folder / "report.html").read_text()
    assert "character error rate" in page and "sign by sign" in page
    again = glia.open(run.folder).predict(tmp_path / "clips" / "0.wav")
    assert again.equals(run.predict(tmp_path / "clips" / "0.wav"))

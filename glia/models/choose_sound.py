"""Which network fits a set of sounds, and how it trains within minutes on two CPU cores."""

from math import sqrt
from typing import Any

from glia.data.facts import SoundFacts
from glia.data.task import Task
from glia.models.suggestion import Suggestion
from glia.nn.spectrogram import LogMel

FRAMES = 32_000  # of all rows of a batch together, at most
BUDGET = 3e7  # frames in a whole run: five minutes of training on two cores
WORDS = 2_500  # rows for which `EPOCHS` are right; of others by the fifth root
EPOCHS = 20
LEAST_EPOCHS = 5


def choose_sound(facts: SoundFacts, rows: int, task: Task) -> Suggestion:
    """The default network for `rows` training sounds."""
    if task.kind == "transcribe":
        train = sound_settings("speech", facts, rows, task)
        why = (
            f"{rows:,} sounds of up to {facts.length / facts.rate:.1f} s with what is said in them: convolutions and "
            f"recurrent layers over their log-mel bands, {train['epochs']} epochs of {train['batch_size']} rows a step"
        )
        return Suggestion("speech", {}, train, why)
    train = sound_settings("soundnet", facts, rows, task)
    seconds = facts.length / facts.rate
    why = (
        f"{rows:,} sounds of up to {seconds:.1f} s at {facts.rate:,} samples a second: convolutions over their log-mel "
        f"bands, {train['epochs']} epochs of {train['batch_size']} rows a step, sized for minutes on two cores"
    )
    return Suggestion("soundnet", {"width": 16}, train, why)


def sound_settings(name: str, facts: SoundFacts, rows: int, task: Task) -> dict[str, Any]:
    """Train settings of a network for `rows` sounds. One rise and one fall of the rate, so it may not stop early."""
    batch = _batch(facts, rows)
    plain = {"epochs": _epochs(facts, rows), "batch_size": batch, "schedule": "linear", "warmup": 0.2, "patience": 0}
    if name == "speech":
        small = {"batch_size": max(2, batch // 4), "warmup": 0.1}  # many steps: it says blanks alone at first
        return {**plain, **small, "optimizer": "adamw", "lr": 3e-3, "weight_decay": 0.01, "clip": 1.0, "ema": 0.0}
    if name in ("rnn", "lstm", "gru"):
        return {**plain, "optimizer": "adamw", "lr": 3e-3, "weight_decay": 0.01, "clip": 1.0}
    return {
        **plain,
        "optimizer": "nesterov",
        "momentum": 0.9,
        "lr": float(f"{0.3 * sqrt(batch / 256):.1e}"),
        "weight_decay": 5e-4,
        "label_smoothing": 0.1 if task.kind == "classify" else 0.0,
        "clip": 1.0 if task.kind == "regress" else 0.0,
        "ema": 0.0,
    }


def _frames(facts: SoundFacts) -> int:
    return 1 + facts.length // LogMel.usual(facts.rate).hop


def _batch(facts: SoundFacts, rows: int) -> int:
    """At least a dozen steps an epoch; fewer rows of long sounds."""
    wanted = next((batch for least, batch in ((1_000, 64), (300, 32)) if rows >= least), 16)
    return max(2, min(wanted, FRAMES // _frames(facts)))


def _epochs(facts: SoundFacts, rows: int) -> int:
    wanted = EPOCHS * (WORDS / max(rows, 1)) ** 0.2
    allowed = BUDGET / (max(rows, 1) * _frames(facts))
    return max(round(min(wanted, allowed)), LEAST_EPOCHS)

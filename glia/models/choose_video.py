"""Which network fits a set of clips, and how it trains within minutes on two CPU cores."""

from typing import Any

from glia.data.facts import ImageFacts, VideoFacts
from glia.data.task import Task
from glia.models.choose_image import BUDGET, products
from glia.models.suggestion import Suggestion

STEPS = 600  # of a run, about: moving digits are told apart after some hundreds
MOST_EPOCHS, LEAST_EPOCHS = 40, 3
WIDTH, NARROW = 16, 8


def choose_video(facts: VideoFacts, rows: int, task: Task) -> Suggestion:
    """The default network for `rows` training clips.

    Chosen on clips of a moving digit, in four directions: of 200 it told all apart after 3 epochs of 320 others, as a
    (2+1)-D network did in twice the time; a GRU over the frames 96 % after 12 epochs, a mean over them 25 %, by chance.
    """
    width = WIDTH if LEAST_EPOCHS * rows * _cost(facts, WIDTH) <= BUDGET / 2 else NARROW
    train = video_settings("tsm", facts, rows, task, width=width)
    why = (
        f"{rows:,} clips of {facts.frames} frames, {facts.height} x {facts.width} pixels: a residual network over the "
        f"frames that sees a share of their neighbours, {train['epochs']} epochs, sized for minutes on two cores"
    )
    return Suggestion("tsm", {"width": width}, train, why)


def video_settings(name: str, facts: VideoFacts, rows: int, task: Task, *, width: int = WIDTH) -> dict[str, Any]:
    """How a network is trained on `rows` clips, also where it was asked for by name."""
    batch = 16 if rows >= 100 else 8
    allowed = BUDGET / (max(rows, 1) * _cost(facts, width))
    epochs = max(LEAST_EPOCHS, round(min(STEPS * batch / max(rows, 1), allowed, MOST_EPOCHS)))
    return {
        "epochs": epochs,
        "batch_size": batch,
        "optimizer": "adamw",
        "lr": 2e-3,
        "schedule": "linear",
        "warmup": 0.2,
        "weight_decay": 0.01,
        "label_smoothing": 0.0,
        "clip": 1.0,
        "ema": 0.0,
        "patience": 0,
    }


def _cost(facts: VideoFacts, width: int) -> float:
    """Multiplications for one clip, forward."""
    picture = ImageFacts(facts.channels, facts.height, facts.width, facts.mean, facts.std, facts.rows)
    return facts.frames * products(picture, width)

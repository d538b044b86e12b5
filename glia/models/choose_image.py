"""Which network fits pictures."""

from typing import Any

from glia.data.facts import ImageFacts
from glia.data.task import Task


def choose_image(facts: ImageFacts, rows: int, task: Task) -> tuple[str, dict[str, Any], dict[str, Any], str]:
    """(name, options, train settings, why)."""
    return "resnet8", {}, {"epochs": 20, "batch_size": 64, "lr": 2e-3, "schedule": "one_cycle"}, "small pictures"

"""The tools: each file has `TRAIN`, a function (job) -> Trained for each name that the command line knows."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from benchmarks.speed.job import Job, Trained

WHERE = {
    "glia": "with_glia",
    "glia-float32": "with_glia",
    "plain": "with_loader",
    "sklearn": "with_sklearn",
    "skorch": "with_skorch",
    "lightning": "with_lightning",
    "keras": "with_keras",
    "transformers": "with_transformers",
    "lean": "by_hand",
}
TITLES = {
    "glia": "glia",
    "glia-float32": "glia, float32",
    "plain": "plain loop",
    "sklearn": "scikit-learn",
    "skorch": "skorch",
    "lightning": "Lightning",
    "keras": "Keras 3",
    "transformers": "HF Trainer",
    "lean": "lean loop",
}
PEERS = ("plain", "sklearn", "skorch", "lightning", "keras", "transformers")
"""What people would use instead; the lean loop, which nobody writes, shows what torch allows."""


def tool(name: str) -> Callable[[Job], Trained]:
    """Raises ImportError where its packages are not installed."""
    module: Any = import_module(f"benchmarks.speed.tools.{WHERE[name]}")
    return module.TRAIN[name]

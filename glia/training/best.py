"""Best: the weights of the best validation so far, and when to give up waiting for better ones."""

import math
from typing import Any

from torch import Tensor, nn

from glia.errors import unknown


class Best:
    """Keeps a copy of the weights whenever the monitored figure gains.

    monitor: e.g. "valid_loss" (smaller is better) or "valid_accuracy" (larger is). patience: validations without gain
    that are borne; 0 bears any number. A figure that is not finite is never the best, and counts as no gain.
    """

    def __init__(self, monitor: str, patience: int, *, higher_is_better: bool = False):
        self.monitor, self.patience, self.higher_is_better = monitor, patience, higher_is_better
        self.figure = math.nan
        self.epoch = -1
        self.waited = 0
        self.weights: dict[str, Tensor] = {}

    def update(self, figures: dict[str, float], epoch: int, model: nn.Module) -> bool:
        """Take note of a validation; True when it is the best so far."""
        if self.monitor not in figures:
            raise unknown("figure to monitor", self.monitor, [f for f in figures if f.startswith(("valid", "train"))])
        figure = figures[self.monitor]
        gained = figure > self.figure if self.higher_is_better else figure < self.figure
        if not math.isfinite(figure) or not (gained or math.isnan(self.figure)):
            self.waited += 1
            return False
        self.figure, self.epoch, self.waited = figure, epoch, 0
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
        return True

    @property
    def exhausted(self) -> bool:
        """Has it waited longer than `patience`?"""
        return 0 < self.patience <= self.waited

    def restore(self, model: nn.Module) -> None:
        """Give the model the best weights back, if there are any."""
        if self.weights:
            model.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        return {"figure": self.figure, "epoch": self.epoch, "waited": self.waited, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.figure, self.epoch, self.waited = state["figure"], state["epoch"], state["waited"]
        self.weights = state["weights"]


def rises(monitor: str, metric: Any) -> bool:
    """Is more of the monitored figure better? Of losses less is."""
    return not monitor.endswith("_loss") and (metric is None or metric.higher_is_better)

"""Several optimizers as one: one step, one state_dict, one list of groups."""

from collections.abc import Callable
from typing import Any, overload

import torch
from torch.optim import Optimizer


class Together(Optimizer):
    """Optimizers over different parameters of one model, to be used and saved as a single one.

    Their groups and their state are this optimizer's own, the same objects, so that whoever reads or changes these (a
    schedule, a checkpoint, a listener) needs to know nothing of the parts. Groups added later go to the last part.
    """

    def __init__(self, *parts: Optimizer):
        self.parts = parts
        self._ready = False
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._ready = True
        self._link()

    def _link(self) -> None:
        """Hand the groups and the state to the parts."""
        left = list(self.param_groups)
        for part in self.parts:
            count = len(part.param_groups)
            part.param_groups, left = left[:count], left[count:]
            part.state = self.state

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        if self._ready:
            self.parts[-1].add_param_group(param_group)  # fills in what that part needs
        super().add_param_group(param_group)

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update by every part. Step hooks run once, around all of it."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            bare = type(part).step
            getattr(bare, "__wrapped__", bare)(part)  # torch wraps `step` with the hooks, which are ours to run
        return loss

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "parts": self.parts, "_ready": True}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._link()

"""Sound: a run keeps nothing that is not finite, however it ends."""

import math
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from glia.optim.average import Average
from glia.optim.bare import bare
from glia.runs.packing import tensors_in
from glia.training.nonfinite import NonFinite

KEPT = "seen when they were to be kept"


class Sound:
    """Refuses to keep what is not finite: weights, running figures, averages, the optimizer's state.

    Made before the first step. Buffers that hold infinities by design (a mask of -inf) do so from the beginning, and
    are left out.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, average: Average | None = None):
        self.model, self.optimizer, self.average = model, optimizer, average
        weights = {name for name, _ in model.named_parameters()}
        state = {name: value for name, value in model.state_dict().items() if not is_lazy(value)}
        self.by_design = {name for name in _bad(state.items()) if name not in weights}
        self.first = {name: value.detach().clone() for name, value in state.items()}

    def check(self, step: int, epoch: int, *, whole: bool = False) -> None:
        """Raises NonFinite where the weights, their averages or (`whole`) the optimizer's state are not finite."""
        named = list(self._kept())
        if whole:
            state = bare(self.optimizer.state_dict)()["state"]
            named += [pair for pair in tensors_in(state, "the optimizer's state") if pair[1].ndim]
        bad = next(_bad(named), None)
        if bad is not None:
            value = dict(named)[bad].detach()
            kind = "" if bad.startswith("the ") else "the weights of " if bad in self._weights() else "the buffer "
            worst = value[~torch.isfinite(value)].flatten()[0].item()
            raise NonFinite(step, epoch, worst, KEPT, what=f"{kind}{bad}")

    def restore(self) -> None:
        """The first weights again, where the present ones are not finite."""
        if next(_bad(self._kept()), None) is not None:
            self.model.load_state_dict(self.first, strict=False)

    def forget_first(self, better: Mapping[str, Tensor]) -> None:
        """The first weights are not needed once `better` ones are kept."""
        if better:
            self.first = {}

    def _weights(self) -> set[str]:
        return {name for name, _ in self.model.named_parameters()}

    def _kept(self) -> Iterator[tuple[str, Tensor]]:
        for name, value in self.model.state_dict().items():
            if name not in self.by_design and not is_lazy(value):
                yield name, value
        if self.average is not None:
            for name, value in self.average.state_dict()["weights"].items():
                yield f"the averaged weights of {name}", value


def _bad(named: Iterable[tuple[str, Tensor]]) -> Iterator[str]:
    """Names of the tensors that are not finite."""
    held = [(n, v.detach()) for n, v in named if v.is_floating_point() and v.itemsize > 1 and v.numel()]
    with torch.no_grad():
        for name, value in held:
            # A sum is found many times sooner than the largest magnitude; that it is not finite may be its size.
            if not math.isfinite(value.sum().item()) and not bool(torch.isfinite(value).all()):
                yield name

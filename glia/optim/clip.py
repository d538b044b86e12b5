"""Clipping of gradients, in place. Each function returns the global norm before it changed anything, as a tensor.

A norm that is not finite changes nothing: the gradients are left as they are, so that whoever stops the run can still
see where it arose. (torch's clip_grad_norm_ would spread one NaN over every gradient.)
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import utils

from glia.errors import GliaError, unknown
from glia.optim.beside import Beside

Clip = Callable[[], Tensor]
"""Clips the gradients of one model, and gives their norm before that."""

FEW_NUMBERS = 1_000_000  # of all gradients together, up to which one copy of them costs less than a norm of each
_ON_CPU = (torch.device("cpu"), torch.strided)


def build(how: str, model: nn.Module, limit: float) -> Clip:
    """Clipping of all gradients of `model`: "norm", "value" or "adaptive", which leaves the output layer out.

    The output layer is the module that holds the last matrix in the model's own order.
    """
    _check(limit)
    if how not in _WAYS:
        raise unknown("way to clip", how, _WAYS)
    parameters = list(model.parameters())
    if how == "norm":
        return ByNorm(parameters, limit)
    if how == "value":
        return lambda: by_value(parameters, limit)
    layers = [part for part in model.modules() if any(p.ndim > 1 for p in part.parameters(recurse=False))]
    head = {id(p) for part in layers[-1:] for p in part.parameters(recurse=False)}
    inner = [p for p in parameters if id(p) not in head]

    def clip() -> Tensor:
        norm = _measured(parameters)[1]
        adaptive(inner, limit)
        return norm

    return clip


class ByNorm:
    """Scale all gradients by one factor so that their common norm is at most `limit`.

    Pascanu et al. 2013, arXiv 1211.5063, algorithm 1.
    """

    def __init__(self, parameters: Iterable[Tensor], limit: float):
        _check(limit)
        self.parameters, self.limit = list(parameters), limit
        self._room: Beside | None = None  # for copies of the gradients
        self._kinds: list[Any] = []  # what it was made for

    def __call__(self) -> Tensor:
        """Clip the gradients; their norm before that."""
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if not _alike(gradients):
            norm = utils.get_total_norm(gradients)
            utils.clip_grads_with_norm_(self.parameters, self.limit, _usable(norm))
            return norm
        norm = self._norm(gradients)
        factor = self._factor(norm)
        if factor < 1.0:
            torch._foreach_mul_(gradients, factor)
        return norm

    def beside(self, gradients: Beside) -> Tensor:
        """The same, bit for bit, for all gradients there are, side by side in the parameters' order."""
        if not _few(gradients):
            return self()
        norm = torch.linalg.vector_norm(gradients.whole)
        factor = self._factor(norm)
        if factor < 1.0:
            gradients.whole.mul_(factor)
        return norm

    def _norm(self, gradients: list[Tensor]) -> Tensor:
        """Of gradients that are alike, summed in the same order wherever they lie, for the sake of the last bit."""
        kinds = [(g.shape, g.stride(), g.dtype) for g in gradients]
        if kinds != self._kinds:
            room = Beside.like([p for p in self.parameters if p.grad is not None])
            self._room, self._kinds = room if _few(room) else None, kinds
        if self._room is None:
            return total_norm(gradients)
        torch._foreach_copy_(self._room.parts, gradients)
        return torch.linalg.vector_norm(self._room.whole)

    def _factor(self, norm: Tensor) -> float:
        """1 where the norm is not finite."""
        measured = norm.item()
        return min(1.0, self.limit / (measured + 1e-6)) if math.isfinite(measured) else 1.0


def by_norm(parameters: Iterable[Tensor], limit: float) -> Tensor:
    """Clip once; see `ByNorm`."""
    return ByNorm(parameters, limit)()


def by_value(parameters: Iterable[Tensor], limit: float) -> Tensor:
    """Hold each element of the gradients within -limit .. limit."""
    _check(limit)
    parameters, norm = _measured(parameters)
    utils.clip_grad_value_(parameters, limit)  # NaN stays NaN
    return norm


def adaptive(parameters: Iterable[Tensor], limit: float = 0.01, least: float = 1e-3) -> Tensor:
    """Hold each unit's gradient within `limit` times the norm of the unit's weights, which counts as `least` or more.

    Brock et al. 2021, arXiv 2102.06171, equation 3. A unit is a row of a matrix, a filter of a convolution, or a whole
    vector. The paper leaves the output layer out: pass the parameters without it.
    """
    _check(limit)
    parameters, norm = _measured(parameters)
    with torch.no_grad():
        for parameter in parameters:
            gradient = parameter.grad
            if gradient is not None:
                allowed = _unit_norm(parameter).clamp_min(least) * limit
                gradient.mul_((allowed / _usable(_unit_norm(gradient))).clamp_max(1.0))
    return norm


def _measured(parameters: Iterable[Tensor]) -> tuple[list[Tensor], Tensor]:
    held = [parameter for parameter in parameters if parameter.grad is not None]
    return held, total_norm([parameter.grad for parameter in held if parameter.grad is not None])


def total_norm(gradients: list[Tensor]) -> Tensor:
    """The norm of all, as torch's `get_total_norm` finds it but for its last bits."""
    if not _alike(gradients):
        return utils.get_total_norm(gradients)
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients, 2.0)))


def _alike(gradients: list[Tensor]) -> bool:
    """Are all of one type, on the CPU and not sparse? Then nothing has to be sorted before it is worked on."""
    kinds = {(g.dtype, g.device, g.layout) for g in gradients}
    return len(kinds) == 1 and kinds.pop()[1:] == _ON_CPU


def _few(gradients: Beside) -> bool:
    return gradients.whole.numel() <= FEW_NUMBERS


def _usable(norm: Tensor) -> Tensor:
    """0 where it is not finite: then the factor comes out as 1."""
    return norm.nan_to_num(0.0, 0.0, 0.0)


def _unit_norm(value: Tensor) -> Tensor:
    """(units, ...) -> (units, 1, ...); the whole of anything with fewer than 2 dimensions."""
    if value.ndim < 2:
        return torch.linalg.vector_norm(value)
    return torch.linalg.vector_norm(value, dim=tuple(range(1, value.ndim)), keepdim=True)


def _check(limit: float) -> None:
    if not limit > 0:
        raise GliaError("clip", got=limit, expected="a limit above 0")


_WAYS: dict[str, Callable[[Iterable[Tensor], float], Tensor]] = {
    "norm": by_norm,
    "value": by_value,
    "adaptive": adaptive,
}

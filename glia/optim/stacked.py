"""Optimizers for many networks of one shape: a row of weights for each, with a rate and a decay of its own.

Adam, AdamW and SGD of torch, read from optimizers that were made for each network by itself.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

VECTOR = 64  # numbers; a multiple of what vectors of any processor hold
_OWN = ("params", "lr", "weight_decay", "lr_scale", "initial_lr", "param_names", "fused", "foreach")  # may differ
_PLAIN = {"amsgrad": False, "maximize": False, "capturable": False, "differentiable": False, "dampening": 0}


def unlike(optimizers: Sequence[Optimizer]) -> str | None:
    """Why these cannot make their steps together, or None. Each holds the weights of one network."""
    first = optimizers[0]
    if type(first) not in (Adam, AdamW, SGD):
        return f"the optimizer {type(first).__name__} has no form for many at once"
    if any(type(optimizer) is not type(first) for optimizer in optimizers):
        return "the optimizers are of different kinds"
    if any(optimizer.state for optimizer in optimizers):
        return "an optimizer has made steps already"
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    fixed = [{name: value for name, value in group.items() if name not in _OWN} for group in groups]
    if any(one != fixed[0] for one in fixed):
        return "the optimizers or their groups differ in more than learning rate and weight decay"
    odd = [name for name, usual in _PLAIN.items() if fixed[0].get(name, usual) != usual]
    return f"the optimizer's option {odd[0]} has no form for many at once" if odd else None


class Stacked:
    """The optimizers of K networks as one, over weights (K, P), a row for each, the parameters one after the other.

    Every step is torch's own fused kernel, called once for all that have the same rate and decay: each row changes as
    it would by itself, to the last bit.
    optimizers: one for each network, see `unlike`. parameters: of each network those that lie in its row, in order.
    """

    def __init__(
        self,
        optimizers: Sequence[Optimizer],
        parameters: Sequence[Sequence[Tensor]],
        weights: Tensor,
        gradients: Tensor,
    ):
        self.kind, self.options = type(optimizers[0]), optimizers[0].param_groups[0]
        self.sizes = [parameter.numel() for parameter in parameters[0]]
        groups = [_groups(optimizer, own) for optimizer, own in zip(optimizers, parameters, strict=True)]
        self.rates = [[float(group["lr"]) for group in own] for own in groups]
        self.scales = [[float(group.get("lr_scale", 1.0)) for group in own] for own in groups]
        self.decays = [[float(group["weight_decay"]) for group in own] for own in groups]
        self.count = torch.zeros((), dtype=torch.float32, device=weights.device)
        states = 2 if self.kind is not SGD else 1 if self.options["momentum"] else 0
        self._hold([weights, gradients, *(torch.zeros_like(weights) for _ in range(states))])

    def set_lr(self, rates: Sequence[float]) -> None:
        """Give each network its base rate, and each of its groups "lr_scale" times as much."""
        now = [[rate * scale for scale in row] for rate, row in zip(rates, self.scales, strict=True)]
        if now != self.rates:
            self.rates = now
            self._plan()

    def keep(self, places: Tensor, weights: Tensor, gradients: Tensor) -> None:
        """Go on with the networks at `places` alone, whose weights and gradients lie here now."""
        kept = places.tolist()
        self.rates, self.scales, self.decays = (
            [rows[place] for place in kept] for rows in (self.rates, self.scales, self.decays)
        )
        self._hold([weights, gradients, *(held[places] for held in self.held[2:])])

    @torch.no_grad()
    def step(self) -> None:
        """One step of every network along its gradients."""
        self.count += 1
        for parts, rate, decay in self.calls:
            self._sgd(parts, rate, decay) if self.kind is SGD else self._adam(parts, rate, decay)

    def _adam(self, parts: list[list[Tensor]], rate: float, decay: float) -> None:
        weights, gradients, first, second = parts
        beta1, beta2 = self.options["betas"]
        kernel = torch._fused_adamw_ if self.options["decoupled_weight_decay"] else torch._fused_adam_
        kernel(
            weights, gradients, first, second, [], [self.count] * len(weights), lr=rate, beta1=beta1, beta2=beta2,
            weight_decay=decay, eps=self.options["eps"], amsgrad=False, maximize=False,
        )  # fmt: skip

    def _sgd(self, parts: list[list[Tensor]], rate: float, decay: float) -> None:
        weights, gradients, *moved = parts
        torch._fused_sgd_(
            weights, gradients, moved[0] if moved else [], weight_decay=decay, momentum=self.options["momentum"],
            lr=rate, dampening=0.0, nesterov=self.options["nesterov"], maximize=False, is_first_step=False,
        )  # fmt: skip

    def _hold(self, held: list[Tensor]) -> None:
        """Weights, gradients and state, each (K, P), and every row's share of them a parameter."""
        self.held = held
        self._plan()

    def _plan(self) -> None:
        """Which parts of which rows go together, as they have the same rate and decay."""
        alike: dict[tuple[float, float], list[tuple[int, slice]]] = {}
        for row, (rates, decays) in enumerate(zip(self.rates, self.decays, strict=True)):
            for pair, part in _runs(list(zip(rates, decays, strict=True)), self.sizes):
                alike.setdefault(pair, []).append((row, part))
        self.calls = [
            ([[one[row, part] for row, part in places] for one in self.held], *pair) for pair, places in alike.items()
        ]


def _runs(pairs: Sequence[tuple[float, float]], sizes: Sequence[int]) -> list[tuple[tuple[float, float], slice]]:
    """Neighbours that the kernel may take as one: it rounds the last numbers of a parameter, those that fill no vector
    of the processor, otherwise than the rest.
    """
    found: list[tuple[tuple[float, float], slice]] = []
    begin = end = 0
    for place, (pair, size) in enumerate(zip(pairs, sizes, strict=True)):
        end += size
        if place + 1 == len(sizes) or pairs[place + 1] != pair or size % VECTOR:
            found.append((pair, slice(begin, end)))
            begin = end
    return found


def _groups(optimizer: Optimizer, parameters: Sequence[Tensor]) -> list[dict[str, Any]]:
    """The group of each parameter."""
    found = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    return [found[id(parameter)] for parameter in parameters]


def clip_rows(gradients: Tensor, limits: Tensor | None) -> Tensor:
    """Scale each row of gradients (K, P) so that its norm is at most its limit (K,); the norms (K,) before that.

    As `glia.optim.clip.by_norm` of each row: one that is not finite is left as it is. No limits: only the norms.
    """
    norms = torch.linalg.vector_norm(gradients, dim=1)
    if limits is None:
        return norms
    factors = (limits / (norms + 1e-6)).clamp_max(1.0)
    gradients.mul_(torch.where(norms.isfinite(), factors, 1.0).unsqueeze(1))
    return norms

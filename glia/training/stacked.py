"""Stack: the weights of many networks of one shape as rows of one table, and one pass forward and back for all of them.

The passes of one network are written once (`torch.func.vmap`); what they come down to, plain calls on stacked tensors,
is recorded for each shape of batch and replayed.
"""

import copy
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer
from torch.utils import _pytree as pytree

from glia.replay.replay import OWN_HOOKS
from glia.training.nonfinite import running_figures
from glia.training.recorded import Call, record
from glia.training.steps import Step
from glia.training.update import as_outcome, rows_of

NEAR = 1e-4  # share of a gradient's norm that passes side by side and alone may differ by
TRACES = 8  # shapes of batches that are recorded; more are run as they come
AFTER = 50  # passes, before one is recorded: that takes as long as they gain by it
EVERY = 500  # passes that were recorded, after which one is compared with a new one
_SAID = {  # what torch says, and what it means
    "random operation": "each network draws random numbers (dropout): side by side they would be others than alone",
    "data-dependent control flow": "the network or its loss asks for the value of a tensor",
    ".item()": "the network or its loss asks for the value of a tensor",
}
_RULE = re.compile(r"batching rule (?:is )?(?:not implemented )?for \W*(?:aten::)?(\w+)", re.IGNORECASE)


_Many = Sequence[Tensor]


class Apart(Exception):
    """These networks cannot be trained side by side; the message is the reason."""


@dataclass(frozen=True)
class Given:
    """A batch for every network: one that they share (dims None), or one for each (K, rows, ...), leaf by leaf."""

    leaves: tuple[Tensor, ...]
    dims: tuple[int | None, ...]
    form: Any
    rows: int

    @classmethod
    def own(cls, batch: Any, rows: int) -> "Given":
        """From a batch whose tensors hold one of each network already, of so many rows."""
        leaves, form = pytree.tree_flatten(batch)
        return cls(tuple(leaves), (0,) * len(leaves), form, rows)

    @classmethod
    def shared(cls, batch: Any) -> "Given":
        leaves, form = pytree.tree_flatten(batch)
        odd = next((leaf for leaf in leaves if not isinstance(leaf, Tensor)), None)
        if odd is not None:
            raise Apart(f"the batches hold something else than tensors ({type(odd).__name__})")
        return cls(tuple(leaves), (None,) * len(leaves), form, rows_of(batch))

    @classmethod
    def each(cls, batches: Sequence[Any]) -> "Given":
        many = [cls.shared(batch) for batch in batches]
        try:
            leaves = tuple(torch.stack(tensors) for tensors in zip(*(one.leaves for one in many), strict=True))
        except (RuntimeError, ValueError):
            raise Apart("the batches of two networks have different shapes") from None
        return cls(leaves, (0,) * len(leaves), many[0].form, many[0].rows)

    def of(self, place: int) -> Any:
        """The batch of one network."""
        parts = [leaf if dim is None else leaf[place] for leaf, dim in zip(self.leaves, self.dims, strict=True)]
        return pytree.tree_unflatten(parts, self.form)

    @property
    def key(self) -> tuple[Any, ...]:
        return tuple((leaf.shape, leaf.dtype, dim) for leaf, dim in zip(self.leaves, self.dims, strict=True))


class _Program(nn.Module):
    """A step of one network as a module, so that its weights can be given from outside."""

    def __init__(self, model: nn.Module, step: Step, l1: float):
        super().__init__()
        self.model, self.l1, self.rows = model, l1, 0
        # Inside vmap no tensor says of itself that it is trained.
        self.penalised = {name for name, p in model.named_parameters() if p.requires_grad and p.ndim > 1}
        self.__dict__["step"] = step  # a step with weights of its own keeps them to itself

    def forward(self, batch: Any) -> tuple[Tensor, ...]:
        """The loss, and the metric if there is one."""
        outcome = as_outcome(self.__dict__["step"](self.model, batch))
        loss = outcome.loss
        if self.l1 and self.training:
            sums = [p.abs().sum() for name, p in self.model.named_parameters() if name in self.penalised]
            loss = loss + self.l1 * torch.stack(sums).sum()
        self.rows = outcome.rows
        return (loss,) if outcome.metric is None else (loss, outcome.metric)


class Stack:
    """K networks of one shape, the weights of each a row of `weights` (K, P).

    optimizer: of the first; it says which weights are trained. randomness: "error", or "different" where dropout may
    draw other numbers than a network by itself would. Raises Apart when they cannot be stacked.
    """

    def __init__(
        self, models: Sequence[nn.Module], step: Step, optimizer: Optimizer, l1: float, first: Given, randomness: str
    ):
        self.models, self.randomness, self.why_not_traced = models, randomness, ""
        self.program = _Program(models[0], step, l1)
        self._traces: dict[Any, tuple[Call, int]] = {}
        self._asked: dict[Any, int] = {}
        if any(is_lazy(tensor) for tensor in (*models[0].parameters(), *models[0].buffers())):
            raise Apart("the first batch makes weights of the network (lazy layers)")
        if any(getattr(part, name) for model in models for part in model.modules() for name in OWN_HOOKS):
            raise Apart("the network has hooks, which would see many at once, or nothing")
        held = [dict(model.named_parameters()) | dict(model.named_buffers()) for model in models]
        shapes = [{name: (t.shape, t.dtype, t.device, t.requires_grad) for name, t in one.items()} for one in held]
        if any(one != shapes[0] for one in shapes):
            raise Apart("the networks differ in their shapes")
        given = {id(p): number for number, group in enumerate(optimizer.param_groups) for p in group["params"]}
        learnt = [name for name, p in models[0].named_parameters() if p.requires_grad and id(p) in given]
        learnt.sort(key=lambda name: given[id(held[0][name])])  # groups side by side: their steps are fewer calls
        if len({(held[0][name].dtype, held[0][name].device) for name in learnt}) != 1:
            raise Apart("the weights are of different number formats or on different devices, or there are none")
        written = self._probe(held[0], learnt, first.of(0))
        self.names = [name for name in learnt if name in written]
        if not self.names:
            raise Apart("the loss depends on no weight")
        self.sizes = [held[0][name].numel() for name in self.names]
        self.shapes = [held[0][name].shape for name in self.names]
        with torch.no_grad():
            rows = [torch.cat([one[name].flatten() for name in self.names]) for one in held]
            self.weights = torch.stack(rows)
            self.gradients = torch.empty_like(self.weights)
            rest = {name: [one[name].detach() for one in held] for name in held[0] if name not in self.names}
            changing = {name for name, kept in rest.items() if name in written or not _alike(kept)}
            self.own = {name: torch.stack(kept) for name, kept in rest.items() if name in changing}
            self.shared = {name: kept[0].clone() for name, kept in rest.items() if name not in changing}
        self._view()

    def parameters(self) -> list[list[Tensor]]:
        """Of each network those that lie in its row, in order."""
        return [[dict(model.named_parameters())[name] for name in self.names] for model in self.models]

    def keep(self, places: Tensor) -> None:
        """Go on with the networks at `places` alone."""
        self.models = [self.models[place] for place in places.tolist()]
        self.weights, self.gradients = self.weights[places], self.gradients[places]
        self.own = {name: held[places] for name, held in self.own.items()}
        self._traces.clear()
        self._view()

    @torch.no_grad()
    def write(self, place: int) -> nn.Module:
        """The network at `place`, its weights as they are now."""
        model = self.models[place]
        tensors = dict(model.named_parameters()) | dict(model.named_buffers())
        for name, view in zip(self.names, self.views, strict=True):
            tensors[name].copy_(view[place])
        for name, held in self.own.items():
            tensors[name].copy_(held[place])
        return model

    def learn(self, given: Given) -> list[list[float]]:
        """Losses of all networks, then their metrics where there are any; the gradients are in `gradients` after it."""
        outs = self._run(given)
        figures, gradients = outs[: -len(self.names)], outs[-len(self.names) :]
        with torch.no_grad():
            torch._foreach_copy_(self.gradient_views, gradients)
        return [figure.tolist() for figure in figures]

    def score(self, given: Given) -> tuple[int, list[list[float]]]:
        """Rows, and the losses and metrics of all networks; call it in evaluation mode."""
        outs = self._run(given)
        return self.program.rows, [figure.tolist() for figure in outs]

    def prove(self, given: Given) -> None:
        """Raises Apart where a pass of all does not give what each network gives by itself."""
        own = self._own()
        with torch.random.fork_rng(devices=[]):
            with warnings.catch_warnings():
                # Without a rule of its own vmap computes one network after the other, and warns.
                warnings.filterwarnings("error", message=".*performance drop.*")
                try:
                    together = self._pass(self.views, own, given.leaves, given)
                except (RuntimeError, ValueError, TypeError, UserWarning) as error:
                    raise Apart(_meaning(error)) from error
            for place in range(len(self.models)):
                alone = self._alone(place, given)
                for one, many in zip(alone, together, strict=True):
                    apart = torch.linalg.vector_norm((one - many[place]).double())
                    if apart > NEAR * torch.linalg.vector_norm(one.double()) + 1e-6:
                        raise Apart("side by side the network computes something else than alone")

    def _probe(self, tensors: dict[str, Tensor], learnt: list[str], batch: Any) -> set[str]:
        """Names of the weights that the loss depends on and of the buffers that a step changes."""
        copies = {name: value.detach().clone() for name, value in tensors.items()}
        weights = [copies[name].requires_grad_() for name in learnt]
        model = copy.deepcopy(self.program).train()
        with torch.enable_grad(), torch.random.fork_rng(devices=[]):
            loss = functional_call(model, _inner(copies), (batch,))[0]
            found = torch.autograd.grad(loss, weights, allow_unused=True)
        used = {name for name, gradient in zip(learnt, found, strict=True) if gradient is not None}
        return used | {n for n, t in tensors.items() if n not in learnt and not _alike([t.detach(), copies[n]])}

    def _alone(self, place: int, given: Given) -> list[Tensor]:
        """What `_pass` gives for one network, without vmap."""
        weights = [view[place].detach().clone().requires_grad_(self.program.training) for view in self.views]
        own = {name: held[place].clone() for name, held in self.own.items()}
        tensors = {**self.shared, **own, **dict(zip(self.names, weights))}
        with torch.set_grad_enabled(self.program.training):
            figures = functional_call(self.program, _inner(tensors), (given.of(place),))
            gradients = torch.autograd.grad(figures[0], weights) if self.program.training else ()
        return [figure.detach() for figure in figures] + list(gradients)

    def _pass(self, views: _Many, own: _Many, leaves: _Many, given: Given) -> list[Tensor]:
        """Losses (K,), metrics (K,) if any, and in training the gradients. The networks share no weight, so the
        gradient of the sum of their losses holds each one's own.
        """

        def one(weights: _Many, own: _Many, leaves: _Many) -> tuple[Tensor, ...]:
            tensors = {**self.shared, **dict(zip(self.own, own)), **dict(zip(self.names, weights))}
            return functional_call(self.program, _inner(tensors), (pytree.tree_unflatten(leaves, given.form),))

        learning = self.program.training
        with torch.set_grad_enabled(learning):
            weights = [view.detach().requires_grad_(learning) for view in views]
            every = vmap(one, in_dims=(0, 0, list(given.dims)), randomness=self.randomness)
            figures = every(weights, list(own), list(leaves))
            gradients = torch.autograd.grad(figures[0].sum(), weights) if learning else ()
        return [figure.detach() for figure in figures] + list(gradients)

    def _run(self, given: Given) -> list[Tensor]:
        """A recorded pass where there is one. Now and then it is compared with a new one, to the last bit; where they
        differ, none is used again.
        """
        key = (self.program.training, given.key)
        made = self._asked[key] = self._asked.get(key, -1) + 1
        if made >= AFTER and key not in self._traces and not self.why_not_traced and len(self._traces) < TRACES:
            self._record(key, given)
            made = self._asked[key] = AFTER
        if key not in self._traces:
            return self._pass(self.views, list(self.own.values()), given.leaves, given)
        check = (made - AFTER) % EVERY == 0
        if check:
            noise, own = torch.default_generator.get_state(), self._own()
            expected = self._pass(self.views, own, given.leaves, given)
            torch.default_generator.set_state(noise)
        call, self.program.rows = self._traces[key]
        with torch.inference_mode():
            found = call(self.views, list(self.own.values()), list(given.leaves))
        if check and not all(_alike([a, b]) for a, b in zip(found, expected, strict=True)):
            self._traces.clear()
            self.why_not_traced = "a pass that was recorded and one that was not are different"
            self.own = dict(zip(self.own, own, strict=True))
            self._view()
            return expected
        return found

    def _record(self, key: Any, given: Given) -> None:
        """Recording really computes, and changes the buffers that it is given."""

        def flat(views: _Many, own: _Many, leaves: _Many) -> list[Tensor]:
            return self._pass(views, own, leaves, given)

        noise = torch.default_generator.get_state()
        try:
            call = record(flat, self.views, self._own(), given.leaves)
            self._traces[key] = (call, self.program.rows)
        except Exception as error:  # whatever torch cannot record is run as it is
            self.why_not_traced = _line(error)
        finally:
            torch.default_generator.set_state(noise)

    def _own(self) -> list[Tensor]:
        return [held.clone() for held in self.own.values()]

    def _view(self) -> None:
        """Each weight (K, *shape) as a part of `weights`; `running`: batch norm's figures, which a step may spoil."""
        names = running_figures(self.models[0])
        self.running = [held for name, held in self.own.items() if name in names]
        self.views, self.gradient_views = self._parts(self.weights), self._parts(self.gradients)

    def _parts(self, rows: Tensor) -> list[Tensor]:
        pairs = zip(rows.split(self.sizes, 1), self.shapes, strict=True)
        return [part.unflatten(1, shape) if shape else part.squeeze(1) for part, shape in pairs]


def _inner(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"model.{name}": tensor for name, tensor in tensors.items()}


def _alike(tensors: Sequence[Tensor]) -> bool:
    """Are they equal, NaN too?"""
    first = tensors[0]
    return all(torch.equal(first, t) or bool(((first == t) | ((first != first) & (t != t))).all()) for t in tensors[1:])


def _meaning(error: Exception) -> str:
    """One line on what vmap could not do."""
    missing = _RULE.search(str(error))
    if missing:
        return f"torch.func.vmap has no rule for {missing[1]}"
    return next((meaning for said, meaning in _SAID.items() if said in str(error)), _line(error))


def _line(error: Exception) -> str:
    """The first sentence of an error."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0].partition('. ')[0]}"[:160]

"""Transfer learning: which parts of a network rest, when they thaw, and how fast each learns.

Yosinski et al. 2014, arXiv 1411.1792 (what to keep); Howard and Ruder 2018, arXiv 1801.06146, sections 3.2 and 3.3
(rates by layer and gradual unfreezing, from the head downwards). Differs: what thaws is a stage of the network, at the
beginning of an epoch; batch norm at rest keeps the figures that it came with.

A stage is a list of prefixes of parameter names (`glia.nn.stages.stages`), from the input to the output, the head last.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from glia.errors import GliaError
from glia.nn.stages import stages as stages_of
from glia.nn.stages import within

Stages = Sequence[Sequence[str]]


def freeze(model: nn.Module, prefixes: Iterable[str], *, but: Iterable[str] = ()) -> None:
    """Parameters below these prefixes want no gradient, and modules there are in evaluation mode.

    but: names of parameters that train all the same, such as those that no file had. ``model.train()`` ends the
    evaluation mode, as always in torch: call this again after it, or let `Thawing` do so.
    """
    _set(model, list(prefixes), set(but), trains=False)


def thaw(model: nn.Module, prefixes: Iterable[str]) -> None:
    """Parameters below these prefixes train again; modules there are in the mode of `model`."""
    _set(model, list(prefixes), set(), trains=True)


def _set(model: nn.Module, prefixes: list[str], spared: set[str], *, trains: bool) -> None:
    # A parameter with several owners rests only if all of them do.
    named = list(model.named_parameters(remove_duplicate=False))
    busy = {id(p) for name, p in named if name in spared or not within(name, prefixes)}
    for name, parameter in named:
        if within(name, prefixes) and parameter.is_floating_point() and (trains or id(parameter) not in busy):
            parameter.requires_grad_(trains)
            if not trains:
                parameter.grad = None
    for path, module in model.named_modules():
        own = [id(p) for p in module.parameters(recurse=False)]
        if within(path, prefixes) and (trains or not busy.intersection(own)):
            module.training = model.training if trains else False


def rates(stages: Stages, decay: float) -> dict[str, float]:
    """Factor on the learning rate by prefix: decay ** (stages between it and the head); the head's is 1."""
    if not 0 < decay <= 1:
        raise GliaError("lr_decay", got=decay, expected="a factor above 0, at most 1")
    return {prefix: decay ** (len(stages) - 1 - i) for i, stage in enumerate(stages) for prefix in stage}


def discriminate(model: nn.Module, decay: float, stages: Stages | None = None) -> None:
    """Give the stages rates of their own, for every optimizer that `glia.optim` builds afterwards.

    They stand in the attribute `param_lr` of the model (see `glia.optim.groups`); what it had there is multiplied.
    """
    names = [name for name, _ in model.named_parameters()]
    made = rates(stages or stages_of(model), decay)
    factors = {prefix: factor for prefix, factor in made.items() if any(within(name, [prefix]) for name in names)}
    before: dict[str, float] = getattr(model, "param_lr", None) or {}
    for prefix, factor in before.items():
        outer = max((one for one in factors if within(prefix, [one])), key=len, default=None)
        factors[prefix] = factor * (factors[outer] if outer is not None else 1.0)
    model.param_lr = factors  # type: ignore[assignment]


def evenly(frozen: int, epochs: int) -> tuple[int, ...]:
    """Epochs (from 1) at which `frozen` stages thaw one by one over the first half of so many epochs.

    Where the epochs are fewer than that takes, several thaw at once.
    """
    half = max(epochs // 2, 1)
    return tuple(2 + (i * half) // max(frozen, 1) for i in range(frozen)) if epochs > 1 else ()


@dataclass(frozen=True)
class Thawing:
    """The plan of gradual unfreezing: a function of the epoch alone, so a run that is cut goes on as it would have.

    stages: as above. frozen: how many, from the input on, rest at first. at: epochs, counted from 1, at whose beginning
    the next one thaws, the last of the frozen ones first. fresh: names of parameters that train always.
    To `glia.fit` it is a `mode`: ``glia.fit(model, data, mode=Thawing.of(model, at=(2, 4)))``. In a loop of one's own
    it is called after each ``model.train()``: ``plan(model, epoch)``, epochs counted from 0.
    """

    stages: tuple[tuple[str, ...], ...]
    frozen: int
    at: tuple[int, ...] = ()
    fresh: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.frozen < len(self.stages):
            expected = f"0 to {len(self.stages) - 1}, or all (but the head)"
            raise GliaError("freeze (stages that rest at first)", got=self.frozen, expected=expected)
        if list(self.at) != sorted(self.at) or min(self.at, default=1) < 1:
            got = ",".join(map(str, self.at))
            raise GliaError("unfreeze_at", got=got, expected="epochs from 1 on, in their order")

    @classmethod
    def of(
        cls, model: nn.Module, frozen: int | str = "all", at: Sequence[int] = (), fresh: Iterable[str] = ()
    ) -> "Thawing":
        """The plan for this model's own stages. frozen: a number, or "all": all but the head."""
        found = tuple(tuple(stage) for stage in stages_of(model))
        count = len(found) - 1 if frozen == "all" else int(frozen)
        return cls(found, count, tuple(at), tuple(fresh))

    def resting(self, epoch: int) -> int:
        """How many stages, from the input on, rest in this epoch (from 0)."""
        return max(self.frozen - sum(at <= epoch + 1 for at in self.at), 0)

    def plan(self) -> dict[int, int]:
        """Epoch, counted from 1, at whose beginning something changes -> how many stages train from then on."""
        count = len(self.stages)
        return {epoch: count - self.resting(epoch - 1) for epoch in sorted({1, *self.at})}

    def __call__(self, model: nn.Module, epoch: int) -> None:
        """Freeze and thaw as this epoch has it; `model` is in training mode."""
        resting = self.resting(epoch)
        thaw(model, self._prefixes(resting, self.frozen))
        freeze(model, self._prefixes(0, resting), but=self.fresh)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise GliaError("nothing is left to train", got=f"{resting} frozen stages", hint="fewer with freeze=")

    def _prefixes(self, first: int, end: int) -> list[str]:
        return [prefix for stage in self.stages[first:end] for prefix in stage]

    def line(self) -> str:
        """The plan in words."""
        count = len(self.stages)
        if not self.frozen:
            return f"all {count} stages train from the first epoch"
        first, *later = self.plan().items()
        if first[1] == 1:
            begin = f"only the head of {count} stages trains at first"
        else:
            begin = f"the last {first[1]} of {count} stages train at first"
        if not later:
            return f"{begin}, and to the end"
        steps = ", ".join(f"{'all' if trains == count else f'the last {trains}'} from epoch {e}" for e, trains in later)
        return f"{begin}; {steps}"

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "stages": [list(stage) for stage in self.stages], "frozen": self.frozen, "unfreeze_at": list(self.at),
            "trains_from_epoch": {str(epoch): trains for epoch, trains in self.plan().items()},
        }  # fmt: skip

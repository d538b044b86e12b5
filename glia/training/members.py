"""Members: some networks that are trained together, what each was given and what became of it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from glia.errors import GliaError
from glia.optim.schedules import Schedule
from glia.seed import mix
from glia.training.best import Best
from glia.training.feed import Feed
from glia.training.nonfinite import NonFinite
from glia.training.steps import Step

Settings = Mapping[str, Any]


@dataclass
class Member:
    """One of many networks. In the end `model` has its best weights, as after `glia.fit`, and is in evaluation mode.

    history: the figures of each epoch, with "epoch" (from 0) and "lr". best, best_epoch: the figure that was watched,
    NaN before there is one. error: why it was set aside, where a loss or a gradient was not finite. going: in training.
    """

    number: int
    settings: Settings
    model: nn.Module
    history: list[dict[str, float]] = field(default_factory=list)
    best: float = math.nan
    best_epoch: int = -1
    error: NonFinite | None = None
    going: bool = True

    @property
    def order(self) -> int:
        """The seed of the order of rows."""
        return int(self.settings.get("order", self.settings["seed"]))

    def note(self, epoch: int, figures: Mapping[str, float], lr: float, monitor: str, *, best: bool) -> None:
        """Write an epoch down."""
        self.history.append({"epoch": epoch, **figures, "lr": lr})
        if best:
            self.best, self.best_epoch = figures[monitor], epoch


@dataclass(frozen=True)
class Many(Sequence[Member]):
    """The members in the order of their settings. together: were they trained side by side? why: why not, if not."""

    members: tuple[Member, ...]
    rises: bool
    together: bool
    why: str = ""

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, place: Any) -> Any:
        return self.members[place]

    @property
    def best(self) -> Member:
        """The member with the best figure. Raises GliaError where none has one."""
        sound = [member for member in self.members if not math.isnan(member.best)]
        if not sound:
            raise GliaError("no network has a figure", got=self.members[0].error, hint="a lower learning rate")
        return (max if self.rises else min)(sound, key=lambda member: member.best)


@dataclass(frozen=True)
class Plan:
    """What is the same for all members."""

    make_model: Callable[[int], nn.Module]
    make_optimizer: Callable[[nn.Module, Settings], Optimizer]
    feed: Feed
    step: Step
    epochs: int
    schedule: Schedule | None
    l1: float
    monitor: str
    rises: bool
    patience: int
    valid_every: int
    exact: bool

    def members(self, settings: Sequence[Settings]) -> list[Member]:
        """Networks with their first weights."""
        made = []
        for number, one in enumerate(settings):
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(mix(one["seed"], "weights"))
                made.append(Member(number, one, self.make_model(one["seed"])))
        if len({id(member.model) for member in made}) < len(made):
            raise GliaError("make_model gives the same network twice", expected="a new one at each call")
        return made

    def watch(self) -> Best:
        """Keeps the best weights of one member."""
        return Best(self.monitor, self.patience, higher_is_better=self.rises)

"""Many networks of one shape in one process: other seeds, rates, decays, each by the rules of `glia.fit`."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from glia.errors import GliaError, unknown
from glia.optim.build import build as build_optimizer
from glia.optim.schedules import Schedule
from glia.training.abreast import Abreast
from glia.training.best import rises
from glia.training.feed import Feed
from glia.training.loop import Moment, fit
from glia.training.members import Many, Member, Plan, Settings
from glia.training.nonfinite import NonFinite
from glia.training.stacked import Apart
from glia.training.steps import Step, supervised

KNOWN = ("seed", "order", "lr", "weight_decay", "clip")


def fit_many(
    make_model: Callable[[int], nn.Module],
    data: Any,
    settings: Sequence[Settings],
    *,
    step: Step | None = None,
    optimizer: str | Callable[[nn.Module, Settings], Optimizer] = "adamw",
    momentum: float | None = None,
    epochs: int = 1,
    batch_size: int = 32,
    schedule: Schedule | None = None,
    l1: float = 0.0,
    monitor: str = "valid_loss",
    patience: int = 0,
    valid_every: int = 1,
    exact: bool = True,
    drop: Callable[[int, Sequence[Member]], Iterable[int]] | None = None,
) -> Many:
    """Train a network for each of `settings`, each as `glia.fit` would by itself, all in one process.

    make_model: seed -> network; torch's generator is set from the seed as well. settings: for each network "seed", and
    where wanted "lr" (1e-3), "weight_decay", "clip" (the limit of the gradient's norm) and "order", the seed of the
    order of rows where that is not to be "seed". optimizer: a name that `glia list` knows, or a function of a network
    and its settings that makes a torch optimizer. drop: called after each epoch with its number and the members that
    are still in training; those whose numbers it returns end there. exact=False allows networks with dropout to draw
    other random numbers than they would alone. The rest is as in `glia.fit`: data, figures, best weights.

    Small networks are stacked and trained side by side: a step costs mostly calls, and those are then as few as of one.
    Weights are those of single runs but for rounding. Where that cannot be, they are trained one by one, and a warning
    says why. A member whose loss or gradient is not finite is set aside with its `error`; the others go on.
    """
    _check(settings)
    step = step or supervised("cross_entropy")
    feed = Feed.of(data, batch_size)
    feed = feed.on_train() if getattr(step, "valid_on_train", False) else feed
    make = optimizer if callable(optimizer) else partial(_named, optimizer, momentum)
    up = rises(monitor, getattr(step, "metric", None))
    monitor = monitor if feed.valid is not None else "train_loss"
    plan = Plan(make_model, make, feed, step, epochs, schedule, l1, monitor, up, patience, valid_every, exact)
    members, why = plan.members(settings), ""
    noise = torch.default_generator.get_state()
    try:
        try:
            rounds = Abreast(plan, members).rounds()
        except Apart as reason:
            why = str(reason)
            warnings.warn(f"the networks are trained one by one: {why}", stacklevel=2)
            members = plan.members(settings)  # trying may have changed what a module counts
            rounds = _one_by_one(plan, members)
        for epoch in rounds:
            going = [member for member in members if member.going]
            for number in drop(epoch, going) if drop and going else ():
                members[number].going = False
    finally:
        torch.default_generator.set_state(noise)
    return Many(tuple(members), up, not why, why)


def _check(settings: Sequence[Settings]) -> None:
    if not settings:
        raise GliaError("no settings", expected="one dict for each network")
    for one in settings:
        if not isinstance(one, Mapping) or "seed" not in one:
            raise GliaError("the settings of a network", got=one, expected="a dict with its 'seed'")
        for name in one:
            if name not in KNOWN:
                raise unknown("setting of a network", name, KNOWN)


def _named(name: str, momentum: float | None, model: nn.Module, settings: Settings) -> Optimizer:
    return build_optimizer(name, model, settings.get("lr", 1e-3), settings.get("weight_decay"), momentum)


def _one_by_one(plan: Plan, members: Sequence[Member]) -> Iterator[int]:
    """The same without stacking: an epoch of each in turn."""
    runs = {member.number: _run(plan, member) for member in members}
    try:
        for epoch in range(plan.epochs):
            for member in members:
                if member.going:
                    _epoch(plan, member, runs[member.number])
            yield epoch
            for member in members:
                if not member.going:
                    runs[member.number].close()
            if not any(member.going for member in members):
                return
    finally:
        for member in members:
            runs[member.number].close()
            member.going = False


def _run(plan: Plan, member: Member) -> Any:
    optimizer = plan.make_optimizer(member.model, member.settings)
    clip = member.settings.get("clip")
    data = (plan.feed.train, plan.feed.valid)
    return fit(
        member.model, data, step=plan.step, optimizer=optimizer, epochs=plan.epochs, batch_size=plan.feed.batch_size,
        schedule=plan.schedule, clip=clip, l1=plan.l1, monitor=plan.monitor,
        patience=plan.patience, valid_every=plan.valid_every, seed=member.order,
    )  # fmt: skip


def _epoch(plan: Plan, member: Member, run: Iterator[Moment]) -> None:
    try:
        for moment in run:
            if moment.kind == "epoch":
                member.note(moment.epoch, moment.figures, moment.lr, plan.monitor, best=moment.best)
                member.going = not moment.last
                return
    except NonFinite as odd:
        member.error, member.going = odd, False

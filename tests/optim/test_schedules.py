"""Schedules against torch's own, point by point."""

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler as theirs

from glia.catalog.entry import entries, find, names
from glia.errors import GliaError
from glia.optim import schedules as ours

BASE = 0.3


def rates(make: Callable[[torch.optim.Optimizer], theirs.LRScheduler], steps: int) -> list[float]:
    """The multipliers that torch's scheduler gives in the first `steps` updates."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
    scheduler = make(optimizer)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"] / BASE)
        optimizer.step()
        scheduler.step()
    return seen


def multipliers(schedule: ours.Schedule, steps: int) -> list[float]:
    return [schedule(step, ()) for step in range(steps)]


PAIRS = {
    "step": (ours.step(7, 0.3), lambda o: theirs.StepLR(o, 7, 0.3)),
    "exponential": (ours.exponential(1, 0.93), lambda o: theirs.ExponentialLR(o, 0.93)),
    "cosine": (ours.cosine(39, 0.1), lambda o: theirs.CosineAnnealingLR(o, 39, 0.1 * BASE)),
    "warm restarts": (
        ours.warm_restarts(5, 2, 0.01),
        lambda o: theirs.CosineAnnealingWarmRestarts(o, 5, 2, 0.01 * BASE),
    ),
    "equal restarts": (ours.warm_restarts(8, 1), lambda o: theirs.CosineAnnealingWarmRestarts(o, 8, 1)),
    "linear": (ours.linear(30, 1.0, 0.2), lambda o: theirs.LinearLR(o, 1.0, 0.2, 30)),
    "one cycle": (ours.one_cycle(40), lambda o: theirs.OneCycleLR(o, BASE, total_steps=40, cycle_momentum=False)),
    "one cycle, odd": (
        ours.one_cycle(40, 0.41, 10, 300),
        lambda o: theirs.OneCycleLR(
            o, BASE, total_steps=40, pct_start=0.41, div_factor=10, final_div_factor=300, cycle_momentum=False
        ),
    ),
    "warm-up": (
        ours.warm_up(ours.cosine(30), 9),
        lambda o: theirs.SequentialLR(
            o, [theirs.LinearLR(o, 1 / 10, 1.0, 9), theirs.CosineAnnealingLR(o, 30)], milestones=[9]
        ),
    ),
}


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step:UserWarning")
@pytest.mark.parametrize("name", PAIRS)
def test_equals_torch(name: str) -> None:
    schedule, make = PAIRS[name]
    assert multipliers(schedule, 39) == pytest.approx(rates(make, 39), rel=1e-9, abs=1e-12)


@given(
    losses=st.lists(st.sampled_from([3.0, 2.0, 1.99999, 1.9, 1.0, 0.5, 0.0, -1.0, math.nan, math.inf]), max_size=40),
    patience=st.integers(0, 4),
)
def test_plateau_equals_torch(losses: Sequence[float], patience: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = theirs.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience, threshold=1e-4, eps=0.0)
    schedule = ours.plateau(0.5, patience, 1e-4)
    for count, loss in enumerate(losses, 1):
        scheduler.step(loss)
        assert schedule(1000 + count, losses[:count]) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)


def test_plateau_holds_its_floor_and_begins_at_one() -> None:
    schedule = ours.plateau(0.1, 0, floor=0.05)
    assert [schedule(0, [1.0] * count) for count in range(4)] == [1.0, 1.0, 0.1, 0.05]


@pytest.mark.parametrize("name", names("schedules"))
@pytest.mark.parametrize(("total", "warmup"), [(1, 0.0), (2, 0.4), (3, 0.9), (10, 0.05), (1000, 0.1)])
def test_built_schedules_stay_in_range_and_end_where_the_catalogue_says(name: str, total: int, warmup: float) -> None:
    schedule = ours.build(name, total, max(total // 10, 1), warmup)
    seen = multipliers(schedule, total + 5)
    assert all(0 <= value <= 1 + 1e-12 for value in seen)
    assert seen[: total - 1] == multipliers(schedule, total + 5)[: total - 1]
    ends_at = find("schedules", name).facts["ends_at"]
    if total == 1000 and ends_at is not None:
        assert seen[total - 1] == pytest.approx(ends_at, abs=6e-3)


@pytest.mark.parametrize("entry", entries("schedules"), ids=lambda entry: entry.name)
def test_warm_up_rises_to_where_the_schedule_begins(entry: object) -> None:
    name = entry.name  # type: ignore[attr-defined]
    plain, warm = ours.build(name, 90, 10), ours.build(name, 100, 10, 0.1)
    assert multipliers(warm, 10) == pytest.approx([plain(0, ()) * (t + 1) / 11 for t in range(10)])
    assert [warm(t + 10, ()) for t in range(90)] == multipliers(plain, 90)


def test_options_reach_the_schedule() -> None:
    assert ours.build("Cosine-Annealing", 10, 5, floor=0.25)(10, ()) == 0.25
    assert ours.build("step", 100, 5, every=10, factor=0.5)(25, ()) == 0.25
    half_every_ten_epochs = ours.build("step", 300, 10, epochs=10, factor=0.5)
    assert [half_every_ten_epochs(step, ()) for step in (0, 99, 100, 299)] == [1, 1, 0.5, 0.25]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "cosin"}, "unknown schedule 'cosin'.*'cosine'"),
        ({"flor": 0.1}, "unknown option of cosine 'flor'.*'floor'"),
        ({"epochs": 3}, "unknown option of cosine 'epochs'"),
        ({"name": "constant", "floor": 0.1}, "constant takes no options"),
        ({"name": "warm_restarts", "longer": 0.5}, "longer.*0.5.*at least 1"),
        ({"warmup_share": 1.0}, "warmup"),
        ({"total_steps": 0}, "0 steps"),
        ({"name": "step", "every": 0}, "every of schedule step; got 0"),
    ],
)
def test_what_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(GliaError, match=message):
        ours.build(**{"name": "cosine", "total_steps": 10, "steps_per_epoch": 5, **arguments})  # type: ignore[arg-type]

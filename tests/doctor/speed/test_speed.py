"""What costs time and memory is worth a note; what will end the run when the memory does is more."""

import pytest

from glia.doctor.checks.speed import memory_growth, slow_loading, wasted_sync
from glia.vitals.chart import Chart, ClockFacts, LoopFacts, StepVitals


def timed(steps: int = 100, epochs: float = 10, **clock: object) -> Chart:
    return Chart(
        steps=[StepVitals(i, 1.0) for i in range(steps)], clock=ClockFacts(**clock), loop=LoopFacts(epochs, steps)
    )


@pytest.mark.parametrize(("steps", "step_s", "wait_s", "found"), [
    (100, 0.02, 0.015, True), (100, 0.02, 0.002, False), (100, 0.0005, 0.0004, False), (10, 0.02, 0.015, False),
    (100, float("nan"), float("nan"), False), (100, 0.0018, 0.0009, False),
])  # fmt: skip
def test_waiting_counts_over_a_fair_number_of_steps_that_take_a_while(steps, step_s, wait_s, found):
    told = list(slow_loading.check(timed(steps, step_s=step_s, wait_s=wait_s)))
    assert [f.severity for f in told] == ["note"] * found


def test_more_workers_than_now_are_proposed():
    (found,) = slow_loading.check(timed(step_s=0.02, wait_s=0.01, workers=2))
    assert "num_workers=4" in found.cure


MB = 1e6


@pytest.mark.parametrize("memory", [
    [100 * MB] * 20,
    [100 * MB + i * MB for i in range(20)],  # too little to matter
    [100 * MB + min(i, 8) * 50 * MB for i in range(20)],  # it grew, and then no more
    [100 * MB + (400 * MB if i > 12 else 0) for i in range(20)],  # once, at one place
    [100 * MB + 60 * MB * (-1) ** i for i in range(20)],  # up and down
    [100 * MB, 900 * MB],
])  # fmt: skip
def test_memory_that_does_not_grow_to_the_end_is_no_fault(memory):
    assert not list(memory_growth.check(timed(memory=tuple(memory))))


def test_memory_that_grows_evenly_is_sure_once_the_rows_came_again():
    memory = tuple(100 * MB + i * 10 * MB for i in range(20))
    (found,) = memory_growth.check(timed(memory=memory))
    assert found.alarms and found.sure
    (found,) = memory_growth.check(timed(memory=memory, epochs=1))
    assert not found.alarms  # rows that are read in for the first time may be kept


def test_fetches_count_at_every_step_of_a_quick_loop_only():
    assert [f.severity for f in wasted_sync.check(timed(step_s=0.004, syncs=1.0))] == ["note"]
    for clock in ({"step_s": 0.004, "syncs": 0.02}, {"step_s": 0.5, "syncs": 1.0}, {"step_s": 0.004}):
        assert not list(wasted_sync.check(timed(**clock)))

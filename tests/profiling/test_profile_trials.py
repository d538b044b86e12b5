"""Trials: what is faster is found faster, numbers are compared, and nothing that was given is touched."""

import time
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from glia.profiling.changes import candidates
from glia.profiling.trials import Trials, gaps, numbers
from glia.profiling.work import Change, Rig, Work


class Nap(nn.Module):
    """Sleeps until somebody wakes it."""

    seconds = 0.004

    def forward(self, x):
        time.sleep(self.seconds)
        return x


def work(*, dropout: float = 0.0, conv: bool = False) -> Work:
    generator = torch.Generator().manual_seed(0)
    body: list[nn.Module] = [nn.Linear(8, 8), Nap(), nn.Dropout(dropout), nn.Linear(8, 3)]
    x = torch.randn(64, 8, generator=generator)
    if conv:
        body = [nn.Unflatten(1, (2, 2, 2)), nn.Conv2d(2, 4, 2), nn.Flatten(), nn.Linear(4, 3)]
    y = torch.randint(0, 3, (64,), generator=generator)

    def cut(times: int):
        return [(x[at : at + 8 * times], y[at : at + 8 * times]) for at in range(0, 64, 8 * times)]

    return Work(
        [nn.Sequential(*body)], cut(1), 8, lambda models, batch: F.cross_entropy(models[0](batch[0]), batch[1]),
        lambda models, options: [torch.optim.Adam(models[0].parameters(), **options)], larger=cut,
    )  # fmt: skip


@contextmanager
def awake():
    before, Nap.seconds = Nap.seconds, 0.001
    try:
        yield
    finally:
        Nap.seconds = before


def test_a_change_that_helps_is_told_with_its_figures_and_equal_numbers() -> None:
    trial = Trials(work(), 2.0).attempt(Change("less sleep", "wake it", (awake,)), 1.0)
    assert trial.helps and not trial.error
    assert 1.5 < trial.faster < 5
    assert trial.low <= trial.faster <= trial.high
    assert trial.after < trial.before
    assert trial.numbers == "numbers equal to the last bit"


def test_a_change_that_does_nothing_helps_nobody() -> None:
    assert not Trials(work(), 2.0).attempt(Change("nothing", ""), 0.5).helps


def test_what_cannot_be_done_is_told() -> None:
    @contextmanager
    def broken():
        raise RuntimeError("no such device")
        yield

    trial = Trials(work(), 2.0).attempt(Change("broken", "", (broken,)), 0.5)
    assert trial.error == "RuntimeError: no such device" and not trial.helps


def test_more_rows_are_timed_by_the_row() -> None:
    """A step that sleeps takes as long with four times the rows: by the row it is about four times faster."""
    trial = Trials(work(), 2.0).attempt(Change("more rows", "", rows=4, apart=True), 0.5)
    assert 2.5 < trial.faster < 5
    assert trial.per == "for as many rows"
    assert "not compared" in trial.numbers


def test_numbers_differ_by_what_the_change_makes_them_differ() -> None:
    made = work(dropout=0.5)
    same = numbers(made, None)
    assert gaps(same, numbers(made, None)) == (0.0, 0.0)  # dropout draws, but not here
    half = gaps(same, numbers(made, Change("bfloat16", "", autocast=True)))
    assert all(1e-5 < gap < 0.1 for gap in half)
    rate = gaps(same, numbers(made, Change("another rate", "", options={"lr": 0.1})))
    assert rate[0] > 0.01 and rate[1] == 0.0  # the first gradients are those of the same weights


def test_nothing_that_was_given_is_touched() -> None:
    made = work(conv=True)
    before = {name: value.clone() for name, value in made.models[0].state_dict().items()}
    strides = [p.stride() for p in made.models[0].parameters()]
    drawn, threads = torch.get_rng_state(), torch.get_num_threads()
    Trials(made, 1.0).try_all(list(candidates(made)))
    assert torch.equal(torch.get_rng_state(), drawn)
    assert torch.get_num_threads() == threads
    assert all(torch.equal(value, before[name]) for name, value in made.models[0].state_dict().items())
    assert [p.stride() for p in made.models[0].parameters()] == strides
    assert all(p.grad is None for p in made.models[0].parameters())


def test_only_what_the_step_leaves_room_for_is_tried() -> None:
    def names(made: Work) -> set[str]:
        return {change.name for change in candidates(made)}

    plain = names(work())
    assert {"bfloat16 autocast", "fused optimiser", "4 times the rows a step"} <= plain
    assert "channels_last" not in plain and "channels_last" in names(work(conv=True))
    made = work()
    made.half, made.larger, made.usual = True, None, Change("as it is", "", (awake,))
    made.optimizers = lambda models, options: [torch.optim.Adam(models[0].parameters(), fused=True)]
    assert not {"bfloat16 autocast", "fused optimiser", "4 times the rows a step", "anomaly mode off"} & names(made)


def test_anomaly_mode_stays_on_for_all_but_the_change_that_turns_it_off() -> None:
    made = work()
    made.anomaly, made.usual = True, Change("as it is", "", (lambda: torch.autograd.set_detect_anomaly(True),))
    seen = {}
    for change in candidates(made):
        with Rig(made, change).within():
            seen[change.name] = torch.is_anomaly_enabled()
    assert seen.pop("anomaly mode off") is False
    assert all(seen.values()) and not torch.is_anomaly_enabled()


@pytest.mark.parametrize("name", ["channels_last", "bfloat16 autocast"])
def test_rigs_do_what_the_change_says(name: str) -> None:
    made = work(conv=True)
    change = next(one for one in candidates(made) if one.name == name)
    rig = Rig(made, change)
    if name == "channels_last":
        assert rig.models[0][1].weight.is_contiguous(memory_format=torch.channels_last)
    else:
        seen = []
        rig.models[0][3].register_forward_hook(lambda module, args, out: seen.append(out.dtype))
        rig.loss()
        assert seen == [torch.bfloat16]

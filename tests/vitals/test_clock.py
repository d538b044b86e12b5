"""The clock counts what passes while a loader works, sees what is kept, and leaves the loader alone."""

import mmap

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torch.utils.data.dataloader import _BaseDataLoaderIter

import glia.vitals.clock
from glia.vitals.clock import MOST_SAMPLES, MOST_STEPS, clock


class Time:
    """Passes only when it is told to, so that a busy machine changes nothing."""

    now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


sleeping = Time()


@pytest.fixture
def made_up_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glia.vitals.clock, "perf_counter", lambda: sleeping.now)


def page() -> mmap.mmap:
    """Half a megabyte from the system itself: a tensor may get what earlier tests gave back."""
    memory = mmap.mmap(-1, 2**19, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.write(b"x" * 2**19)
    return memory


class Slow(Dataset):
    def __init__(self, rows: int, seconds: float):
        self.rows, self.seconds = rows, seconds

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> torch.Tensor:
        sleeping.sleep(self.seconds)
        return torch.tensor(float(index))


def test_the_odd_wait_is_not_usual_but_bursts_are(made_up_time):
    """A program that is put off in one wait of twenty does not wait for its rows; a loader that reads every tenth
    batch from a disk does."""
    with clock() as c:
        for step in range(201):
            c.waited(0.040 if step % 20 == 7 else 0.0001)
            sleeping.sleep(0.001)
            c.step()
    assert c.facts().wait_s == pytest.approx(0.0001)
    with clock() as c:
        for step in range(201):
            c.waited(0.040 if step % 10 == 7 else 0.0001)
            sleeping.sleep(0.041)
            c.step()
    assert c.facts().wait_s > 0.002


def test_waiting_is_told_from_working(made_up_time):
    with clock() as c:
        for _ in DataLoader(Slow(80, 0.002), batch_size=2):
            sleeping.sleep(0.004)
            c.step()
        for _ in range(2):
            with torch.no_grad():  # an evaluation: no part of a training step's wait
                for _ in DataLoader(Slow(10, 0.005)):
                    pass
            c.step()
    facts = c.facts()
    assert facts.wait_s == pytest.approx(0.004, rel=0.06)
    assert facts.step_s == pytest.approx(0.008, rel=0.06)
    assert facts.workers == 0


def test_a_loader_gives_the_same_and_nothing_stays_behind():
    def batches() -> list[list[float]]:
        torch.manual_seed(0)
        loader = DataLoader(TensorDataset(torch.arange(32.0)), batch_size=8, shuffle=True)
        return [x.tolist() for _ in range(2) for (x,) in loader] + [[torch.rand(()).item()]]

    before = DataLoader.__iter__, _BaseDataLoaderIter.__next__
    plain = batches()
    with pytest.raises(KeyError), clock():
        assert batches() == plain
        raise KeyError
    assert (DataLoader.__iter__, _BaseDataLoaderIter.__next__) == before
    assert batches() == plain


def test_workers_are_counted():
    with clock() as c:
        for _ in DataLoader(TensorDataset(torch.arange(4.0)), num_workers=1):
            c.step()
    assert c.facts().workers == 1 and c.facts().wait_s > 0


def test_a_loader_within_a_loader_is_counted_once(made_up_time):
    class Outer(Slow):
        def __getitem__(self, index: int) -> torch.Tensor:
            return next(iter(DataLoader(Slow(1, self.seconds))))

    with clock() as c:
        for _ in DataLoader(Outer(12, 0.01)):
            c.step()
    assert c.facts().wait_s == pytest.approx(0.01)


def test_memory_that_is_kept_is_seen_and_what_the_observer_holds_is_not():
    kept = []
    with clock() as c:
        for _ in range(200):
            kept.append(page())
            c.step()
    seen = c.facts().memory
    assert len(seen) <= MOST_SAMPLES
    assert seen[-1] - seen[0] == pytest.approx(len(kept) * 2**19, rel=0.2)
    assert seen[len(seen) // 2] - seen[0] == pytest.approx((seen[-1] - seen[0]) / 2, rel=0.3)
    with clock() as c:
        for step in range(50):
            kept.append(page())
            c.held = (step + 1) * 2**19
            c.step()
    assert abs(c.facts().memory[-1] - c.facts().memory[0]) < 4e6


def test_a_long_run_keeps_little():
    with clock() as c:
        for _ in range(20_000):
            c.step()
    assert len(c.work) < MOST_STEPS and len(c.memory) < MOST_SAMPLES


def test_a_run_of_no_steps_has_no_figures():
    with clock() as c:
        pass
    facts = c.facts()
    assert facts.step_s != facts.step_s and facts.memory == ()

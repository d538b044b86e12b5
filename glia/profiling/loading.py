"""Loading: other ways to fetch the same batches, each timed with the step that follows them, turn by turn."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, TensorDataset

from glia.data.batches import usable_cores
from glia.profiling.trials import (
    GAIN,
    LATE,
    LOOKS,
    MOST_ROUNDS,
    ROUNDS,
    Budget,
    Timing,
    Trial,
    Turn,
    aside,
    compare,
    told,
    turn_of,
)
from glia.profiling.work import WARM, Change, Rig, Work
from glia.vitals.tape import leaves, mapped

TURN_S = 0.15  # a turn takes about so long
HELD = 4  # batches that stand for all rows in memory
MOST_BYTES = 2**31  # of all rows
SAME = 3  # rows that are fetched twice, to see whether they come out the same
Fetch = Callable[[], Any]


class _Endless:
    """Batches of a loader, epoch after epoch."""

    def __init__(self, loader: DataLoader[Any]):
        self.loader, self.batches = loader, iter(loader)

    def __call__(self) -> Any:
        try:
            return next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            return next(self.batches)


def loader_trials(
    loader: DataLoader[Any], work: Work, seconds: float, tell: Callable[[str], None] = lambda line: None
) -> list[Trial]:
    """What another way of loading gains; the steps are made on copies, with batches that were seen before."""
    budget = Budget(seconds)
    trials: list[Trial] = []
    with aside():
        rig = Rig(work)
        base = _turn(rig, _Endless(loader))
        base(WARM)
        each = base(WARM) / WARM
        steps = max(1, round(TURN_S / max(each, 1e-6)))
        ways = list(_ways(loader))
        for number, (change, make, said) in enumerate(ways):
            if budget.left <= -seconds:
                trials.append(Trial(change, error=LATE))
                continue
            tell(f"trying {change.name}")
            share = Budget(max(0.0, budget.left) / (len(ways) - number))  # three turns each in any case
            try:
                trials.append(replace(_tried(base, _turn(rig, make()), change, steps, share), said=said))
            except Exception as error:  # a data set that cannot go to workers, or is closed by now
                trials.append(Trial(change, error=f"{type(error).__name__}: {str(error).partition(chr(10))[0][:160]}"))
    return trials


def _tried(base: Turn, turn: Turn, change: Change, steps: int, budget: Budget) -> Trial:
    turn(2 * WARM)
    timing = compare(base, turn, steps, LOOKS, Timing())
    if median(timing.ratios) >= GAIN:
        compare(base, turn, steps, ROUNDS - LOOKS, timing)
        compare(base, turn, steps, MOST_ROUNDS - ROUNDS, timing, budget)
    return told(change, timing, per="a step with its batch")


def _turn(rig: Rig, fetch: Fetch) -> Turn:
    return turn_of(rig, lambda: _sent(fetch(), rig.device))


def _sent(batch: Any, device: torch.device) -> None:
    """To the device, as the script does with its batches; the step itself takes those that were kept."""
    if device.type != "cpu":
        for tensor in leaves(batch):
            tensor.to(device, non_blocking=True)


def _ways(loader: DataLoader[Any]) -> Iterator[tuple[Change, Callable[[], Fetch], str]]:
    """(change, what makes its fetching, what becomes of the numbers)."""
    data: Any = loader.dataset
    if isinstance(data, IterableDataset):
        return
    cores = usable_cores()
    same = _same(data)
    rows = "the same rows" if same else "the same rows, but what they draw at random comes from other seeds"
    for count in sorted({0, min(cores, 8)} - {loader.num_workers}):
        yield (
            Change(f"{count} loader workers, not {loader.num_workers}", _line(count)),
            lambda count=count: _Endless(_like(loader, num_workers=count, persistent_workers=count > 0)),  # type: ignore[misc]
            rows,
        )
    if torch.cuda.is_initialized() and not loader.pin_memory:
        change = Change("pinned memory", "DataLoader(..., pin_memory=True); x.to(device, non_blocking=True)")
        yield change, lambda: _Endless(_like(loader, pin_memory=True)), "the same rows"
    plain = loader.batch_size is not None and loader.num_workers == 0
    if plain and isinstance(data, TensorDataset) and same:
        line = "DataLoader(data, sampler=BatchSampler(RandomSampler(data), batch_size, False), batch_size=None)"
        yield Change("batches fetched at once", line), lambda: _Endless(_at_once(loader)), "the same rows"
    if plain and same and _bytes(data) <= MOST_BYTES:
        said = f"the same rows; all of them take {_bytes(data) / 2**20:.3g} MiB"
        line = "x, y = default_collate([row for row in data]) once; then x[j], y[j] with j of torch.randperm(len(x))"
        yield Change("rows held in memory", line), lambda: _held(loader), said


def _line(count: int) -> str:
    return f"DataLoader(..., num_workers={count}" + (", persistent_workers=True)" if count else ")")


def _like(loader: DataLoader[Any], **changes: Any) -> DataLoader[Any]:
    """A loader of the same batches."""
    known: dict[str, Any] = {
        "num_workers": loader.num_workers,
        "collate_fn": loader.collate_fn,
        "pin_memory": loader.pin_memory,
        "worker_init_fn": loader.worker_init_fn,
        "timeout": loader.timeout,
    }
    if loader.batch_size is None and loader.batch_sampler is not None:
        known["batch_sampler"] = loader.batch_sampler
    elif loader.batch_size is None:
        known |= {"batch_size": None, "sampler": loader.sampler}
    else:
        known |= {"batch_size": loader.batch_size, "sampler": loader.sampler, "drop_last": loader.drop_last}
    return DataLoader(loader.dataset, **{**known, **changes})


def _at_once(loader: DataLoader[Any]) -> DataLoader[Any]:
    sampler = BatchSampler(loader.sampler, loader.batch_size or 1, loader.drop_last)
    return DataLoader(loader.dataset, sampler=sampler, batch_size=None)


def _held(loader: DataLoader[Any]) -> Fetch:
    """Rows of some batches as they lie in memory, taken at random."""
    fetch = _Endless(loader)
    batches = [fetch() for _ in range(HELD)]
    columns = [torch.cat(parts) for parts in zip(*(leaves(batch) for batch in batches), strict=True)]
    size, rows = len(leaves(batches[0])[0]), len(columns[0])

    def take() -> Any:
        places = torch.randint(rows, (size,))
        given = iter(columns)
        return mapped(batches[0], lambda _: next(given)[places])

    return take


def _same(data: Any) -> bool:
    """Does a row come out the same each time?"""
    with suppress(Exception):
        return all(_equal(data[i], data[i]) for i in range(min(SAME, len(data))))
    return False


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, list | tuple):
        return all(_equal(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict):
        return all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, Tensor) or hasattr(one, "__array__"):
        return bool(torch.equal(torch.as_tensor(one), torch.as_tensor(other)))
    return bool(one == other)


def _bytes(data: Any) -> float:
    """Of all rows, by the first."""
    with suppress(Exception):
        first = leaves(torch.utils.data.default_collate([data[0]]))
        return float(sum(t.numel() * t.element_size() for t in first) * len(data))
    return float("inf")

"""Batches: every row once an epoch, in an order that is a function of seed and epoch; rows of like lengths together."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glia.data.batches import Batches
from glia.data.ragged import Ragged

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=60)


def texts(lengths: list[int], pad: int = -1) -> tuple[Ragged, list[torch.Tensor]]:
    rows = [torch.arange(n) + 100 * i for i, n in enumerate(lengths)]
    return Ragged.of(rows, pad), rows


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(1, 9), st.integers(0, 3))
def test_each_row_comes_once_and_whole(lengths: list[int], size: int, epoch: int) -> None:
    inputs, rows = texts(lengths)
    batches = Batches(inputs, torch.zeros(len(rows)), torch.arange(len(rows)), lengths=inputs.lengths)
    seen: list[int] = []
    for batch in batches.epoch(0, epoch, size):
        assert batch.inputs.shape[1] == max(lengths[i] for i in batch.index.tolist())
        for row, i in zip(batch.inputs, batch.index.tolist(), strict=True):
            assert torch.equal(row[: lengths[i]], rows[i]) and (row[lengths[i] :] == -1).all()
        seen += batch.index.tolist()
    assert sorted(seen) == list(range(len(rows)))
    again = [batch.index.tolist() for batch in batches.epoch(0, epoch, size)]
    assert [i for part in again for i in part] == seen
    start = len(again) // 2
    assert [batch.index.tolist() for batch in batches.epoch(0, epoch, size, start)] == again[start:]
    assert sorted(i for batch in batches.ordered(size) for i in batch.index.tolist()) == sorted(seen)


def test_little_is_filled_up_and_the_order_changes() -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = (torch.rand(5000, generator=generator) ** 3 * 195 + 5).long()
    inputs = Ragged.of([torch.ones(int(n)) for n in lengths], 0.0)
    batches = Batches(inputs, torch.zeros(5000), torch.arange(5000), lengths=inputs.lengths)
    orders = []
    for epoch in range(2):
        filled, order = 0, []
        for batch in batches.epoch(0, epoch, 32):
            filled += batch.inputs.numel()
            order.append(frozenset(batch.index.tolist()))
        assert 1 - lengths.sum() / filled < 0.05
        orders.append(order)
    assert not set(orders[0]) & set(orders[1])  # batches are made of other rows each epoch
    sizes = [lengths[torch.tensor(sorted(one))].float().mean() for one in orders[0]]
    thirds = torch.tensor(sizes).tensor_split(3)
    assert max(third.mean() for third in thirds) < 2.5 * min(third.mean() for third in thirds)  # no length comes first


def test_rows_with_a_shape_and_sequences_as_targets() -> None:
    rows = [torch.randn(n, 3) for n in (2, 5, 1)]
    inputs = Ragged.of(rows, float("nan"))
    taken = inputs.take(torch.tensor([2, 1]))
    assert taken.shape == (2, 5, 3) and torch.equal(taken[1], rows[1]) and taken[0, 1:].isnan().all()
    batches = Batches(inputs, texts([3, 1, 2])[0], torch.arange(3), lengths=inputs.lengths)
    batch = next(batches.ordered(3))
    assert batch.index.tolist() == [2, 0, 1] and batch.targets.tolist() == [[200, 201, -1], [0, 1, 2], [100, -1, -1]]
    assert inputs.take(torch.tensor([], dtype=torch.int64)).shape == (0, 0, 3)


def test_answers_of_unequal_lengths_fill_up_within_their_own_batch() -> None:
    targets, _ = texts([1, 1, 1, 1, 1, 1, 1, 9])
    batches = Batches(torch.arange(8.0)[:, None], targets, torch.arange(8))
    widths = [batch.targets.shape[1] for batch in batches.epoch(0, 0, 2)]
    assert sorted(widths) == [1, 1, 1, 9]

"""outputs_of: decoded, in order, and nothing of the model or of torch's random state is changed by it."""

import pytest
import torch
from torch import nn

from glia.data.batches import Batches
from glia.data.task import Task
from glia.predict.measure import own_units
from glia.predict.outputs import evaluating, forward, outputs_of, part_of


@pytest.fixture
def task() -> Task:
    return Task("classify", ("y",), ("a", "b", "c"))


@pytest.fixture
def model() -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    for weight in net.parameters():
        nn.init.normal_(weight, generator=generator)
    return net


@pytest.fixture
def batches() -> Batches:
    generator = torch.Generator().manual_seed(2)
    rows = torch.arange(37) * 2
    targets = torch.randint(0, 3, (37,), generator=generator)
    return Batches(torch.randn(37, 4, generator=generator), targets, rows)


def test_rows_come_back_in_order_decoded(model: nn.Module, batches: Batches, task: Task) -> None:
    got = outputs_of(model, batches, task, batch_size=10)
    model.eval()
    want = model(batches.inputs).softmax(-1)
    torch.testing.assert_close(got, want.detach())
    assert got.dtype == torch.float32
    assert not got.requires_grad


def test_modes_buffers_and_random_state_are_as_before(model: nn.Module, batches: Batches, task: Task) -> None:
    model.train()
    model[1].eval()  # a frozen layer
    before, state = torch.get_rng_state(), {k: v.clone() for k, v in model.state_dict().items()}
    outputs_of(model, batches, task)
    assert [m.training for m in model] == [True, False, True, True, True]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_modes_are_restored_after_a_failure(model: nn.Module) -> None:
    model.train()
    with pytest.raises(RuntimeError), evaluating(model):
        assert not model[1].training
        model(torch.zeros(1, 99))
    assert model[1].training


def test_no_rows_give_no_outputs(model: nn.Module, task: Task) -> None:
    empty = Batches(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    assert outputs_of(model, empty, task).shape == (0, 3)


def test_weights_of_16_bits(model: nn.Module, batches: Batches, task: Task) -> None:
    model.eval()
    want = outputs_of(model, batches, task)
    got = outputs_of(model.to(torch.bfloat16), batches, task)
    assert got.dtype == torch.float32
    assert (got - want).abs().max() < 0.05


def test_a_part_is_in_own_units() -> None:
    task = Task("regress", ("y",), center=(10.0,), scale=(2.0,))
    batches = Batches(torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [1.0]]), torch.tensor([5, 9]))
    part = part_of(nn.Identity(), batches, task)
    assert part["rows"].tolist() == [5, 9]
    assert part["targets"].tolist() == [[10.0], [12.0]] == own_units(task, batches.targets).tolist()
    assert part["outputs"].tolist() == [[12.0], [14.0]]


def test_a_model_without_weights_runs_where_the_rows_are() -> None:
    assert forward(nn.Identity(), torch.zeros(1, 2), Task("multilabel", ("a", "b"))).tolist() == [[0.5, 0.5]]

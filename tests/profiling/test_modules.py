"""By module: what is slow is found where it is, and operations are those of the hand count."""

import time

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.profiling.memory import memory_of
from glia.profiling.modules import Part, flops_of, seconds_by_module
from glia.profiling.work import Rig, Work

ROWS, WIDE, HIDDEN, CLASSES = 16, 20, 30, 5


class Slow(nn.Module):
    """Sleeps on the way forward, or on the way back."""

    def __init__(self, forward: float = 0.0, backward: float = 0.0):
        super().__init__()
        self.ahead, self.back = forward, backward

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(self.ahead)
        return SleepBack.apply(x, self.back)


class SleepBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, seconds):
        ctx.seconds = seconds
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        time.sleep(ctx.seconds)
        return gradient, None


def work(*layers: nn.Module) -> Work:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, WIDE, generator=generator)
    y = torch.randint(0, CLASSES, (ROWS,), generator=generator)
    model = nn.Sequential(*layers)

    def optimizers(models, options):
        return [torch.optim.Adam(models[0].parameters(), **options)]

    return Work(
        [model], [(x, y)], ROWS, lambda models, batch: F.cross_entropy(models[0](batch[0]), batch[1]), optimizers
    )


def every(parts: list[Part]) -> dict[str, Part]:
    return {part.name: part for root in parts for part in root.all()}


def test_the_slow_module_is_found_whichever_way_it_is_slow() -> None:
    block = nn.Sequential(nn.Linear(HIDDEN, HIDDEN), Slow(forward=0.02))
    made = work(nn.Linear(WIDE, HIDDEN), block, Slow(backward=0.02), nn.Linear(HIDDEN, CLASSES))
    found = every(seconds_by_module(Rig(made), steps=2))
    ahead, back = found["1.1"], found["2"]
    assert ahead.forward_own == pytest.approx(0.02, rel=0.5)
    assert back.backward_own == pytest.approx(0.02, rel=0.5)
    others = [part for name, part in found.items() if name not in ("1.1", "2")]
    assert max(part.own for part in others) < 0.01
    assert found["1"].forward >= ahead.forward_own > found["1"].forward_own
    assert found["model"].total == pytest.approx(sum(p.own for n, p in found.items() if n != "loss"))


def test_operations_of_an_mlp_equal_the_hand_count() -> None:
    made = work(nn.Linear(WIDE, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))
    total, parts = flops_of(Rig(made))
    found = every(parts)
    # Forward x W; backward dW, and dx but for the first layer: 2 operations for each product of numbers.
    first, second = 2 * ROWS * WIDE * HIDDEN, 2 * ROWS * HIDDEN * CLASSES
    assert (found["0"].forward_own, found["0"].backward_own) == (first, first)
    assert (found["2"].forward_own, found["2"].backward_own) == (second, 2 * second)
    assert total == 2 * first + 3 * second


def test_attention_and_recurrent_layers_are_counted() -> None:
    """torch's counter knows neither of the kernels that a processor takes for them."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(8, 8, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            x = self.lstm(x.unflatten(1, (4, 8)))[0]
            return F.scaled_dot_product_attention(x, x, x).flatten(1)[:, :CLASSES]

    x, y = torch.randn(ROWS, 32), torch.randint(0, CLASSES, (ROWS,))
    made = Work(
        [Both()], [(x, y)], ROWS, lambda models, batch: F.cross_entropy(models[0](batch[0]), batch[1]),
        lambda models, options: [torch.optim.SGD(models[0].parameters(), 0.1)],
    )  # fmt: skip
    _, parts = flops_of(Rig(made))
    found = every(parts)
    gates, products = 2 * ROWS * 4 * 32 * 16, 2 * 2 * ROWS * 4 * 4 * 8
    assert found["lstm"].forward_own == gates
    assert found["model"].forward_own == products
    assert torch.backends.mkldnn.enabled


def test_memory_is_that_of_weights_and_two_moments() -> None:
    rig = Rig(work(nn.Linear(WIDE, HIDDEN), nn.Linear(HIDDEN, CLASSES)))
    rig.step()
    numbers = WIDE * HIDDEN + HIDDEN + HIDDEN * CLASSES + CLASSES
    seen = memory_of(rig)
    assert seen["weights"] == seen["gradients"] == 4 * numbers
    assert 8 * numbers <= seen["optimiser"] <= 8 * numbers + 4 * 4
    assert seen["kept"] >= 4 * ROWS * (WIDE + HIDDEN)

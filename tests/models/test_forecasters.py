"""Forecasting networks: what their papers say, nothing of the future, gradients, export."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from glia.data.facts import ForecastFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.build import build
from glia.models.forecast import Causal, DLinear, Forecaster, Patches
from glia.nn import losses
from glia.training.forecast import forecasting
from tests.models.zoo import assert_compiles, assert_exports

NAMES = ("dlinear", "nlinear", "patchtst", "tcn", "gru-forecast", "lstm-forecast")


def facts(**changed: Any) -> ForecastFacts:
    return ForecastFacts(**{
        "channels": 3, "window": 24, "horizon": 6, "mean": (1.0, 2.0, 3.0), "std": (1.0, 2.0, 0.5), "period": 12,
        "several": False, "quantiles": (), "naive": (1.0, 1.0), "rows": 100, **changed,
    })  # fmt: skip


TASK = Task("forecast", ("a", "b"), center=(1.0, 2.0), scale=(1.0, 2.0))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("quantiles", [(), (0.1, 0.5, 0.9)])
def test_shapes_training_and_export(name: str, quantiles: tuple[float, ...]) -> None:
    net = build(name, facts(quantiles=quantiles), TASK)
    x = torch.randn(32, 24, 3, generator=torch.Generator().manual_seed(0)) + 2
    truth = x[:, -6:, :2] * 0.3
    truth[0, 2:] = math.nan
    step, adam = forecasting(quantiles=quantiles), torch.optim.Adam(net.parameters(), lr=5e-3)
    batch = type("Batch", (), {"inputs": x, "targets": truth})()
    first = None
    for _ in range(150):
        outcome = step(net, batch)
        first = first or outcome.loss.item()
        adam.zero_grad()
        outcome.loss.backward()
        adam.step()
    assert outcome.loss.item() < 0.5 * first  # type: ignore[operator]
    net.eval()
    want = net(x)
    assert want.shape == (32, 6, 2, *((3,) if quantiles else ()))
    assert_exports(net, x[:4])
    if not name.endswith("-forecast"):  # torch.compile leaves recurrent layers alone
        assert_compiles(net, x[:4])
    with torch.autocast("cpu", torch.bfloat16):
        assert net(x).isfinite().all()
    with pytest.raises(GliaError, match="steps of the past"):
        net(x[:, :20])


def test_dlinear_is_the_papers() -> None:
    """Against the decomposition and the two maps written out."""
    torch.manual_seed(0)
    net, x = DLinear(30, 4), torch.randn(5, 30, 2)
    padded = torch.cat([x[:, :1].repeat(1, 12, 1), x, x[:, -1:].repeat(1, 12, 1)], dim=1)
    trend = torch.stack([padded[:, i : i + 25].mean(1) for i in range(30)], dim=1)
    want = torch.einsum("hl,nlc->nch", net.trend.weight, trend) + net.trend.bias
    want = want + torch.einsum("hl,nlc->nch", net.rest.weight, x - trend) + net.rest.bias
    assert torch.allclose(net(x), want, atol=1e-6)
    assert sum(p.numel() for p in net.parameters()) == 2 * (30 * 4 + 4)


def test_what_scaling_takes_off_is_put_back() -> None:
    """NLinear moves with the level of its window; RevIN with level and width."""
    x = torch.randn(4, 24, 3)
    for name, moved in (("nlinear", lambda x: x + 5), ("patchtst", lambda x: 3 * x + 5)):
        net = build(name, facts(mean=(0.0,) * 3, std=(1.0,) * 3), TASK).eval()
        assert torch.allclose(net(moved(x)), moved(net(x)), atol=1e-3)


def test_a_causal_block_sees_no_later_step_and_the_stack_sees_the_window() -> None:
    block = Causal(2, 4, 3, 2, 0.0)
    x = torch.randn(1, 2, 20, requires_grad=True)
    block(x)[0, :, 11].sum().backward()
    assert x.grad is not None and (x.grad[0, :, 12:] == 0).all()
    net = build("tcn", facts(), TASK)
    y = torch.randn(1, 24, 3, requires_grad=True)
    net(y).sum().backward()
    assert y.grad is not None and (y.grad[0, 0] != 0).any()


def test_patches_are_those_of_the_paper() -> None:
    """ETTh1 of the paper: 336 steps in patches of 16 at strides of 8 are 42, with the one that is filled up."""
    net = Patches(336, 96, width=16, depth=1, heads=2, patch=16, stride=8, dropout=0.0)
    assert len(net.place) == 42 and net(torch.randn(2, 336, 7)).shape == (2, 7, 96)


def test_pinball_is_least_at_the_quantiles() -> None:
    truth = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    said = nn.Parameter(torch.zeros(3))
    step = torch.optim.Adam([said], lr=0.05)
    for _ in range(300):
        step.zero_grad()
        losses.build("pinball", quantiles=(0.1, 0.5, 0.9))(said.expand(4000, 3), truth).backward()
        step.step()
    assert torch.allclose(said, truth.quantile(torch.tensor([0.1, 0.5, 0.9])), atol=0.05)
    from sklearn.metrics import mean_pinball_loss

    want = sum(
        mean_pinball_loss(truth.numpy(), said[i].expand(4000).detach().numpy(), alpha=q)
        for i, q in enumerate((0.1, 0.5, 0.9))
    )
    got = losses.build("pinball", quantiles=(0.1, 0.5, 0.9))(said.expand(4000, 3), truth)
    assert got.item() == pytest.approx(want / 3, rel=1e-5)


def test_a_network_begins_as_the_mean_of_the_past() -> None:
    net = build("dlinear", facts(), TASK)
    assert isinstance(net, Forecaster)
    x = torch.ones(1, 24, 3) * torch.tensor([2.0, 4.0, 3.0])
    assert torch.allclose(net(x)[0, 0], torch.tensor([1.0, 1.0]), atol=1e-5)

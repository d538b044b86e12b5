"""Steps of many rows against torch's own optimizers, one for each row."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from glia.optim import clip
from glia.optim.build import build
from glia.optim.stacked import Stacked, clip_rows, unlike

ROWS, STEPS = 3, 40
RATES, DECAYS = (1e-3, 1e-2, 0.1), (0.0, 0.1, 0.01)
OPTIMIZERS: dict[str, tuple[type[Optimizer], dict[str, Any]]] = {
    "adam": (Adam, {"betas": (0.8, 0.99), "eps": 1e-6}),
    "adamw": (AdamW, {}),
    "sgd": (SGD, {}),
    "momentum": (SGD, {"momentum": 0.9}),
    "nesterov": (SGD, {"momentum": 0.9, "nesterov": True}),
}


class Scaled(nn.Module):
    """A layer that learns slower than the other, and a vector that does not decay."""

    def __init__(self) -> None:
        super().__init__()
        self.param_lr = {"a": 0.3}
        self.a, self.b = nn.Linear(5, 7), nn.Linear(7, 2)


def drawn(seed: int, model: nn.Module) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(p.shape, generator=generator) for p in model.parameters()]


def flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([one.detach().flatten() for one in tensors])


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_row_moves_as_with_an_optimizer_of_its_own(name: str, fused: bool) -> None:
    """torch's fused steps to the last bit, its plain ones to rounding; the rates change on the way."""
    kind, options = OPTIMIZERS[name]

    def made(model: nn.Module, row: int) -> Optimizer:
        return kind(model.parameters(), lr=RATES[row], weight_decay=DECAYS[row], fused=fused, **options)

    models = [nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 2)) for _ in range(ROWS)]
    single = [made(model, row) for row, model in enumerate(models)]
    weights = torch.stack([flat(list(model.parameters())) for model in models])
    gradients = torch.empty_like(weights)
    own = [made(model, row) for row, model in enumerate(models)]
    stacked = Stacked(own, [list(model.parameters()) for model in models], weights, gradients)
    for step in range(STEPS):
        factor = 1.0 if step < 9 else 0.5
        stacked.set_lr([rate * factor for rate in RATES])
        for row, (model, optimizer) in enumerate(zip(models, single, strict=True)):
            given = drawn(100 * step + row, model)
            gradients[row] = flat(given)
            for parameter, gradient in zip(model.parameters(), given, strict=True):
                parameter.grad = gradient
            optimizer.param_groups[0]["lr"] = RATES[row] * factor
            optimizer.step()
        stacked.step()
    expected = torch.stack([flat(list(model.parameters())) for model in models])
    if fused:
        assert torch.equal(weights, expected)
    torch.testing.assert_close(weights, expected, rtol=1e-6, atol=1e-6)


def test_groups_keep_their_decay_and_their_share_of_the_rate() -> None:
    models = [Scaled() for _ in range(ROWS)]
    single = [build("adamw", m, lr=r, weight_decay=d) for m, r, d in zip(models, RATES, DECAYS, strict=True)]
    assert [len(optimizer.param_groups) for optimizer in single] == [
        2,
        4,
        4,
    ]  # without decay only rates tell them apart
    parameters = [list(model.parameters()) for model in models]
    weights = torch.stack([flat(own) for own in parameters])
    gradients = torch.empty_like(weights)
    stacked = Stacked(single, parameters, weights, gradients)
    for step in range(5):
        for row, (model, optimizer) in enumerate(zip(models, single, strict=True)):
            given = drawn(100 * step + row, model)
            gradients[row] = flat(given)
            for parameter, gradient in zip(model.parameters(), given, strict=True):
                parameter.grad = gradient
            optimizer.step()
        stacked.step()
    assert torch.equal(weights, torch.stack([flat(own) for own in parameters]))


def test_some_rows_go_on_alone() -> None:
    def made() -> tuple[Stacked, Tensor, Tensor]:
        generator = torch.Generator().manual_seed(0)
        weights, gradients = (torch.randn(ROWS, 6, generator=generator) for _ in range(2))
        own = [[nn.Parameter(torch.zeros(6))] for _ in RATES]
        optimizers = [Adam(parameters, lr=rate) for parameters, rate in zip(own, RATES, strict=True)]
        return Stacked(optimizers, own, weights, gradients), weights, gradients

    (whole, all_weights, _), (part, weights, gradients) = made(), made()
    places = torch.tensor([0, 2])
    whole.step(), part.step()
    weights, gradients = weights[places], gradients[places]
    part.keep(places, weights, gradients)
    whole.step(), part.step()
    assert torch.equal(weights, all_weights[places])


def test_what_has_no_form_for_many_is_named() -> None:
    def own(kind: Any, **options: Any) -> Optimizer:
        return kind([nn.Parameter(torch.zeros(2))], **{"lr": 0.1, **options})

    assert unlike([own(Adam), own(Adam, lr=0.2, weight_decay=0.1)]) is None
    assert "RMSprop" in str(unlike([own(torch.optim.RMSprop)] * 2))
    assert "different kinds" in str(unlike([own(Adam), own(SGD)]))
    assert "more than learning rate" in str(unlike([own(Adam), own(Adam, betas=(0.5, 0.9))]))
    assert "amsgrad" in str(unlike([own(Adam, amsgrad=True)] * 2))
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "momentum": m} for m in (0.0, 0.9)]
    assert "or their groups differ" in str(unlike([SGD(groups, lr=0.1)] * 2))
    begun = own(SGD, momentum=0.9)
    begun.param_groups[0]["params"][0].grad = torch.ones(2)
    begun.step()
    assert "made steps" in str(unlike([begun]))


def test_each_row_is_clipped_by_its_own_norm() -> None:
    gradients = torch.randn(4, 50, generator=torch.Generator().manual_seed(0)) * torch.tensor([[0.01], [1], [9], [1]])
    gradients[3, 7] = torch.nan
    limits = torch.tensor([1.0, 2.0, torch.inf, 1.0])
    singles = [nn.Parameter(torch.zeros(50)) for _ in range(4)]
    norms = []
    for parameter, gradient, limit in zip(singles, gradients, limits.tolist(), strict=True):
        parameter.grad = gradient.clone()
        norms.append(clip.by_norm([parameter], limit))
    found = clip_rows(gradients, limits)
    torch.testing.assert_close(found, torch.stack(norms), equal_nan=True)
    torch.testing.assert_close(gradients, torch.stack([p.grad for p in singles]), equal_nan=True)

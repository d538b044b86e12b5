"""The direct step: the same numbers as the optimizer's own, and its own wherever somebody asks for more."""

from collections.abc import Callable
from unittest import mock

import pytest
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from glia.optim.direct import Direct
from glia.optim.layout import guard

KINDS: dict[str, Callable[[list[nn.Parameter]], Optimizer]] = {
    "adam": lambda p: torch.optim.Adam([{"params": p[:2]}, {"params": p[2:], "weight_decay": 0.1}], 1e-2, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, 1e-2, fused=True, maximize=True),
    "momentum": lambda p: torch.optim.SGD(p, 1e-2, momentum=0.9, nesterov=True, fused=True),
    "sgd": lambda p: torch.optim.SGD(p, 1e-2, weight_decay=0.1, fused=True),
}


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def gradients(model: nn.Module, step: int) -> None:
    drawn = torch.Generator().manual_seed(step)
    for p in model.parameters():
        p.grad = torch.randn(p.shape, generator=drawn)


def trained(kind: str, *, direct: bool, steps: int = 6) -> tuple[nn.Module, Optimizer, int]:
    """And how often the optimizer's own step was called."""
    model = network()
    optimizer = guard(KINDS[kind](list(model.parameters())))
    short = Direct(optimizer)
    made = type(optimizer)._init_group  # which only the optimizer's own step calls
    with mock.patch.object(type(optimizer), "_init_group", autospec=True, side_effect=made) as own:
        for step in range(steps):
            gradients(model, step)
            short.step() if direct else optimizer.step()
            if step == 3:  # as a checkpoint that is read back
                optimizer.load_state_dict(optimizer.state_dict())
    return model, optimizer, own.call_count // len(optimizer.param_groups)


@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_are_the_optimizers(kind: str) -> None:
    ours, mine, calls = trained(kind, direct=True)
    theirs, other, _ = trained(kind, direct=False)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(mine.state_dict()["state"], other.state_dict()["state"], rtol=0, atol=0)
    assert calls == (0 if kind == "sgd" else 1)  # the first one makes the state


def test_who_hooks_a_step_is_called() -> None:
    seen: list[str] = []
    model = network()
    optimizer = KINDS["adamw"](list(model.parameters()))
    short = Direct(optimizer)
    everywhere = register_optimizer_step_post_hook(lambda *given: seen.append("all"))
    try:
        for step in range(4):
            gradients(model, step)
            if step == 3:
                optimizer.register_step_pre_hook(lambda *given: seen.append("own"))
            short.step()
    finally:
        everywhere.remove()
    assert seen == ["all", "all", "all", "own", "all"]


def test_a_missing_gradient_is_left_out_as_ever() -> None:
    model = network()
    optimizer = KINDS["adam"](list(model.parameters()))
    short = Direct(optimizer)
    for step in range(4):
        gradients(model, step)
        before = model[0].bias.clone()
        model[0].bias.grad = None if step == 3 else model[0].bias.grad
        short.step()
    assert torch.equal(model[0].bias, before)

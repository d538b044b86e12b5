"""Two optimizers as one."""

import copy

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from glia.optim.build import build
from glia.optim.together import Together


def network() -> nn.Module:
    generator = torch.Generator().manual_seed(5)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.4, 0.4, generator=generator)
    return model


def loss(model: nn.Module, step: int) -> torch.Tensor:
    x = torch.randn(16, 6, generator=torch.Generator().manual_seed(step))
    return model(x).square().mean()


def test_is_its_parts_side_by_side() -> None:
    model, twin = network(), network()
    together = build("muon", model, 0.01, weight_decay=0.1)
    matrices = [twin.get_parameter("0.weight"), twin.get_parameter("2.weight")]
    biases = [twin.get_parameter("0.bias"), twin.get_parameter("2.bias"), twin.get_parameter("4.bias")]
    apart = (
        torch.optim.Muon(matrices, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(
            [
                {"params": [twin.get_parameter("4.weight")], "weight_decay": 0.1},
                {"params": biases, "weight_decay": 0.0},
            ],
            lr=0.01,
            fused=True,
        ),
    )
    for step in range(5):
        together.zero_grad()
        loss(model, step).backward()
        together.step()
        twin.zero_grad()
        loss(twin, step).backward()
        for optimizer in apart:
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters()))


def test_step_hooks_run_once_around_all() -> None:
    model = network()
    optimizer = build("muon", model, 0.01)
    seen: list[object] = []
    handle = register_optimizer_step_post_hook(lambda which, args, kwargs: seen.append(which))
    try:
        loss(model, 0).backward()
        optimizer.step()
    finally:
        handle.remove()
    assert seen == [optimizer]


def test_a_closure_is_called_once() -> None:
    model = network()
    optimizer = build("muon", model, 0.01)
    calls = []

    def closure() -> float:
        calls.append(1)
        optimizer.zero_grad()
        value = loss(model, 0)
        value.backward()
        return value.item()

    assert optimizer.step(closure) == loss(network(), 0).item()
    assert len(calls) == 1


def test_zero_grad_and_state_cover_every_parameter() -> None:
    model = network()
    optimizer = build("muon", model, 0.01)
    loss(model, 0).backward()
    optimizer.step()
    assert set(optimizer.state) == set(model.parameters())
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_later_groups_are_trained() -> None:
    model, head = network(), nn.Linear(3, 2)
    optimizer = build("muon", model, 0.01)
    optimizer.add_param_group({"params": list(head.named_parameters()), "lr_scale": 1.0})
    before = head.weight.detach().clone()
    head(model(torch.ones(4, 6))).square().mean().backward()
    optimizer.step()
    assert not torch.equal(before, head.weight)
    assert optimizer.state_dict()["state"].keys() == set(range(8))


def test_a_copy_goes_its_own_way() -> None:
    model = network()
    optimizer = build("muon", model, 0.01)
    loss(model, 0).backward()
    optimizer.step()
    twin, other = copy.deepcopy((model, optimizer))
    assert isinstance(other, Together)
    for net, mine in ((model, optimizer), (twin, other)):
        mine.zero_grad()
        loss(net, 1).backward()
        mine.step()
    assert all(torch.equal(a, b) and a is not b for a, b in zip(model.parameters(), twin.parameters()))
    other.param_groups[0]["lr"] = 0.0
    assert optimizer.param_groups[0]["lr"] == 0.01
    assert other.parts[0].param_groups[0]["lr"] == 0.0

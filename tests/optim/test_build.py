"""Optimizers by name: the right class and settings, and state that survives saving bit for bit."""

import copy
import json
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from glia.catalog.entry import find, names
from glia.errors import GliaError
from glia.optim.build import build, set_lr
from glia.optim.layout import like

NAMES = names("optimizers")


def network(channels_last: bool = False) -> nn.Module:
    """Convolution, norm, two matrices: (N, 3, 6, 6) -> (N, 4)."""
    generator = torch.Generator().manual_seed(5)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 9), nn.ReLU(), nn.Linear(9, 4)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.2, 0.2, generator=generator)
    if channels_last:
        weight = model.get_parameter("0.weight")
        weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return model


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        x = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(x.to(next(model.parameters()).dtype)).square().mean().backward()
        set_lr(optimizer, 0.01 * (1 + step % 3))
        optimizer.step()


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint does: tensors contiguous in safetensors, everything else JSON."""
    tensors = {f"{i}.{key}": value.contiguous() for i, one in state["state"].items() for key, value in one.items()}
    read = load(save(tensors))
    back: dict[int, dict[str, Tensor]] = {}
    for name, value in read.items():
        number, _, key = name.partition(".")
        back.setdefault(int(number), {})[key] = value
    return {"state": back, "param_groups": json.loads(json.dumps(state["param_groups"]))}


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_ten_steps_are_five_a_file_and_five_more(name: str, channels_last: bool) -> None:
    straight = network(channels_last)
    train(straight, build(name, straight, 0.01), range(10))
    first = network(channels_last)
    optimizer = build(name, first, 0.01)
    train(first, optimizer, range(5))
    saved = through_a_file(optimizer.state_dict())
    second = network(channels_last)
    second.load_state_dict(first.state_dict())
    resumed = build(name, second, 0.5)
    resumed.load_state_dict(saved)
    train(second, resumed, range(5, 10))
    assert not same(first, second)
    assert same(straight, second)
    once_more = through_a_file(resumed.state_dict())
    assert once_more["param_groups"] == json.loads(json.dumps(resumed.state_dict()["param_groups"]))


@pytest.mark.parametrize("name", NAMES)
def test_a_loaded_state_is_a_copy(name: str) -> None:
    model, twin = network(), network()
    optimizer, other = build(name, model, 0.01), build(name, twin, 0.01)
    train(model, optimizer, range(2))
    other.load_state_dict(optimizer.state_dict())
    theirs = {value.data_ptr() for one in optimizer.state.values() for value in one.values()}
    ours = {value.data_ptr() for one in other.state.values() for value in one.values()}
    assert not theirs & ours


@pytest.mark.parametrize("name", NAMES)
def test_learns_a_line(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.4, 0.4, generator=generator)
    x = torch.randn(64, 3, generator=generator)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]])
    optimizer = build(name, model, find("optimizers", name).facts["lr"])
    losses = []
    for _ in range(300):
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.1 * losses[0]


PLAIN = {
    "sgd": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {"weight_decay": 0.0}),
}


@pytest.mark.parametrize("name", PLAIN)
def test_is_torchs_own_update(name: str) -> None:
    model, twin = network().double(), network().double()
    make, settings = PLAIN[name]
    optimizers = build(name, model, 0.01, weight_decay=0.0), make(twin.parameters(), lr=0.01, foreach=False, **settings)
    for step in range(4):
        for net, optimizer in zip((model, twin), optimizers):
            x = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()
    for ours, theirs in zip(model.parameters(), twin.parameters()):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_muon_is_torchs_on_hidden_matrices_and_adamw_elsewhere() -> None:
    model, twin = network().double(), network().double()
    hidden = [twin.get_parameter("4.weight")]
    rest = [p for p in twin.parameters() if p is not hidden[0]]
    parts = (
        torch.optim.Muon(hidden, lr=0.01, weight_decay=0.0, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=0.01, weight_decay=0.0),
    )
    ours = build("muon", model, 0.01, weight_decay=0.0)
    for step in range(4):
        x = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
        for net, optimizers in ((model, (ours,)), (twin, parts)):
            net.zero_grad()
            net(x).square().mean().backward()
            for optimizer in optimizers:
                optimizer.step()
    for mine, other in zip(model.parameters(), twin.parameters()):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)


def test_weight_decay_leaves_norms_and_biases() -> None:
    """With no gradient to speak of, AdamW multiplies what decays by 1 - lr * decay and nothing else."""
    model = network()
    before = copy.deepcopy(model)
    optimizer = build("adamw", model, 0.1, weight_decay=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for (name, now), was in zip(model.named_parameters(), before.parameters()):
        factor = 0.95 if now.ndim > 1 else 1.0
        torch.testing.assert_close(now, was * factor, msg=name)


def test_fused_wherever_the_class_has_it() -> None:
    for name in NAMES:
        groups = build(name, network(), 0.1).param_groups
        expected = find("optimizers", name).facts["fused"]
        assert all(
            bool(group.get("fused")) == expected for group in groups if "ns_steps" not in group and name != "muon"
        )
    assert build("adamw", network(), 0.1, foreach=True).param_groups[0]["fused"] is None
    assert build("momentum", network(), 0.1, dampening=0.5).param_groups[0]["fused"] is None


def test_a_gradient_in_another_layout_is_no_other_gradient() -> None:
    """torch's fused step on the CPU mixes up the elements of such a gradient."""
    for channels_last in (False, True):
        model, twin = network(channels_last), network(channels_last)
        optimizers = build("adamw", model, 0.1), build("adamw", twin, 0.1, fused=False)
        gradient = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(0))
        other = gradient.contiguous() if channels_last else gradient.contiguous(memory_format=torch.channels_last)
        for net, optimizer in zip((model, twin), optimizers):
            net.get_parameter("0.weight").grad = other.clone(memory_format=torch.preserve_format)
            optimizer.step()
        torch.testing.assert_close(model.get_parameter("0.weight"), twin.get_parameter("0.weight"))


@pytest.mark.parametrize("name", ["momentum", "nesterov", "adamw", "muon"])
def test_parameters_may_thaw_in_the_middle(name: str) -> None:
    model, twin = network().double(), network().double()
    optimizers = build(name, model, 0.01), build(name, twin, 0.01, **({} if name == "muon" else {"fused": False}))
    for net, optimizer in zip((model, twin), optimizers):
        net.get_submodule("0").requires_grad_(False)
        frozen = net.get_parameter("0.weight").detach().clone()
        train(net, optimizer, range(3))
        assert torch.equal(frozen, net.get_parameter("0.weight"))
        net.get_submodule("0").requires_grad_(True)
        train(net, optimizer, range(3, 6))
        assert not torch.equal(frozen, net.get_parameter("0.weight"))
    for ours, theirs in zip(model.parameters(), twin.parameters()):
        torch.testing.assert_close(ours, theirs)


def test_momentum_is_adams_first_beta() -> None:
    assert build("adamw", network(), 0.1, momentum=0.8).param_groups[0]["betas"] == (0.8, 0.999)
    assert build("momentum", network(), 0.1, momentum=0.8).param_groups[0]["momentum"] == 0.8


def test_set_lr_keeps_the_shares() -> None:
    model = network()
    model.param_lr = {"6": 5.0}  # type: ignore[assignment]
    optimizer = build("adamw", model, 0.1)
    set_lr(optimizer, 0.02)
    rates = {name: group["lr"] for group in optimizer.param_groups for name in group["param_names"]}
    assert rates["0.weight"] == rates["4.bias"] == pytest.approx(0.02)
    assert rates["6.weight"] == rates["6.bias"] == pytest.approx(0.1)
    captured = torch.optim.SGD(network().parameters(), lr=torch.tensor(0.1))
    held = captured.param_groups[0]["lr"]
    assert set_lr(captured, 0.5).param_groups[0]["lr"] is held and held.item() == 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "adamv"}, "unknown optimizer 'adamv'.*'adam"),
        ({"lr": -1.0}, "lr; got -1.0"),
        ({"lr": float("nan")}, "lr; got nan"),
        ({"momentum": 1.0}, "momentum; got 1.0"),
        ({"weight_decay": -0.1}, "weight_decay; got -0.1"),
        ({"beta": (0.9, 0.99)}, "unknown option of adamw 'beta'.*'betas'"),
        ({"eps": -1.0}, "optimizer adamw: Invalid epsilon"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(GliaError, match=message):
        build(**{"name": "adamw", "model": network(), "lr": 0.1, **settings})


def test_like_keeps_values_and_takes_the_layout() -> None:
    parameter = torch.zeros(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    value = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).double()
    made = like(value, parameter)
    assert torch.equal(made, value) and made.stride() == parameter.stride() and made.dtype == torch.float64

"""Initial weights: the spread that the papers ask for, from one generator and never the global one."""

import math

import pytest
import torch
from torch import Tensor, nn

from glia.catalog.entry import find, load
from glia.errors import GliaError
from glia.nn.init import fans, initialise, lsuv


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("activation", "theirs"),
    [
        ("relu", lambda w, g: nn.init.kaiming_normal_(w, nonlinearity="relu", generator=g)),
        ("leaky_relu", lambda w, g: nn.init.kaiming_normal_(w, a=0.01, generator=g)),
        ("tanh", lambda w, g: nn.init.xavier_uniform_(w, 5 / 3, generator=g)),
        ("sigmoid", lambda w, g: nn.init.xavier_uniform_(w, generator=g)),
    ],
)
@pytest.mark.parametrize("layer", [nn.Linear(30, 50), nn.Conv2d(8, 12, 3), nn.Conv1d(8, 12, 5)], ids=str)
def test_is_torchs_init_with_the_fitting_gain(activation: str, theirs: object, layer: nn.Linear) -> None:
    assert initialise(layer, activation, generator()) == []
    expected = theirs(torch.empty_like(layer.weight), generator())  # type: ignore[operator]
    torch.testing.assert_close(layer.weight.detach(), expected)
    assert not layer.bias.any()


@pytest.mark.parametrize("scheme", ["he_normal", "he_uniform", "xavier_normal", "xavier_uniform"])
def test_spread_of_each_scheme(scheme: str) -> None:
    layer = nn.Linear(300, 200)
    initialise(layer, "gelu", generator(), scheme)
    fan = 300 if scheme.startswith("he") else 250
    gain = find("activations", "gelu").facts["gain"]
    assert layer.weight.std().item() == pytest.approx(gain / math.sqrt(fan), rel=0.02)
    bound = math.sqrt(3) * gain / math.sqrt(fan)
    assert (layer.weight.abs().max() <= bound) == scheme.endswith("uniform")


def test_orthogonal() -> None:
    layer = nn.Linear(20, 10)
    initialise(layer, "tanh", generator(), "orthogonal")
    torch.testing.assert_close(layer.weight @ layer.weight.T, torch.eye(10) * (5 / 3) ** 2, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("activation", "depth"),
    [
        ("relu", 20),
        ("leaky_relu", 20),
        ("elu", 20),
        ("selu", 20),
        ("tanh", 20),
        ("gelu", 10),
        ("silu", 8),
        ("mish", 10),
    ],
)
def test_the_signal_keeps_its_size_through_many_layers(activation: str, depth: int) -> None:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(512, 512), load(find("activations", activation))()]
    net = nn.Sequential(*layers)
    initialise(net, activation, generator())
    with torch.no_grad():
        out: Tensor = net(torch.randn(256, 512, generator=generator(1)))
    assert 0.3 < out.square().mean().sqrt().item() < 3
    if activation != "selu":  # whose own gain is 1
        initialise(net, "linear", generator(), "he_normal")
        with torch.no_grad():
            assert net(torch.randn(256, 512, generator=generator(1))).square().mean().sqrt() < 0.3


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(16, 16, 3, groups=16, padding=1), (64, 16, 20, 20)),
        (nn.Conv2d(16, 32, 3, groups=4, padding=1), (64, 16, 20, 20)),
        (nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1), (64, 16, 20, 20)),
        (nn.ConvTranspose1d(16, 32, 3, padding=1), (64, 16, 400)),
    ],
    ids=str,
)
def test_grouped_and_transposed_convolutions_keep_the_variance(layer: nn.Module, shape: tuple[int, ...]) -> None:
    initialise(layer, "linear", generator(), "he_normal")
    with torch.no_grad():
        out = layer(torch.randn(shape, generator=generator(1)))
    assert out[..., 4:-4].var().item() == pytest.approx(1, rel=0.3)


def test_fans_of_other_modules_are_refused() -> None:
    assert fans(nn.Linear(3, 5)) == (3, 5)
    with pytest.raises(TypeError, match="ReLU has no fans"):
        fans(nn.ReLU())


class Everything(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 16, padding_idx=0)
        self.norm = nn.LayerNorm(16)
        self.batch = nn.BatchNorm1d(16)
        self.plain = nn.BatchNorm1d(16, affine=False)
        self.lstm = nn.LSTM(16, 8, num_layers=2, bidirectional=True, proj_size=4)
        self.gru = nn.GRU(16, 8)
        self.attention = nn.MultiheadAttention(16, 2)
        self.cross = nn.MultiheadAttention(16, 2, kdim=4, vdim=6, add_bias_kv=True)
        self.output = nn.Linear(16, 3, bias=False)
        self.mystery = nn.Parameter(torch.ones(2))


def test_every_layer_of_torch_is_drawn_and_the_rest_is_named() -> None:
    net = Everything()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(77)
    assert initialise(net, "relu", generator()) == ["mystery"]
    assert all(not (p == 77).any() for name, p in net.named_parameters() if name != "mystery")
    assert not net.words.weight[0].any() and net.words.weight[1:].std().item() == pytest.approx(1, rel=0.1)
    assert (net.norm.weight == 1).all() and (net.batch.weight == 1).all() and not net.norm.bias.any()
    biases = [net.lstm.get_parameter(f"bias_{which}_l0") for which in ("ih", "hh")]
    assert sum(biases, torch.zeros(32)).tolist() == [0.0] * 8 + [1.0] * 8 + [0.0] * 16
    candidate = net.gru.get_parameter("weight_hh_l0")[:8]
    torch.testing.assert_close(candidate @ candidate.T, torch.eye(8), rtol=1e-5, atol=1e-5)
    bound = math.sqrt(6 / 32)
    assert 0.9 * bound < net.attention.in_proj_weight.abs().max().item() <= bound


def test_the_seed_decides_and_the_global_generator_is_untouched() -> None:
    state = torch.get_rng_state()
    nets = [Everything() for _ in range(3)]
    torch.set_rng_state(state)
    for net, seed in zip(nets, (4, 4, 5)):
        initialise(net, "relu", generator(seed))
        lsuv(net.output, torch.randn(9, 16, generator=generator(1)), generator(seed))
    assert torch.equal(torch.get_rng_state(), state)
    one, two, other = (net.state_dict() for net in nets)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["output.weight"], other["output.weight"])


def test_a_residual_branch_begins_at_zero() -> None:
    branch = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
    assert initialise(branch, "relu", generator(), zero=[branch[2]]) == []
    assert not branch(torch.randn(4, 6, generator=generator())).any()
    assert branch.get_parameter("0.weight").any()


@pytest.mark.parametrize("scheme", ["lsuv", "zeros"])
def test_schemes_that_cannot_begin_all_weights(scheme: str) -> None:
    with pytest.raises(GliaError, match="cannot begin all weights"):
        initialise(nn.Linear(2, 2), "relu", generator(), scheme)
    with pytest.raises(GliaError, match="unknown activation"):
        initialise(nn.Linear(2, 2), "rely", generator())


def test_lsuv_gives_every_layer_unit_variance() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(8, 8, 3), nn.Tanh(), nn.Flatten(),
        nn.Linear(128, 10), nn.Linear(10, 2),
    )  # fmt: skip
    nn.init.zeros_(net[8].weight)  # type: ignore[arg-type]
    net[1].eval()
    modes = [module.training for module in net.modules()]
    buffers = {name: value.clone() for name, value in net.named_buffers()}
    batch = torch.randn(32, 3, 8, 8, generator=generator()) * 40 + 7
    weights = {name: p.detach().clone() for name, p in net.named_parameters()}
    for name in ("0", "4", "7"):
        nn.init.zeros_(net.get_parameter(f"{name}.bias"))
    factors = lsuv(net, batch)
    assert list(factors) == ["0", "4", "7"]
    for name, factor in factors.items():
        torch.testing.assert_close(net.get_parameter(f"{name}.weight").detach(), weights[f"{name}.weight"] * factor)
    assert modes == [module.training for module in net.modules()]
    assert all(torch.equal(value, buffers[name]) for name, value in net.named_buffers())
    assert not any(module._forward_hooks for module in net.modules())
    seen: dict[str, float] = {}
    for name in factors:
        layer = net.get_submodule(name)
        layer.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out.var(correction=0).item()}))
    net.eval()(batch)
    assert seen == pytest.approx(dict.fromkeys(factors, 1.0), abs=1e-4)


def test_lsuv_draws_orthogonal_weights_first() -> None:
    layer = nn.Linear(12, 6)
    [factor] = lsuv(layer, torch.randn(500, 12, generator=generator(1)) * 3, generator()).values()
    torch.testing.assert_close(layer.weight @ layer.weight.T, torch.eye(6) * factor**2, rtol=1e-4, atol=1e-5)
    assert factor == pytest.approx(1 / 3, rel=0.1)


def test_lsuv_measures_apart_from_the_bias() -> None:
    """A large bias varies from unit to unit, and no factor on the weight can take that away."""
    x = torch.randn(400, 6, 5, generator=generator(1))
    for layer, inputs in ((nn.Linear(5, 4), x), (nn.Conv1d(6, 4, 3), x)):
        net = nn.Sequential(layer, nn.Identity())
        with torch.no_grad():
            layer.bias.copy_(torch.tensor([9.0, -9.0, 30.0, 0.0]))  # type: ignore[union-attr]
        passed: list[Tensor] = []
        net[1].register_forward_hook(lambda _, given, __, passed=passed: passed.append(given[0]))
        lsuv(net, inputs)
        after = layer(inputs)
        torch.testing.assert_close(passed[0], after)
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        assert layer(inputs).var().item() == pytest.approx(1, abs=1e-3)

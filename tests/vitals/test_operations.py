"""Operations: a pass is told the same whether its author wrote modules or functions, and single ones are exchanged."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import glia
from glia.doctor.changes import exchanges
from glia.vitals.bench import Bench
from glia.vitals.operations import ACTIVATIONS, Walk, activation, facts, walk

X = torch.randn(16, 6, generator=torch.Generator().manual_seed(4))
Y = (X[:, 0] > 0).long()


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


def stack(*between: nn.Module | None, last: nn.Module | None = None) -> nn.Sequential:
    """Three linear layers of always the same weights, with what is given between the first two and the last two."""
    a, b, c = seeded(lambda: nn.ModuleList([nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)]))
    first, second = between
    parts = [a, first, b, second, c, last]
    return nn.Sequential(*(copy.deepcopy(part) for part in parts if part is not None))


class Functions(nn.Module):
    """The same as stack(ReLU, Dropout), with functions."""

    def __init__(self, act: Callable[[Tensor], Tensor] = torch.relu, p: float = 0.5) -> None:
        super().__init__()
        self.layers = nn.ModuleList(m for m in stack(None, None))
        self.act, self.p = act, p

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.layers[0](x))
        x = F.dropout(self.layers[1](x), self.p, self.training)
        return self.layers[2](x)


def named(model: nn.Module, x: Tensor = X) -> list[tuple[str, str]]:
    return [(step.kind, step.name) for step in walk(model, lambda: model(x))[0]]


def test_modules_and_functions_are_told_alike():
    modules, functions = stack(nn.ReLU(), nn.Dropout(0.5)), Functions()
    wanted = [("layer", "linear"), ("activation", "relu"), ("layer", "linear"), ("dropout", "dropout"),
              ("layer", "linear")]  # fmt: skip
    assert named(modules) == named(functions) == wanted
    for write in (F.relu, lambda x: x.relu(), lambda x: x.relu_(), lambda x: F.relu(x, inplace=True), torch.relu_):
        assert named(Functions(write)) == wanted
    assert [step.module for step in walk(functions, lambda: functions(X))[0]] == [
        "layers.0", "", "layers.1", "", "layers.2"
    ]  # fmt: skip


def test_the_walk_gives_what_the_model_gives():
    model = stack(nn.GELU(), nn.LayerNorm(8)).eval()
    steps, output = walk(model, lambda: model(X))
    assert torch.equal(output, model(X)) and not output.requires_grad
    h = model[1](model[0](X))
    assert torch.equal(steps[1].out, h) and torch.equal(steps[1].given, model[0](X))
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())


KINDS: dict[str, tuple[Callable[[], nn.Module], Tensor, list[str]]] = {
    "pictures": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.LeakyReLU(), nn.MaxPool2d(2), nn.Flatten(),
                              nn.Linear(36, 2), nn.Softmax(1)),
        torch.randn(4, 1, 8, 8), ["conv2d", "batch_norm", "leaky_relu", "linear", "softmax"],
    ),
    "words": (
        lambda: nn.Sequential(nn.Embedding(9, 5), nn.Flatten(), nn.Linear(15, 4), nn.Sigmoid()),
        torch.arange(12).reshape(4, 3) % 9, ["embedding", "linear", "sigmoid"],
    ),
    "recurrent": (lambda: nn.LSTM(3, 4, batch_first=True), torch.randn(2, 5, 3), ["lstm"]),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_layers_of_all_kinds(name):
    build, x, wanted = KINDS[name]
    assert [operation for _, operation in named(build(), x)] == wanted


def test_a_product_with_a_parameter_is_a_layer():
    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(6, 4))

        def forward(self, x: Tensor) -> Tensor:
            return (x @ self.w) @ torch.ones(4, 2)

    assert [kind for kind, _ in named(Product())] == ["layer"]


def test_numbers_of_a_layer():
    model = stack(nn.ReLU(), nn.Dropout(0.3))
    told = [facts(step) for step in walk(model, lambda: model(X))[0]]
    layer = model[0]
    assert (told[0].inputs, told[0].outputs, told[0].fan_in) == (6, 8, 6)
    assert told[0].std == pytest.approx(layer.weight.std(correction=0).item(), rel=1e-5)
    assert told[0].bias == pytest.approx(layer.bias.mean().item(), rel=1e-5)
    assert [one.option for one in told if one.name == "dropout"] == [0.3]
    model[0].requires_grad_(False)
    assert [one.trainable for one in (facts(step) for step in walk(model, lambda: model(X))[0])][0] is False


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "softmax", "log_softmax", "gelu", "silu", "selu", "elu"])
def test_activations_by_name(name):
    wanted = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "gelu": nn.GELU, "silu": nn.SiLU}
    wanted |= {
        "selu": nn.SELU,
        "elu": nn.ELU,
        "softmax": lambda: nn.Softmax(1),
        "log_softmax": lambda: nn.LogSoftmax(1),
    }
    assert torch.equal(activation(name)(X), wanted[name]()(X)) and name in ACTIVATIONS
    assert activation("none")(X) is X


# Exchanges: the same weights, built the other way, are the oracle.


def bench(model: nn.Module) -> Bench:
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    with glia.listen() as chart:
        for _ in range(2):
            optimizer.zero_grad()
            F.cross_entropy(model(X), Y).backward()
            optimizer.step()
    return chart.bench


def exchanged(model: nn.Module, change: dict[str, object], x: Tensor = X) -> Tensor:
    made = exchanges(bench(model), change, [])
    with torch.no_grad(), Walk(made):
        return model.eval()(x)


def answers(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model.eval()(X)


CHANGES = [
    ({"hidden_activation": "gelu"}, stack(nn.ReLU(), nn.Sigmoid()), stack(nn.GELU(), nn.GELU())),
    ({"hidden_activation": "tanh"}, Functions(F.relu), stack(nn.Tanh(), None)),
    ({"hidden_activation": "relu"}, stack(nn.Tanh(), None, last=nn.Softmax(1)),
     stack(nn.ReLU(), None, last=nn.Softmax(1))),
    ({"hidden_activation": "none"}, stack(nn.Softmax(1), nn.ReLU()), stack(nn.Softmax(1), None)),
    ({"add_hidden_activation": "relu"}, stack(None, None), stack(nn.ReLU(), nn.ReLU())),
    ({"add_hidden_activation": "relu"}, stack(nn.Tanh(), None), stack(nn.Tanh(), nn.ReLU())),
    ({"add_hidden_activation": "relu"}, stack(nn.Tanh(), nn.Tanh()), stack(nn.Tanh(), nn.Tanh())),
    ({"output_activation": "none"}, stack(nn.ReLU(), None, last=nn.Softmax(1)), stack(nn.ReLU(), None)),
    ({"output_activation": "sigmoid"}, stack(nn.ReLU(), None, last=nn.ReLU()),
     stack(nn.ReLU(), None, last=nn.Sigmoid())),
    ({"output_activation": "softmax"}, stack(nn.ReLU(), None), stack(nn.ReLU(), None, last=nn.Softmax(1))),
    ({"output_activation": "none"}, stack(nn.ReLU(), None, last=nn.Sequential(nn.ReLU(), nn.Softmax(1))),
     stack(nn.ReLU(), None)),
    ({"hidden_activation": "gelu", "output_activation": "none"}, stack(nn.ReLU(), None, last=nn.Softmax(1)),
     stack(nn.GELU(), None)),
    ({"lr": 0.1}, stack(nn.ReLU(), None), stack(nn.ReLU(), None)),
]  # fmt: skip


@pytest.mark.parametrize(("change", "model", "wanted"), CHANGES)
def test_an_exchange_gives_what_the_other_network_gives(change, model, wanted):
    before = answers(model)
    assert torch.allclose(exchanged(model, change), answers(wanted), atol=1e-6)
    assert torch.equal(answers(model), before)  # and nothing stays


@pytest.mark.parametrize("model", [stack(nn.Dropout(0.5), nn.ReLU()), Functions(p=0.5)])
def test_dropout_is_changed_where_it_acts(model):
    quiet = answers(model)
    known = bench(model.train())
    with torch.no_grad(), Walk(exchanges(known, {"dropout": 0.0}, [])):
        assert torch.allclose(model(X), quiet, atol=1e-6)
    rare = exchanges(known, {"dropout": 0.9}, [])
    with torch.random.fork_rng(devices=[]), torch.no_grad(), Walk(rare, keep=True) as told:
        model(X)
    dropped = next(step for step in told.steps if step.kind == "dropout")
    assert 0.8 < (dropped.out[dropped.given != 0] == 0).float().mean() < 0.98
    model.eval()
    with torch.no_grad(), Walk(rare):
        assert torch.allclose(model(X), quiet, atol=1e-6)


def test_an_added_norm_is_a_layer_norm_without_weights():
    norm = nn.LayerNorm(8, elementwise_affine=False)
    assert torch.allclose(
        exchanged(stack(nn.ReLU(), nn.ReLU()), {"add_norm": True}),
        answers(stack(nn.Sequential(norm, nn.ReLU()), nn.Sequential(norm, nn.ReLU()))),
        atol=1e-6,
    )


def test_a_cut_is_taken_away():
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = seeded(lambda: nn.Linear(6, 8)), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.body(x).detach())

    model = Cut()
    made = exchanges(bench(model), {"attach": True}, [])
    model.zero_grad()
    with Walk(made):
        out = model(X)
    F.cross_entropy(out, Y).backward()
    assert model.body.weight.grad is not None and model.body.weight.grad.abs().sum() > 0

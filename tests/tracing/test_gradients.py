"""Every gradient that a trace shows, against finite differences; and what a trace leaves alone."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import glia
from glia.errors import GliaError
from glia.models.build import example, published
from glia.tracing.rows import Trace
from glia.tracing.trace import trace

STEP = 1e-6


class Functional(nn.Module):
    """No module for its activations; a weight used twice, a branch, an attention, arithmetic."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again = nn.Linear(3, 3), nn.Linear(3, 3)
        self.scale = nn.Parameter(torch.full((3,), 0.7))

    def forward(self, x: Tensor) -> Tensor:
        h = F.gelu(self.first(x))
        h = torch.tanh(self.again(h)) + h
        shares = torch.softmax(h @ h.transpose(-1, -2) / 3**0.5, -1)
        return torch.sigmoid(self.again(shares @ h)) * self.scale


def conv_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.BatchNorm2d(2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8, 4),
        nn.LayerNorm(4),
        nn.SiLU(),
        nn.Linear(4, 3),
    )


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(2, 3, batch_first=True), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], Tensor, str]] = {
    "mlp": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.ELU(), nn.Linear(4, 2)),
        (2, 3),
        torch.tensor([0, 1]),
        "cross_entropy",
    ),
    "conv": (conv_net, (2, 1, 6, 6), torch.tensor([2, 0]), "cross_entropy"),
    "functional": (Functional, (1, 4, 3), torch.full((1, 4, 3), 0.3), "mse"),
    "recurrent": (Recurrent, (2, 3, 2), torch.tensor([[0.1, 0.2], [0.3, 0.4]]), "half_mse"),
    "attention": (
        lambda: nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True),
        (1, 3, 4),
        torch.full((1, 3, 4), 0.3),
        "huber",
    ),
    "shares": (
        lambda: nn.Sequential(nn.Linear(3, 3), nn.Softmax(-1)),
        (2, 3),
        torch.tensor([[1.0, 0, 0], [0, 0.5, 0.5]]),
        "cross_entropy",
    ),
}


def made(name: str) -> tuple[nn.Module, Tensor, Tensor, str]:
    torch.manual_seed(0)
    make, shape, y, loss = CASES[name]
    return make().double(), torch.randn(shape, dtype=torch.float64), y, loss


def own_loss(model: nn.Module, x: Tensor, y: Tensor, loss: str) -> float:
    """From torch's own functions, without the trace."""
    with torch.no_grad():
        out = copy.deepcopy(model)(x)
        if loss == "cross_entropy":
            shares = isinstance(model, nn.Sequential) and isinstance(model[-1], nn.Softmax)
            return float(-(y * out.log()).sum(1).mean() if shares else F.cross_entropy(out, y))
        return float(
            {"mse": F.mse_loss, "half_mse": lambda o, t: F.mse_loss(o, t) / 2, "huber": F.huber_loss}[loss](
                out, y.double()
            )
        )


@pytest.mark.parametrize("name", CASES)
def test_gradients_of_weights_and_input(name: str) -> None:
    model, x, y, loss = made(name)
    t = trace(model, x, y, loss, lr=0.1)
    assert t.loss is not None and t.loss.value == pytest.approx(own_loss(model, x, y, loss), rel=1e-9)
    weights = {weight.name: weight for weight in t.weights()}
    assert set(weights) == {key for key, _ in model.named_parameters()}
    for key, parameter in model.named_parameters():
        gradient, new = weights[key].gradient, weights[key].new
        assert gradient is not None and new is not None
        assert torch.allclose(new, parameter - 0.1 * gradient)
        with torch.no_grad():
            flat = parameter.view(-1)
            for i in range(0, flat.numel(), max(1, flat.numel() // 5)):
                assert gradient.view(-1)[i].item() == pytest.approx(slope(flat, i, model, x, y, loss), abs=1e-6)
    assert t.gradient is not None
    with torch.no_grad():
        for i in range(0, x.numel(), max(1, x.numel() // 8)):
            assert t.gradient.view(-1)[i].item() == pytest.approx(slope(x.view(-1), i, model, x, y, loss), abs=1e-6)


def slope(flat: Tensor, i: int, model: nn.Module, x: Tensor, y: Tensor, loss: str) -> float:
    """The central difference of the loss, moving one number in place."""
    before = flat[i].item()
    flat[i] = before + STEP
    above = own_loss(model, x, y, loss)
    flat[i] = before - STEP
    below = own_loss(model, x, y, loss)
    flat[i] = before
    return (above - below) / (2 * STEP)


@pytest.mark.parametrize("name", CASES)
def test_gradients_of_what_operations_give(name: str) -> None:
    """Each dL/d(out): add a little to one number of that operation's output, in a second run, and look at the loss."""
    model, x, y, loss = made(name)
    t = trace(model, x, y, loss)
    modules = dict(model.named_modules())
    checked = 0
    for row in t.rows:
        once = sum(other.name == row.name and other.kind == row.kind for other in t.rows) == 1
        if not once or row.name not in modules or type(modules[row.name]).__name__ != row.kind:
            continue
        assert row.gradient is not None and row.gradient.shape == row.out.value.shape, row
        for i in range(0, row.gradient.numel(), max(1, row.gradient.numel() // 4)):
            above, below = (moved(model, row.name, i, step, x, y, loss) for step in (STEP, -STEP))
            assert row.gradient.reshape(-1)[i].item() == pytest.approx((above - below) / (2 * STEP), abs=1e-6), row
            checked += 1
    assert checked > 3


def moved(model: nn.Module, name: str, i: int, step: float, x: Tensor, y: Tensor, loss: str) -> float:
    twin = copy.deepcopy(model)

    def hook(module: nn.Module, given: object, out: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        first = out[0] if isinstance(out, tuple) else out
        moved = first.clone().contiguous()
        moved.view(-1)[i] += step
        return (moved, *out[1:]) if isinstance(out, tuple) else moved

    handle = dict(twin.named_modules())[name].register_forward_hook(hook)
    try:
        return own_loss(twin, x, y, loss)
    finally:
        handle.remove()


def test_gradients_at_plain_functions() -> None:
    """dL/d(gelu's output) of the functional net: the same net with its head from there on, by torch's autograd."""
    model, x, y, loss = made("functional")
    assert isinstance(model, Functional)
    t = trace(model, x, y, loss)
    h = t["a1"].clone().requires_grad_()
    g = torch.tanh(model.again(h)) + h
    shares = torch.softmax(g @ g.transpose(-1, -2) / 3**0.5, -1)
    F.mse_loss(torch.sigmoid(model.again(shares @ g)) * model.scale, y.double()).backward()
    assert h.grad is not None and torch.allclose(t["dL/da1"], h.grad, atol=1e-12)
    kinds = [row.kind for row in t.rows]
    assert kinds == ["Linear", "gelu", "Linear", "tanh", "+", "@", "/", "softmax", "@", "Linear", "sigmoid", "*"]
    twice = [weight for row in t.rows for weight in row.weights if weight.name == "again.weight"]
    assert len(twice) == 2 and twice[0].symbol == twice[1].symbol == "w2"


class Turned(nn.Module):
    """Its weight is used as views of it: turned, and a row by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.matrix = nn.Parameter(torch.randn(2, 3)), nn.Parameter(torch.randn(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh((x + self.table[1]) @ self.matrix.T)


def test_views_of_weights_are_weights() -> None:
    torch.manual_seed(0)
    model, x, y = Turned(), torch.randn(2, 5, 3), torch.tensor([[0, 1, 2, 3, 0], [1, 1, 2, 3, 0]])
    t = trace(model, x, y, "cross_entropy")  # a class at every place of a text
    F.cross_entropy(model(x).flatten(0, 1), y.flatten()).backward()
    assert [row.kind for row in t.rows] == ["+", "matmul", "tanh"]
    found = {weight.name: weight.gradient for weight in t.weights()}
    for name, parameter in model.named_parameters():
        gradient = found[name]
        assert gradient is not None and parameter.grad is not None and torch.allclose(gradient, parameter.grad)


def test_slopes_are_those_of_the_activation() -> None:
    model, x, y, loss = made("mlp")
    t = trace(model, x, y, loss)
    assert torch.allclose(t["slope a1"], 1 - t["a1"] ** 2)
    assert torch.allclose(t["slope a1"] * t["dL/da1"], t["dL/dz1"])
    model, x, y, loss = made("conv")
    t = trace(model, x, y, loss)
    assert torch.equal(t["slope a1"], (t["n1"] > 0).double())
    assert torch.equal(t["a1"], t["n1"].relu()) and (t["n1"] < 0).any()  # though that ReLU works in place


def test_the_model_is_left_alone() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2)).train()
    model[0].weight.requires_grad_(False)
    model[3].weight.grad = torch.ones(2, 4)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    x, y = torch.randn(5, 3), torch.tensor([0, 1, 0, 1, 0])
    kept, state = x.clone(), torch.get_rng_state()
    t = trace(model, x, y, "cross_entropy", lr=0.5)
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(x, kept) and x.grad is None
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert torch.equal(model[3].weight.grad, torch.ones(2, 4)) and model[0].weight.grad is None
    assert not model[0].weight.requires_grad and model.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert t["dL/dw1"].abs().sum() > 0  # of a frozen weight too


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "mlp"])
def test_networks_of_the_catalogue(name: str) -> None:
    data = glia.prepare("digits") if name == "mlp" else None
    model = glia.build(name, data).eval()
    facts = data.facts if data is not None else published(name)[0]
    t = trace(model, example(facts, 1), [1], "cross_entropy")
    with torch.no_grad():
        assert torch.allclose(t.output.value, model(example(facts, 1)), atol=1e-6)
    leaves = sum(not list(module.children()) for module in model.modules())
    assert len(t.rows) >= leaves - 2
    assert {weight.name for weight in t.weights()} == {key for key, _ in model.named_parameters()}
    assert str(t) and "<h1>" in t.html()


def two() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 2), nn.Softmax(-1))


def nothing(outputs: Tensor, y: Tensor) -> Tensor:
    return outputs


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: trace(two(), [1.0, 2.0, 3.0]), "does not take x of shape (3,)"),
        (lambda: trace(two(), [1.0, 2.0], 1), "y without a loss"),
        (lambda: trace(two(), [1.0, 2.0], loss="mse"), "a loss without y"),
        (lambda: trace(two(), [1.0, 2.0], [1.0, 0.0], "mse", lr=-1), "learning rate"),
        (lambda: trace(two(), [1.0, 2.0], lr=0.1), "learning rate without a loss"),
        (lambda: trace(two(), [1.0, 2.0], [1.0, 0.0], "msee"), "unknown loss 'msee'"),
        (lambda: trace(two(), [1.0, 2.0], [1.0, 0.0], "binary_cross_entropy"), "after Softmax"),
        (lambda: trace(two(), [1.0, 2.0], [1.0, 0.0, 1.0], "mse"), "shape"),
        (lambda: trace(two(), [1.0, 2.0], [1.0, 0.0], nothing), "is not one number"),
        (lambda: trace(two(), "ab"), "not an array"),
        (lambda: trace(two(), [1.0, 2.0], "ab", "mse"), "y is not an array"),
        (lambda: trace(F.relu, [1.0]), "takes a torch.nn.Module"),  # type: ignore[arg-type]
        (lambda: trace(nn.LSTM(2, 2), torch.ones(3, 2)), "one tensor"),
    ],
)
def test_bad_input_is_one_line(call: Callable[[], Trace], said: str) -> None:
    with pytest.raises(GliaError, match=".") as caught:
        call()
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_losses_of_ones_own() -> None:
    t = trace(two(), [1.0, 2.0], [1.0, 0.0], lambda out, y: ((out - y) ** 2).sum())
    assert t.loss is not None and t.loss.name == "lambda"
    module = trace(nn.Linear(2, 1), [[1.0, 2.0]], [[1.0]], nn.L1Loss())
    assert module.loss is not None and module.loss.name == "L1Loss" and "L1Loss(output, y)" in str(module)

"""Perceptrons over every kind of input: sizes, the arithmetic done by hand, and that they learn."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from glia.data.facts import ImageFacts, TableFacts, TensorFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.mlp import linear, mlp

TEN = Task("classify", ("digit",), tuple("0123456789"))
GREY = ImageFacts(1, 28, 28, (0.13,), (0.31,), 100)
TABLE = TableFacts(
    names=("age", "kind"),
    levels=(0, 4),
    median=(30.0, 0.0),
    scale=(10.0, 1.0),
    low=(0.0, 0.0),
    high=(90.0, 0.0),
    gaps=(True, False),
    edges=((0.0, 30.0, 90.0), ()),
    rows=100,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_the_usual_sizes() -> None:
    """784-256-128-10 is (784 + 1) 256 + (256 + 1) 128 + (128 + 1) 10; a linear model on 784 pixels has 7,850."""
    assert parameters(mlp(GREY, TEN, generator())) == 235_146
    assert parameters(linear(GREY, TEN, generator())) == 7_850
    assert parameters(mlp(TensorFacts((20,), 9), TEN, generator(), hidden=[64, 64])) == 6_154


def test_it_is_the_formula() -> None:
    net = mlp(TensorFacts((2, 3), 9), TEN, generator(), hidden=(5,), activation="tanh")
    x, hidden = torch.randn(4, 2, 3, generator=generator(1)), net.hidden[0]
    assert isinstance(hidden, nn.Linear)
    inner = torch.tanh(x.reshape(4, 6) @ hidden.weight.T + hidden.bias)
    torch.testing.assert_close(net(x), inner @ net.output.weight.T + net.output.bias)


def test_table_gaps_and_unseen_codes_give_finite_answers() -> None:
    net = mlp(TABLE, TEN, generator(), hidden=(8,))
    out = net(torch.tensor([[25.0, 1.0], [float("nan"), 0.0], [1e9, 3.0]]))
    assert out.shape == (3, 10)
    assert out.isfinite().all()


@pytest.mark.parametrize("norm", [None, "batch", "layer", "rms"])
@pytest.mark.parametrize("activation", ["relu", "GELU", "silu", "tanh"])
def test_every_parameter_has_a_gradient(norm: str | None, activation: str) -> None:
    net = mlp(GREY, TEN, generator(), hidden=(16, 8), activation=activation, norm=norm, dropout=0.1)
    x = torch.randint(0, 256, (64, 1, 28, 28), dtype=torch.uint8, generator=generator(1))
    F.cross_entropy(net(x), torch.arange(64) % 10).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_activations_keep_their_size_through_the_layers() -> None:
    """He et al. 2015, arXiv 1502.01852, section 2.2: variance 2 / fan-in keeps the second moment under ReLU."""
    net = mlp(TensorFacts((256,), 9), TEN, generator(), hidden=[256] * 8)
    x = torch.randn(256, 256, generator=generator(1))
    assert 0.5 < net.hidden(x).square().mean().item() < 2


def test_evaluation_has_no_dropout_and_no_batch() -> None:
    net = mlp(TensorFacts((6,), 9), TEN, generator(), hidden=(32,), dropout=0.5, norm="batch")
    x = torch.randn(20, 6, generator=generator(1))
    net(x)
    net.eval()
    torch.testing.assert_close(net(x)[:1], net(x[:1]))
    assert torch.equal(net(x), net(x))


def test_the_linear_model_begins_undecided_and_reaches_the_least_squares_line() -> None:
    task = Task("regress", ("y",), center=(0.0,), scale=(1.0,))
    net = linear(TensorFacts((3,), 9), task, generator())
    x = torch.randn(64, 3, generator=generator(1))
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.3 + 0.1 * torch.randn(64, 1, generator=generator(2))
    assert not net(x).any()
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=50)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = F.mse_loss(net(x), y)
        value.backward()
        return value

    optimizer.step(loss)
    design = torch.cat([x, torch.ones(64, 1)], 1)
    solution = torch.linalg.lstsq(design, y).solution.squeeze(1)
    torch.testing.assert_close(torch.cat([net.output.weight[0], net.output.bias]), solution, rtol=1e-3, atol=1e-3)


def test_it_learns_xor_which_the_linear_model_cannot() -> None:
    """Minsky and Papert 1969: no line separates XOR."""
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y, task = torch.tensor([0, 1, 1, 0]), Task("classify", ("xor",), ("no", "yes"))
    right = {}
    for make in (linear, mlp):
        net = make(TensorFacts((2,), 4), task, generator())
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        for _ in range(100):
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
        right[make.__name__] = (net(x).argmax(1) == y).sum().item()
    assert right["mlp"] == 4
    assert right["linear"] < 4


@pytest.mark.parametrize(("option", "expected"), [({"activation": "rleu"}, "'relu'"), ({"norm": "bach"}, "'batch'")])
def test_unknown_names_get_the_nearest(option: dict[str, str], expected: str) -> None:
    with pytest.raises(GliaError, match=expected):
        mlp(GREY, TEN, generator(), **option)  # type: ignore[arg-type]


def test_a_norm_that_needs_more_than_a_width_is_refused() -> None:
    with pytest.raises(GliaError, match="norm of an mlp 'group'"):
        mlp(GREY, TEN, generator(), norm="group")

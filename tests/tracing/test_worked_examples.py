"""Examples that textbooks and lecture notes work out by hand, number by number.

Where such a text rounds or errs, the test says so and holds the right number too.
"""

import math
from typing import Any

import pytest
import torch
from torch import nn

from glia.tracing.netfile import net_of
from glia.tracing.rows import Trace
from glia.tracing.trace import trace


def traced(**net: Any) -> Trace:
    found = net_of(net)
    return trace(found.model, found.x, found.y, found.loss, found.lr)


def layer(weights: Any, bias: Any = None, activation: str = "linear") -> dict[str, Any]:
    return {"weights": weights, "activation": activation} | ({} if bias is None else {"bias": bias})


def close(values: torch.Tensor, wanted: Any, places: int = 5) -> None:
    """Equal once rounded to so many places, as a text prints them."""
    expected = torch.tensor(wanted, dtype=torch.float64).flatten().round(decimals=places)
    assert values.double().flatten().round(decimals=places).tolist() == expected.tolist()


def test_a_neuron() -> None:
    """0.5(2) + (-0.3)(3) + 1 = 1 - 0.9 + 1 = 1.1, and ReLU(1.1) = 1.1."""
    t = traced(x=[2, 3], layer=[layer([0.5, -0.3], 1, "relu")])
    close(t["z1"], 1.1)
    close(t["a1"], 1.1)
    assert "0.5*2 + (-0.3)*3 + 1 = 1.1" in str(t) and "max(0, 1.1) = 1.1" in str(t)


def test_a_bias_shifts() -> None:
    """z = 0.5 x goes through the origin, z = 0.5 x + 2 does not."""
    assert traced(x=0, layer=[layer(0.5)])["z1"].item() == 0
    assert traced(x=0, layer=[layer(0.5, 2)])["z1"].item() == 2
    assert traced(x=3, layer=[layer(0.5, 2)])["z1"].item() == 3.5


@pytest.mark.parametrize(
    ("name", "given", "wanted", "places"),
    [
        ("relu", [-2, 0, 3], [0, 0, 3], 6),
        ("sigmoid", [-5, 0, 5], [0.007, 0.5, 0.993], 3),
        ("tanh", [-2, 0, 2], [-0.96, 0, 0.96], 2),
        ("leaky_relu", [-2, 3], [-0.02, 3], 6),  # a slope of 0.01
        ("elu", [-2, 3], [math.exp(-2) - 1, 3], 6),  # alpha = 1
        ("softmax", [2, 1, 0.1], [0.66, 0.24, 0.10], 2),
    ],
)
def test_activations(name: str, given: list[float], wanted: list[float], places: int) -> None:
    t = traced(x=given, layer=[{"activation": name}])
    close(t["a"], [round(value, places) for value in wanted], places)


def test_softmax_with_its_sums() -> None:
    """e^2 = 7.39, e^1 = 2.72, e^0.1 = 1.11. The sum 11.22 of the text adds these rounded numbers; it is 11.21."""
    text = str(traced(x=[2, 1, 0.1], layer=[{"activation": "softmax"}]))
    assert "sum = 7.389 + 2.718 + 1.105 = 11.21" in text
    assert "e^2 / sum = 7.389 / 11.21 = 0.659" in text
    assert round(7.389, 2) + round(2.718, 2) + round(1.105 + 1e-9, 2) == pytest.approx(11.22)
    assert traced(x=[2, 1, 0.1], layer=[{"activation": "softmax"}])["a"].sum().item() == pytest.approx(1, abs=1e-6)


def test_two_layers_without_activation_are_one() -> None:
    """W2 (W1 x + b1) + b2 = (W2 W1) x + (W2 b1 + b2)."""
    one, two = layer([[0.5, 0.3], [0.2, -0.4]], [1, 0.5]), layer([[0.6, -0.3], [1, 2]], [0.2, 0])
    w1, w2 = torch.tensor(one["weights"]), torch.tensor(two["weights"])
    b1, b2 = torch.tensor(one["bias"]), torch.tensor(two["bias"])
    joined = layer((w2 @ w1).tolist(), (w2 @ b1 + b2).tolist())
    close(traced(x=[2, 3], layer=[one, two])["z2"], traced(x=[2, 3], layer=[joined])["z1"].tolist(), 5)


def test_two_two_one_forward() -> None:
    net = [layer([[0.5, 0.3], [0.2, -0.4]], [1, 0.5], "relu"), layer([[0.6, -0.3]], 0.2, "sigmoid")]
    t = traced(x=[2, 3], layer=net)
    close(t["z1"], [2.9, -0.3])
    close(t["a1"], [2.9, 0])
    close(t["z2"], 1.94)
    close(t["a2"], 0.87, 2)
    shown = str(t)
    for line in ("0.5*2 + 0.3*3 + 1 = 2.9", "0.2*2 + (-0.4)*3 + 0.5 = -0.3", "0.6*2.9 + (-0.3)*0 + 0.2 = 1.94"):
        assert line in shown
    assert "1 / (1 + e^-1.94) = 0.8744" in shown and "Backward" not in shown


def test_a_batch_is_row_by_row() -> None:
    """Z = X W^T + b: the rows of a batch do not meet."""
    net = [layer([[0.5, 0.3], [0.2, -0.4]], [1, 0.5], "relu"), layer([[0.6, -0.3]], 0.2, "sigmoid")]
    rows = [[2, 3], [-1, 0.5], [0, 0]]
    together = traced(x=rows, layer=net)
    for i, row in enumerate(rows):
        close(together["a2"][i], traced(x=row, layer=net)["a2"].tolist(), 6)


@pytest.mark.parametrize(("share", "wanted", "places"), [(0.9, 0.105, 3), (0.1, 2.30, 2)])
def test_binary_cross_entropy(share: float, wanted: float, places: int) -> None:
    """-log(0.9) = 0.105 and -log(0.1) = 2.30, from the share and from the logit log(p / (1 - p))."""
    logit = math.log(share / (1 - share))
    for activation in ("sigmoid", "linear"):
        t = traced(x=logit, y=1, loss="binary_cross_entropy", layer=[layer(1, None, activation)])
        assert t.loss is not None and round(t.loss.value, places) == wanted
        close(t["ŷ"], share, 6)
        assert f"-log({share:g}) = {t.loss.value:.4g}" in str(t)
        close(t["dL/dz1"], share - 1, 6)  # "the gradient is nice": ŷ - y


MNIST = [0.01, 0.02, 0.05, 0.85, 0.03, 0.01, 0.01, 0.01, 0.005, 0.005]


@pytest.mark.parametrize("y", [3, [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]])
def test_categorical_cross_entropy(y: Any) -> None:
    """-log(0.85) = 0.163 for digit 3 (0.1625, which rounds up); by index or one-hot, from shares or from logits."""
    assert sum(MNIST) == pytest.approx(1)
    logits = [math.log(share) for share in MNIST]
    eye = torch.eye(10).tolist()
    for activation in ("softmax", "linear"):
        t = traced(x=logits, y=y, loss="cross_entropy", layer=[layer(eye, None, activation)])
        assert t.loss is not None and round(t.loss.value, 3) == 0.163
        close(t["ŷ"], MNIST, 4)
        assert "-log(0.85) = 0.1625" in str(t)
        close(t["dL/dz1"], [p - (i == 3) for i, p in enumerate(MNIST)], 4)  # ŷ - y


def test_cross_entropy_of_a_wrong_prediction() -> None:
    """-log(0.1) = 2.30; so is that of ten equal guesses, -log(1 / 10)."""
    shares = [0.9 / 9] * 3 + [0.1] + [0.9 / 9] * 6
    t = traced(x=[math.log(p) for p in shares], y=3, loss="cross_entropy", layer=[{"activation": "softmax"}])
    assert t.loss is not None and round(t.loss.value, 2) == 2.30


def test_half_squared_error() -> None:
    """(1/2)(95 - 100)^2 = 12.5. Called mean squared error there; the mean squared error itself is 25."""
    t = traced(x=95, y=100, loss="half_mse", layer=[layer(1)])
    assert t.loss is not None and t.loss.value == 12.5
    assert "(95 - 100)^2 / 2 = 12.5" in str(t)
    close(t["dL/dz1"], -5)
    plain = traced(x=95, y=100, loss="mse", layer=[layer(1)])
    assert plain.loss is not None and plain.loss.value == 25


def backward() -> Trace:
    """1 input, 1 hidden neuron, 1 output, sigmoids; x = 2, y = 1, w1 = 0.5, w2 = 0.3, no bias, L = (ŷ - y)^2."""
    net = [layer(0.5, 0, "sigmoid"), layer(0.3, 0, "sigmoid")]
    return traced(x=2, y=1, loss="mse", lr=0.1, layer=net)


def test_the_backward_pass_by_hand() -> None:
    """Three places, as the text prints; it multiplies rounded numbers, which leaves the third place as it is."""
    t = backward()
    close(t["z1"], 1)
    close(t["a1"], 0.731, 3)
    close(t["z2"], 0.219, 3)
    close(t["a2"], 0.555, 3)
    assert t.loss is not None and round(t.loss.value, 3) == 0.198
    close(t["dL/da2"], -0.89, 2)  # 2 (ŷ - y) = 2 (0.555 - 1)
    close(t["slope a2"], 0.247, 3)  # ŷ (1 - ŷ) = 0.555 * 0.445
    close(t["dL/dw2"], -0.161, 3)
    close(t["w2"], 0.3)  # d(z2)/d(a1)
    close(t["slope a1"], 0.197, 3)  # a1 (1 - a1) = 0.731 * 0.269
    close(t["x"], 2)  # d(z1)/d(w1)
    close(t["dL/dw1"], -0.026, 3)
    close(t["new w2"], 0.316, 3)
    close(t["new w1"], 0.503, 3)


def test_the_rounded_products_of_that_text() -> None:
    assert -0.89 * 0.247 * 0.731 == pytest.approx(-0.161, abs=5e-4)
    assert -0.89 * 0.247 * 0.3 * 0.197 * 2 == pytest.approx(-0.026, abs=5e-4)
    assert 0.3 - 0.1 * -0.161 == pytest.approx(0.316, abs=5e-4)
    assert 0.5 - 0.1 * -0.026 == pytest.approx(0.503, abs=5e-4)


def test_the_formula_without_the_factor_two_belongs_to_half_the_error() -> None:
    """The same text writes dL/dw2 = (ŷ - y) s'(z2) a1 for L = (ŷ - y)^2; that is the gradient of half of it."""
    t = backward()
    written = (t["a2"] - 1) * t["slope a2"] * t["a1"]
    close(2 * written, t["dL/dw2"].tolist(), 6)
    net = [layer(0.5, 0, "sigmoid"), layer(0.3, 0, "sigmoid")]
    half = traced(x=2, y=1, loss="half_mse", layer=net)
    close(half["dL/dw2"], written.tolist(), 6)
    close(half["dL/db2"], ((t["a2"] - 1) * t["slope a2"]).tolist(), 6)


def test_the_update_brings_the_prediction_nearer() -> None:
    """\"After this update, the network will predict closer to 1\"; the biases, which start at 0, move too."""
    t = backward()
    assert t.lr == 0.1
    moved = [layer(t["new w1"].item(), t["new b1"].item(), "sigmoid")]
    moved.append(layer(t["new w2"].item(), t["new b2"].item(), "sigmoid"))
    after = traced(x=2, y=1, loss="mse", layer=moved)
    assert t["a2"].item() < after["a2"].item() < 1
    only_weights = [layer(t["new w1"].item(), 0, "sigmoid"), layer(t["new w2"].item(), 0, "sigmoid")]
    assert traced(x=2, layer=only_weights)["a2"].item() > t["a2"].item()


def test_delta_notation() -> None:
    """delta_out = dL/dŷ s'(z), delta_l = W^T delta s'(z), dL/dW = delta a^T, dL/db = delta."""
    t = traced(
        x=[2, 3],
        y=1,
        loss="half_mse",
        layer=[layer([[0.5, 0.3], [0.2, 0.4]], [1, 0.5], "tanh"), layer([[0.6, -0.3]], 0.2, "sigmoid")],
    )
    out = (t["a2"] - 1) * t["a2"] * (1 - t["a2"])
    hidden = (t["w2"].T @ out) * (1 - t["a1"] ** 2)
    for symbol, wanted in (
        ("dL/dz2", out),
        ("dL/dz1", hidden),
        ("dL/dw2", torch.outer(out, t["a1"])),
        ("dL/dw1", torch.outer(hidden, t["x"])),
        ("dL/db2", out),
        ("dL/db1", hidden),
        ("dL/dx", t["w1"].T @ hidden),
    ):
        close(t[symbol], wanted.tolist(), 6)


def test_an_edge_filter() -> None:
    """[-1 0 1] three times finds vertical edges: 3 where dark meets light, 0 on plain ground."""
    conv = nn.Conv2d(1, 1, 3, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([[-1.0, 0, 1]] * 3).view(1, 1, 3, 3))
    picture = torch.tensor([[0.0, 0, 0, 1, 1, 1]] * 4).view(1, 1, 4, 6)
    close(trace(conv, picture)["z1"], [[0, 3, 3, 0]] * 2)


def test_batch_normalisation() -> None:
    """(x - mean) / sqrt(variance + eps), then scale and shift: 1, 2, 3, 6 have mean 3 and variance 3.5."""
    norm = nn.BatchNorm1d(1)
    with torch.no_grad():
        norm.weight.fill_(2.0)
        norm.bias.fill_(10.0)
    t = trace(norm, [[1.0], [2.0], [3.0], [6.0]])
    close(t["n"], [10 + 2 * (x - 3) / math.sqrt(3.5 + 1e-5) for x in (1, 2, 3, 6)], 4)
    assert norm.running_mean is not None and norm.running_mean.item() == 0

"""Layer tables: multiply-adds against sums by hand and published figures, shapes and counts against torch."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.errors import GliaError
from glia.models.build import build, example, published
from glia.tracing.layers import LayerTable, layer_table, layers_of


class Attention(nn.Module):
    """One head, by torch's function; the products belong to no module within."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)

    def forward(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(*self.qkv(x).chunk(3, -1))


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 4), nn.Linear(6, 4)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.first(source) + self.second(target)


BY_HAND = [
    (lambda: nn.Linear(10, 20), (7, 10), 7 * 10 * 20),
    (lambda: nn.Conv2d(8, 16, 3, groups=4), (8, 10, 10), 16 * 8 * 8 * (8 // 4) * 9),
    (lambda: nn.Conv1d(8, 16, 3, stride=2, padding=1), (8, 10), 16 * 5 * 8 * 3),
    (lambda: nn.Conv3d(2, 4, 2), (2, 5, 5, 5), 4 * 4**3 * 2 * 8),
    (lambda: nn.ConvTranspose2d(8, 16, 3, stride=2), (8, 10, 10), 8 * 10 * 10 * 16 * 9),
    (lambda: nn.RNN(5, 7, batch_first=True), (9, 5), 9 * 7 * (5 + 7)),
    (lambda: nn.LSTM(5, 7, num_layers=2, batch_first=True), (9, 5), 9 * 4 * 7 * (5 + 7 + 7 + 7)),
    (lambda: nn.GRU(5, 7, bidirectional=True, batch_first=True), (9, 5), 2 * 9 * 3 * 7 * (5 + 7)),
    (Attention, (9, 8), 9 * 8 * 24 + 2 * 9 * 9 * 8),
    (
        lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval(),
        (9, 8),
        9 * 8 * 24 + 2 * 9 * 9 * 8 + 9 * 8 * 8 + 2 * 9 * 8 * 16,
    ),
    (Pair, (6,), 2 * 6 * 4),
    (lambda: nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)), (3, 8, 8), 0),
]


@pytest.mark.parametrize(("make", "shape", "wanted"), BY_HAND)
@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_multiply_adds_by_hand(make: type[nn.Module], shape: tuple[int, ...], wanted: int, device: str) -> None:
    with torch.device(device):
        model = make()
        table = layers_of(model, torch.zeros(1, *shape))
    assert table.multiply_adds == wanted
    assert table.parameters == sum(parameter.numel() for parameter in model.parameters())


PUBLISHED = {  # millions of multiply-adds at 224 x 224, as torchvision's table of weights gives them
    "resnet18": 1_814,
    "resnet34": 3_664,
    "resnet50": 4_089,
    "resnet101": 7_801,
    "resnet152": 11_514,
    "alexnet": 714,
    "vgg11": 7_609,
    "vgg16": 15_470,
    "vgg19": 19_632,
    "mobilenet-v2": 301,
    "mobilenet-v3-small": 57,
    "mobilenet-v3-large": 217,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_multiply_adds_as_published(name: str) -> None:
    assert round(layer_table(name).multiply_adds / 1e6) == PUBLISHED[name]


def test_bert_by_hand() -> None:
    """512 tokens, 12 layers of width 768: four square products, two of four times the width, q k^T and its use."""
    one = 512 * (4 * 768**2 + 2 * 4 * 768**2) + 2 * 512**2 * 768
    assert layer_table("bert-base").multiply_adds == pytest.approx(12 * one, rel=1e-3)


def total(table: LayerTable) -> tuple[int, int]:
    """Of everything that rows hold by themselves, times how often they stand there."""
    times: list[int] = []
    parameters = operations = 0
    for row in table.rows:
        times = [*times[: row.depth], row.times]
        factor = 1
        for number in times:
            factor *= number
        parameters, operations = parameters + factor * row.own[0], operations + factor * row.own[1]
    return parameters, operations


@pytest.mark.parametrize("name", ["resnet20", "resnet50", "mobilenet-v2", "gpt2", "bert-tiny", "transformer-tiny"])
def test_rows_add_up(name: str) -> None:
    table = layer_table(name)
    facts, task = published(name)
    with torch.device("meta"):
        model = build(name, facts, task)
    assert table.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert total(table) == (table.parameters, table.multiply_adds)


def test_equal_neighbours_become_one_row() -> None:
    rows = layer_table("resnet20").rows
    folded = [(row.name, row.times) for row in rows if row.times > 1]
    assert folded and all(name.partition("-")[2] for name, _ in folded)
    blocks = [row for row in layer_table("gpt2-xl").rows if row.times > 1]
    assert [(row.name, row.times, row.parameters) for row in blocks] == [("0-47", 48, 30_740_800)]


def test_shapes_are_those_of_the_forward_pass() -> None:
    model, shapes = build("lenet5", *published("lenet5")).eval(), {}
    for path, module in model.named_modules():
        module.register_forward_hook(lambda _, __, out, path=path: shapes.update({path: tuple(out.shape[1:])}))
    model(example(published("lenet5")[0], 1))
    rows = layer_table("lenet5").rows
    assert {row.name: row.shape for row in rows} == {row.name: shapes[row.name] for row in rows}
    assert [row.shape for row in rows if row.kind == "Linear"] == [(120,), (84,), (10,)]


def test_another_input_has_another_cost() -> None:
    short, long = layer_table("bert-tiny", (16,)), layer_table("bert-tiny", (64,))
    assert short.parameters == long.parameters and long.multiply_adds > 3.9 * short.multiply_adds
    assert layer_table("resnet8", (1, 28, 28)).rows[0].shape == (1, 28, 28)
    assert layer_table("bert-tiny", (16,)).given == (16,)
    assert layer_table("gru", (50, 3)).given == (50, 3)
    assert layer_table("tabm", (20,)).given == (20,)


def test_hooks_are_gone_and_weights_untouched() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    table = layers_of(model, torch.ones(1, 3))
    assert [row.kind for row in table.rows] == ["Linear", "ReLU", "Linear"]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("resnet81", (), "unknown model"),
        ("resnet8", (), "no published size"),
        ("resnet18", (3,), "expected channels,height,width"),
        ("gpt2", (3, 3), "expected tokens"),
        ("resnet18", (3, 0, 4), "above 0"),
        ("lenet5", (1, 2, 2), "at least 4 x 4"),
        ("tabm", (3, 32, 32), "tabm takes table data"),
    ],
)
def test_bad_input(name: str, size: tuple[int, ...], said: str) -> None:
    with pytest.raises(GliaError) as caught:
        layer_table(name, size)
    assert said in str(caught.value) and "\n" not in str(caught.value)

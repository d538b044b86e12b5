"""The default network for pictures: every answer can be built and trained as it stands, within its minutes."""

import inspect

import pytest
import torch
from torch import nn

from glia.catalog import entry as catalog
from glia.data.facts import ImageFacts
from glia.data.task import Task
from glia.models.build import build, published
from glia.models.choose_image import BUDGET, LEAST_EPOCHS, choose_image, counted, image_settings, products
from glia.models.resnet_small import resnet9
from glia.recipe import Recipe

TEN = Task("classify", ("thing",), tuple("abcdefghij"))
PRICE = Task("regress", ("price",), center=(0.0,), scale=(1.0,))
CASES = [
    (1, 8, 8, 1293),
    (1, 28, 28, 54_000),
    (3, 32, 32, 45_000),
    (3, 224, 200, 220),
    (3, 64, 64, 90_000),
    (1, 9, 9, 12),
]


def facts(channels: int, height: int, width: int, rows: int) -> ImageFacts:
    return ImageFacts(channels, height, width, (0.5,) * channels, (0.2,) * channels, rows)


@pytest.mark.parametrize("task", [TEN, PRICE])
@pytest.mark.parametrize("case", CASES)
def test_the_choice_is_a_network_and_settings_that_exist(case: tuple[int, int, int, int], task: Task) -> None:
    name, options, train, why = choose_image(facts(*case), case[-1], task)
    recipe = Recipe.of(source="x", model=name, **options, **train)
    assert recipe.train.epochs == train["epochs"] >= LEAST_EPOCHS
    catalog.find("optimizers", train["optimizer"])
    catalog.find("schedules", train["schedule"])
    net = build(name, facts(*case), task, **options)
    assert net(torch.zeros(2, *case[:3], dtype=torch.uint8)).shape == (2, task.outputs)
    assert f"{case[-1]:,} pictures" in why


@pytest.mark.parametrize("case", CASES)
def test_a_run_stays_within_its_budget(case: tuple[int, int, int, int]) -> None:
    _, options, train, _ = choose_image(facts(*case), case[-1], TEN)
    assert train["epochs"] * case[-1] * products(facts(*case), options["width"]) <= 1.1 * BUDGET


def test_products_counts_the_convolutions_themselves() -> None:
    """For sizes that halve evenly; the last linear layer is left out."""
    where = facts(3, 32, 32, 100)
    net, counted = resnet9(where, TEN, torch.Generator().manual_seed(0), width=16), [0]

    def count(layer: nn.Conv2d, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        counted[0] += output[0].numel() * layer.weight[0].numel()

    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    net(torch.zeros(1, 3, 32, 32, dtype=torch.uint8).expand(2, -1, -1, -1))
    assert products(where, 16) == counted[0]


def test_more_rows_mean_fewer_epochs_and_larger_steps() -> None:
    rows = [100, 500, 2_000, 10_000, 45_000, 500_000]
    trains = [choose_image(facts(3, 32, 32, n), n, TEN).train for n in rows]
    epochs, batches = [train["epochs"] for train in trains], [train["batch_size"] for train in trains]
    assert epochs == sorted(epochs, reverse=True)
    assert len(set(epochs)) == len(rows)
    assert batches == sorted(batches) == [16, 32, 64, 128, 256, 256]


def test_label_smoothing_is_for_classes_alone() -> None:
    where = facts(3, 32, 32, 1_000)
    flags = Task("multilabel", ("red", "round"))
    assert [image_settings("resnet9", where, 1_000, task)["label_smoothing"] for task in (TEN, PRICE, flags)] == [
        0.1,
        0,
        0,
    ]


@pytest.mark.parametrize(
    ("name", "products"),
    [  # the papers: table 1 (resnet, which counts its shortcuts less), section 5 (v2), table 3 (v3), table 4 (v1)
        ("resnet18", 1.8e9),
        ("resnet50", 3.8e9),
        ("mobilenet-v1", 569e6),
        ("mobilenet-v2", 300e6),
        ("mobilenet-v3-large", 219e6),
        ("mobilenet-v3-small", 56e6),
    ],
)
def test_the_cost_of_any_network_is_the_published_one(name: str, products: float) -> None:
    where, task = published(name)
    assert isinstance(where, ImageFacts)
    assert counted(name, where, task) == pytest.approx(products, rel=0.09)


def test_heavy_networks_get_fewer_epochs() -> None:
    where = facts(3, 64, 64, 5_000)
    epochs = [image_settings(name, where, 5_000, TEN)["epochs"] for name in ("resnet8", "resnet18", "resnet152")]
    assert epochs == sorted(epochs, reverse=True) and epochs[0] > epochs[-1] >= LEAST_EPOCHS


@pytest.mark.parametrize(
    "name",
    [
        "lenet5",
        "resnet32",
        "resnet18",
        "vgg11-bn",
        "alexnet",
        "MobileNet_v3_small",
        "resnet8",
        "resnet20",
        "resnet9",
        "vit-tiny",
    ],
)
def test_every_image_network_has_settings(name: str) -> None:
    settings = image_settings(name, facts(1, 64, 64, 54_000), 54_000, TEN)
    assert Recipe.of(source="x", model=name, **settings).train.lr == settings["lr"]
    assert "generator" in inspect.signature(catalog.load(catalog.find("models", name))).parameters

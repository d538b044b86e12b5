"""The catalogue: every name resolves, every fact is what torch itself shows."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from glia.catalog.entry import Entry, entries, find, kinds, load, names, options
from glia.data.task import Task
from glia.errors import GliaError

EVERY = [(kind, entry) for kind in kinds() for entry in entries(kind)]


@pytest.mark.parametrize(("kind", "entry"), EVERY, ids=lambda value: getattr(value, "name", value))
def test_every_entry_is_found_and_its_factory_exists(kind: str, entry: Entry) -> None:
    assert find(kind, entry.name) is entry
    assert callable(load(entry))
    assert entry.summary and "\n" not in entry.summary and len(entry.summary) <= 100


@pytest.mark.parametrize("kind", kinds())
def test_names_and_aliases_are_distinct_and_lead_somewhere(kind: str) -> None:
    plain = [name.replace("_", "") for name in names(kind)]
    assert len(set(plain)) == len(plain)
    aliases = __import__(f"glia.catalog.{kind}", fromlist=["ALIASES"]).ALIASES
    for alias, name in aliases.items():
        assert alias not in names(kind)
        assert find(kind, alias).name == name


@pytest.mark.parametrize("spelling", ["cross_entropy", "CrossEntropy", "cross-entropy", "CROSS ENTROPY", "ce"])
def test_spellings(spelling: str) -> None:
    assert find("losses", spelling).name == find("loss", spelling).name == "cross_entropy"


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(GliaError, match="unknown activation 'rleu'.*'relu'"):
        find("activations", "rleu")
    with pytest.raises(GliaError, match="unknown kind 'lossess'.*'losses'"):
        names("lossess")


def test_options_are_checked() -> None:
    huber, mse = find("losses", "huber"), find("losses", "mse")
    assert options(huber, {"delta": 2.0}, ("delta",)) == {"delta": 2.0}
    with pytest.raises(GliaError, match="'delat'.*'delta'"):
        options(huber, {"delat": 2.0}, ("delta",))
    with pytest.raises(GliaError, match="mse takes no options"):
        options(mse, {"delta": 2.0}, ())


def test_reading_every_table_imports_no_torch() -> None:
    code = "import sys; from glia.catalog.entry import *; [names(k) for k in kinds()]; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("entry", entries("activations"), ids=lambda entry: entry.name)
def test_activation_facts(entry: Entry) -> None:
    module = load(entry)(dim=0) if entry.name == "softmax" else load(entry)()
    z = torch.linspace(-30, 30, 60_001, dtype=torch.float64)
    outputs = module(torch.stack([z, torch.zeros_like(z)]))[0] if entry.name == "softmax" else module(z)
    low, high = entry.facts["range"]
    assert outputs.min() >= low - 1e-4 and outputs.max() <= high + 1e-4
    assert outputs.min() <= max(low, -0.2) + 1e-3  # the bounds are reached, where they are finite
    slopes = torch.diff(outputs) / torch.diff(z)
    flat = (bool(slopes[0].abs() < 1e-6), bool(slopes[-1].abs() < 1e-6))
    assert {(False, False): None, (True, False): "left", (True, True): "both"}[flat] == entry.facts["saturates"]


@pytest.mark.parametrize(
    "name", ["relu", "leaky_relu", "elu", "gelu", "silu", "selu", "mish", "hardswish", "relu6", "softplus"]
)
def test_gains_keep_the_second_moment(name: str) -> None:
    """E[(gain f(z))^2] = 1 for z ~ N(0, 1), by numerical integration."""
    z = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    share = torch.exp(-z.square() / 2)
    second = (load(find("activations", name))()(z).square() * share).sum() / share.sum()
    assert find("activations", name).facts["gain"] ** 2 * second == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "tanh", "sigmoid", "linear"])
def test_gains_are_those_of_torch(name: str) -> None:
    gain = find("activations", name).facts["gain"]
    assert gain == pytest.approx(
        nn.init.calculate_gain(name, 0.01 if name == "leaky_relu" else None)  # type: ignore[arg-type]
    )


def test_every_activation_names_a_fitting_init() -> None:
    for entry in entries("activations"):
        assert entry.name in find("inits", entry.facts["init"]).facts["fits"]


@pytest.mark.parametrize("entry", [e for e in entries("tasks") if e.name != "own"], ids=lambda entry: entry.name)
def test_tasks_agree_with_task(entry: Entry) -> None:
    task = Task(entry.name, ("y",))
    assert (task.loss, task.metric) == (entry.facts["loss"], entry.facts["metric"])
    assert entry.name in find("losses", task.loss).facts["tasks"]
    assert entry.name in find("metrics", task.metric).facts["tasks"]


@pytest.mark.parametrize("entry", entries("layers"), ids=lambda entry: entry.name)
def test_layers_give_the_shapes_of_their_examples(entry: Entry) -> None:
    arguments, given, made = entry.facts["example"]
    layer = load(entry)(**arguments)
    if entry.name == "learned_positions":
        x: torch.Tensor | int = made[0]
    else:
        x = torch.zeros(given, dtype=torch.long) if entry.facts.get("tokens") else torch.randn(given)
    outputs = layer(x)
    assert (outputs[0] if isinstance(outputs, tuple) else outputs).shape == torch.Size(made)
    for rank, factory in entry.facts.get("by_rank", {}).items():
        other = load(Entry(entry.name, factory, ""))(**arguments)
        assert other(torch.randn(2, 3, *[4] * (rank - 2))).ndim == rank


def test_norms_by_rank_take_inputs_of_that_rank() -> None:
    for rank, factory in find("norms", "batch").facts["by_rank"].items():
        norm = load(Entry("batch", factory, ""))(3)
        assert norm(torch.ones(2, 3, *[4] * (rank - 2))).ndim == rank


def test_models_train_settings_are_settings_of_the_catalogue() -> None:
    own = [entry for entry in entries("models") if "train" in entry.facts]
    assert {entry.name for entry in own} == {"mlp", "linear", "perceptron"}
    for entry in own:
        train = entry.facts["train"]
        low, high = find("optimizers", train["optimizer"]).facts["lr_range"]
        assert low <= train["lr"] <= high
        assert find("schedules", train["schedule"])
        assert set(train) == {
            "epochs",
            "batch_size",
            "optimizer",
            "lr",
            "schedule",
            "warmup",
            "weight_decay",
            "clip",
            "ema",
            "patience",
        }

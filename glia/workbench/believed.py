"""What a run folder says of its network and its state, checked before it is used: sums only show that it is whole."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, TypeAdapter, ValidationError
from torch import Tensor, nn

from glia.catalog import entry as catalog
from glia.data.facts import KINDS as FACTS
from glia.data.facts import Facts, facts_from_dict
from glia.data.prepared import Reader
from glia.data.task import Task
from glia.errors import DamagedError, GliaError, unknown
from glia.models.build import build
from glia.training.update import Progress
from glia.workbench.prepare import READERS, open_reader


class Network(BaseModel):
    """network.json: a name of the catalogue, or None for a network of one's own."""

    model_config = ConfigDict(extra="ignore", strict=True, protected_namespaces=())
    name: str | None
    class_: str = Field("", alias="class")
    options: dict[str, bool | int | float | str | list[int] | None] = {}


class _Read(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    kind: str
    fitted: dict[str, Any]


@dataclass(frozen=True)
class Described:
    """The parts of a model folder, each of the right types."""

    network: Network
    task: Task
    facts: Facts
    reader: Reader


def described(parts: Mapping[str, Any], where: str) -> Described:
    """Raises DamagedError, in one line, for parts of other types than `save_model` writes, and for unknown kinds."""
    try:
        network = _typed(Network, parts["network"])
        task = _task(parts["task"])
        facts = _facts(parts["facts"])
        read = _typed(_Read, parts["reader"])
        if read.kind not in READERS:
            raise unknown("kind of data", read.kind, READERS)
        _typed(READERS[read.kind], read.fitted)
        if read.kind == "tensor" and not isinstance(getattr(torch, str(read.fitted["dtype"]), None), torch.dtype):
            raise ValueError("a dtype that torch does not have")
        return Described(network, task, facts, open_reader(read.kind, read.fitted))
    except ValidationError as error:
        raise _unlike(error, where) from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        said = str(error) if isinstance(error, GliaError) else f"{type(error).__name__}: {error}"
        raise DamagedError(f"{where} cannot be what glia wrote", got=said[:200]) from None


def _typed(kind: Any, value: Any) -> Any:
    """The value as that kind, nothing converted. It passes through JSON, where a list may stand for a tuple."""
    return TypeAdapter(kind).validate_json(json.dumps(value), strict=True)


def _task(value: Any) -> Task:
    task: Task = _typed(Task, value)
    catalog.find("tasks", task.kind)
    if (not task.targets and task.kind != "own") or (task.kind in ("classify", "language") and not task.classes):
        raise ValueError("a task without answers")
    if task.kind == "regress" and not len(task.center) == len(task.scale) == len(task.targets):
        raise ValueError("a task whose targets have no scale")
    return Task.from_dict(value)


def _facts(value: Any) -> Facts:
    if value["kind"] not in FACTS:
        raise unknown("kind of facts", value["kind"], FACTS)
    _typed(FACTS[value["kind"]], {key: one for key, one in value.items() if key != "kind"})
    facts = facts_from_dict(value)
    columns = {len(one) for one in vars(facts).values() if isinstance(one, tuple)} if facts.kind == "table" else {0}
    if len(columns) != 1:
        raise ValueError("facts of columns that differ in number")
    return facts


def rebuilt(said: Described, weights: Mapping[str, Tensor], where: str) -> nn.Module:
    """The network of a description, filled with its weights.

    It is built without memory first: a description may ask for more than its weights hold. Raises DamagedError.
    """
    name, options = said.network.name or "", said.network.options
    most = sum(value.numel() for value in weights.values())
    for key, value in options.items():
        layers = len(value) if isinstance(value, list) else value if key == "depth" and isinstance(value, int) else 0
        largest = max([value] if isinstance(value, int) else value if isinstance(value, list) else [], default=0)
        if layers > len(weights) or largest > most:
            got = f"{key}={str(value)[:40]} with {len(weights)} tensors of {most:,} numbers"
            raise DamagedError(f"{where} cannot be what glia wrote", got=got)
    try:
        with torch.device("meta"):
            shapes = {key: value.shape for key, value in _built(name, options, said).state_dict().items()}
        wrong = next((key for key in shapes.keys() | weights.keys() if shapes.get(key) != _shape(weights, key)), None)
        if wrong is not None:
            got, expected = f"{wrong} {_sized(_shape(weights, wrong))}", _sized(shapes.get(wrong))
            raise DamagedError(f"the weights in {where} do not fit the network", got=got, expected=expected)
        model = _built(name, options, said)
        model.load_state_dict(dict(weights))
    except GliaError:
        raise
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, AssertionError) as error:
        got = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:160]}"
        raise DamagedError(f"the network in {where} cannot be built", got=got) from None
    return model


def _built(name: str, options: Mapping[str, Any], said: Described) -> nn.Module:
    return build(name, said.facts, said.task, **options)


def _shape(weights: Mapping[str, Tensor], key: str) -> torch.Size | None:
    return weights[key].shape if key in weights else None


def _sized(shape: torch.Size | None) -> str:
    return "nothing" if shape is None else "x".join(map(str, shape)) or "a number"


class _State(BaseModel):
    """What a checkpoint must hold; the tensors are compared with the network when they are loaded."""

    model_config = ConfigDict(extra="ignore", strict=True, protected_namespaces=())
    progress: dict[str, Any]
    model: dict[str, Any]
    optimizer: dict[str, Any]
    best: dict[str, Any]
    chart_bytes: NonNegativeInt


def sound_state(state: Any, where: str) -> dict[str, Any]:
    """The state of a checkpoint, if it is one. Raises DamagedError."""
    try:
        _State.model_validate(state)
        progress = _typed(Progress, state["progress"])
        if min(progress.epoch, progress.batch, progress.step, progress.rows) < 0:
            raise ValueError("a negative place")
    except ValidationError as error:
        raise _unlike(error, where) from None
    except (TypeError, ValueError) as error:
        raise DamagedError(f"{where} cannot be what glia wrote", got=error) from None
    return dict(state)


def _unlike(error: ValidationError, where: str) -> DamagedError:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return DamagedError(f"{where} cannot be what glia wrote", got=f"{error.title} {place}: {first['msg']}")

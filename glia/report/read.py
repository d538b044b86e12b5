"""A run folder as plain values. Whatever is missing, torn or damaged is left out and named in `unread`."""

import json
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from glia.catalog import entry as catalog
from glia.runs.verify import damaged

Json = dict[str, Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """What the network said of the rows of one part. outputs: (N, C) probabilities or values."""

    targets: Floats  # (N,) class numbers, or (N, targets)
    outputs: Floats

    def __len__(self) -> int:
        return len(self.outputs)


@dataclass(frozen=True)
class RunFiles:
    """The files of one run. Every part may be empty: a run that has just begun has only its recipe."""

    folder: Path
    recipe: Json = field(default_factory=dict)
    choices: list[Json] = field(default_factory=list)
    machine: Json = field(default_factory=dict)
    card: Json = field(default_factory=dict)
    network: Json = field(default_factory=dict)
    task: Json = field(default_factory=dict)
    metrics: Json = field(default_factory=dict)
    curves: Json = field(default_factory=dict)
    status: Json = field(default_factory=dict)
    worst: list[Json] = field(default_factory=list)
    samples: list[Json] = field(default_factory=list)  # what a language model wrote while it learnt
    findings: list[Json] = field(default_factory=list)
    vitals: Json = field(default_factory=dict)  # what the figures of findings are drawn from
    epochs: list[Json] = field(default_factory=list)
    steps: dict[str, Floats] = field(default_factory=dict)  # step, loss, lr, grad_norm: (steps,) each
    predictions: dict[str, Predictions] = field(default_factory=dict)  # by part
    unread: list[str] = field(default_factory=list)

    @property
    def took(self) -> float | None:
        """Seconds that training took, where that was written down."""
        given = number(self.machine.get("seconds"))
        return number(self.status.get("seconds")) if given is None else given


def read_run(folder: Path) -> RunFiles:
    """Read what is there of the run in `folder`."""
    unread = damaged(folder, checkpoints=False)

    def mapping(name: str) -> Json:
        return _load(folder, name, _json, dict, unread)

    def items(name: str, key: str) -> list[Json]:
        found = _load(folder, name, lambda path: _items(_json(path), key), list, unread)
        return [item for item in found if isinstance(item, dict)]

    epochs, steps = _chart(folder, unread)
    return RunFiles(
        folder=folder,
        recipe=_load(folder, "recipe.toml", _toml, dict, unread),
        choices=items("choices.json", "choices"),
        machine=mapping("machine.json"),
        card=mapping("data.json"),
        network=mapping("model/network.json"),
        task=mapping("model/task.json"),
        metrics=mapping("metrics.json"),
        curves=mapping("curves.json"),
        status=mapping("status.json"),
        worst=items("predictions/worst.json", "worst"),
        samples=items("samples.json", "samples"),
        findings=items("findings.json", "findings"),
        vitals=_load(folder, "findings.json", _vitals, dict, []),
        epochs=epochs,
        steps=steps,
        predictions=_predictions(folder, unread),
        unread=unread,
    )


def _load(folder: Path, name: str, read: Callable[[Path], Any], kind: type, unread: list[str]) -> Any:
    """What `read` makes of a file; an empty `kind` when the file is absent, or damaged (then named in `unread`)."""
    path = folder / name
    if not path.is_file() or name in unread:
        return kind()
    try:
        value = read(path)
    except (OSError, ValueError, RecursionError, SafetensorError):
        unread.append(name)
        return kind()
    if not isinstance(value, kind):
        unread.append(name)
        return kind()
    return value


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _toml(path: Path) -> Json:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _items(value: Any, key: str) -> Any:
    """A list, also when it stands under its own name in a mapping."""
    return value.get(key) if isinstance(value, dict) else value


def _vitals(path: Path) -> Json:
    value = _json(path)
    return mapping_of(value.get("vitals")) if isinstance(value, dict) else {}


def _predictions(folder: Path, unread: list[str]) -> dict[str, Predictions]:
    found = {}
    for part in ("valid", "test"):
        tensors = _load(folder, f"predictions/{part}.safetensors", load_file, dict, unread)
        targets, outputs = tensors.get("targets"), tensors.get("outputs")
        if targets is not None and outputs is not None and len(targets) == len(outputs) > 0:
            found[part] = Predictions(targets.astype(np.float64), outputs.reshape(len(outputs), -1).astype(np.float64))
    return found


def _lines(path: Path) -> Iterator[Json]:
    """The whole lines of a JSON-lines file; a last line that was cut off by a crash is no line."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict):
                yield value


def _chart(folder: Path, unread: list[str]) -> tuple[list[Json], dict[str, Floats]]:
    """Epoch lines in order, and the columns of the step lines. A step that was run twice counts as run last."""
    path = folder / "chart.jsonl"
    if not path.is_file() or path.name in unread:
        return [], {}
    epochs: dict[float, Json] = {}
    steps: dict[float, tuple[float, float, float]] = {}
    try:
        for line in _lines(path):
            if line.get("kind") == "epoch" and (epoch := number(line.get("epoch"))) is not None:
                epochs[epoch] = line
            elif line.get("kind") == "step" and (step := number(line.get("step"))) is not None:
                steps[step] = (_nan(line.get("loss")), _nan(line.get("lr")), _nan(line.get("grad_norm")))
    except OSError:
        unread.append("chart.jsonl")
    order = sorted(steps)
    table = np.array([steps[step] for step in order], dtype=np.float64).reshape(-1, 3)
    columns = {"step": np.array(order, dtype=np.float64), "loss": table[:, 0], "lr": table[:, 1]}
    return [epochs[epoch] for epoch in sorted(epochs)], {**columns, "grad_norm": table[:, 2]} if order else {}


def task_facts(run: RunFiles) -> Json:
    """What the catalogue says of the run's kind of answer; nothing where it is not known."""
    kind = run.task.get("kind")
    return dict(catalog.find("tasks", kind).facts) if kind in catalog.names("tasks") else {}


def number(value: Any) -> float | None:
    """A finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if np.isfinite(value) else None


def _nan(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")


def rows_of(value: Any) -> list[Json]:
    """The mappings in a list; nothing when it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def names_of(value: Any) -> list[str]:
    """The items of a list as text; nothing when it is no list."""
    return [str(item) for item in value] if isinstance(value, list) else []


def mapping_of(value: Any) -> Json:
    """A mapping; an empty one when it is something else."""
    return value if isinstance(value, dict) else {}

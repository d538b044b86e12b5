"""The files of an invented run, one by one: see `fake_runs` for whole folders."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import tomli_w
from numpy.typing import NDArray

from glia.data.task import Task
from glia.predict.curves import curves
from glia.predict.measure import measure

Array = NDArray[Any]


def write_json(folder: Path, name: str, value: Any) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def begin(folder: Path, *, model: str = "mlp", source: str = "penguins.csv", target: str = "species") -> None:
    """The files that are there before the first step."""
    folder.mkdir(parents=True)
    recipe = {
        "data": {
            "source": source,
            "target": [target],
            "valid_share": 0.1,
            "test_share": 0.2,
            "drop": [],
            "bad_limit": 0.05,
        },
        "model": {"model": model, "hidden": [128, 64], "dropout": 0.1, "members": 8},
        "train": {"epochs": 60, "batch_size": 32, "optimizer": "adamw", "lr": 0.002, "schedule": "cosine", "seed": 0},
    }
    (folder / "recipe.toml").write_text(tomli_w.dumps(recipe), encoding="utf-8")
    choices = [
        {"setting": "model", "value": model, "why": "the strongest on tables of this size in our benchmarks"},
        {"setting": "lr", "value": 0.002, "why": "range test: the loss fell fastest at 0.02; a tenth of that"},
        {"setting": "batch_size", "value": 32, "why": "275 training rows: about nine steps an epoch"},
        {"setting": "epochs", "value": 60, "why": "stops earlier when valid_loss has not fallen for 16 epochs"},
    ]
    write_json(folder, "choices.json", choices)
    machine = {
        "python": "3.11.9",
        "platform": "Linux-6.8-x86_64-with-glibc2.36",
        "cpu": "AMD EPYC 9R14",
        "threads": 2,
        "versions": {"glia": "0.1.0", "torch": "2.13.0", "numpy": "2.3.1"},
        "git": "1b76eed",
        "command": f"glia train {source} --target {target}",
        "started": "2025-03-04T10:20:30+00:00",
    }
    write_json(folder, "machine.json", machine)
    write_json(folder, "status.json", {"state": "running", "why": "", "epoch": 0, "step": 0, "best_epoch": None})


def finish(folder: Path, epoch: int, step: int, best: int, took: float = 14.2) -> None:
    machine = json.loads((folder / "machine.json").read_text())
    write_json(folder, "machine.json", machine | {"seconds": took, "peak_memory_bytes": 412_000_000})
    why = f"valid_loss has not fallen for 16 epochs; the weights of epoch {best} are kept"
    write_json(
        folder, "status.json", {"state": "finished", "why": why, "epoch": epoch, "step": step, "best_epoch": best}
    )


def chart(
    folder: Path, metric: str, *, epochs: int = 46, steps: int = 9, seed: int = 0, broken_at: int | None = None
) -> int:
    """chart.jsonl of a run that learns and then overfits a little. Returns the best epoch."""
    draw = np.random.default_rng(seed)
    share = metric in ("accuracy",)
    best, lines = round(epochs * 0.62), []
    for epoch in range(1, epochs + 1):
        for i in range(steps):
            step = (epoch - 1) * steps + i + 1
            at = step / (steps * epochs)
            loss: float | None = 0.08 + 1.05 * np.exp(-6 * at) + abs(draw.normal(0, 0.05))
            if broken_at is not None and step >= broken_at:
                loss = float("nan")
            norm = float(np.exp(draw.normal(-2.2 * at, 0.5))) * (12 if draw.random() < 0.01 else 1)
            lr = 0.002 * min(1, at / 0.1) * (0.5 + 0.5 * np.cos(np.pi * at))
            lines.append({"kind": "step", "step": step, "epoch": epoch, "loss": loss, "lr": lr, "grad_norm": norm})
            if broken_at is not None and step >= broken_at:
                break
        if broken_at is not None and epoch * steps >= broken_at:
            break
        at = epoch / epochs
        train, valid = 0.07 + 1.0 * np.exp(-6 * at), 0.13 + 0.95 * np.exp(-6.5 * at) + 0.12 * max(0, at - 0.62) ** 1.5
        valid += abs(draw.normal(0, 0.012))
        good, fair = (1 - 0.25 * train, 1 - 0.3 * valid) if share else (1e5 * train**0.5, 1e5 * valid**0.5)
        lines.append(
            {
                "kind": "epoch", "epoch": epoch, "step": epoch * steps, "train_loss": train, f"train_{metric}": good,
                "valid_loss": valid, f"valid_{metric}": fair, "lr": lr, "grad_norm": norm, "best": epoch == best,
            }
        )  # fmt: skip
    (folder / "chart.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n", encoding="utf-8")
    return best


def answers(folder: Path, task: Task, parts: dict[str, tuple[Array, Array]]) -> dict[str, Any]:
    """model/task.json, predictions, curves.json. Returns metrics by part."""
    write_json(folder, "model/task.json", task.to_dict())
    (folder / "predictions").mkdir(exist_ok=True)
    for part, (outputs, targets) in parts.items():
        tensors = {"rows": np.arange(len(outputs)), "outputs": outputs.astype(np.float32), "targets": targets}
        safetensors.numpy.save_file(tensors, folder / "predictions" / f"{part}.safetensors")
    write_json(folder, "curves.json", {part: curves(task, *pair) for part, pair in parts.items()})
    return {part: measure(task, *pair) for part, pair in parts.items()}


def guesses(targets: Array, classes: int, sure: float, seed: int = 1) -> Array:
    """(N, classes) probabilities that favour the target by `sure` logits, with some rows that are plainly wrong."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, 1.0, (len(targets), classes))
    logits[np.arange(len(targets)), targets] += sure + draw.normal(0, 1.2, len(targets))
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


NUMBERS = {"min": 32.1, "median": 44.45, "max": 59.6}
LEVELS = {"top": [{"value": "Biscoe", "count": 168}, {"value": "Dream", "count": 124}]}


def columns(names: list[tuple[str, str, str]]) -> list[dict[str, Any]]:
    """Data card entries of (name, kind, role) columns."""
    made = []
    for i, (name, kind, role) in enumerate(names):
        numeric = kind == "number"
        why = {"target": "named as the target", "dropped": "every row has its own value: a key"}.get(role)
        made.append(
            {
                "name": name, "kind": kind, "role": role, "missing": [0, 2, 0, 11, 0][i % 5], "distinct": 8 + 37 * i,
                "why": why or ("every value is a number" if numeric else "text with few values"),
                "example": ["39.1", "40.3", "46.25"] if numeric else ["Biscoe", "Dream", "Torgersen"],
                "stats": NUMBERS if numeric else LEVELS,
            }
        )  # fmt: skip
    return made


def card(source: str, parts: dict[str, int], cols: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "source": source, "kind": "table",
        "format": {"separator": ",", "decimal": ".", "encoding": "utf-8", "header": True},
        "rows": sum(parts.values()), "parts": parts, "split": "by class: 70 % train, 10 % valid, 20 % test, seed 0",
        "columns": cols, "classes": {}, "dropped": [], "duplicates": 0, "imbalance": None,
        "fingerprint": "9f2c3a77e1d0b84c5a6e9b1f0d3c2a4e8f7b6a5d4c3b2a190817263544f3e2d1", "notes": [],
    } | more  # fmt: skip


def class_counts(names: tuple[str, ...], weights: list[int]) -> dict[str, dict[str, int]]:
    return {name: {"train": 7 * w, "valid": w, "test": 2 * w} for name, w in zip(names, weights, strict=True)}


def network(folder: Path, name: str, weights: int, **options: Any) -> None:
    write_json(folder, "model/network.json", {"name": name, "options": options, "parameters": weights})

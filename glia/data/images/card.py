"""The data card of a set of pictures: plain JSON for the report."""

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np

from glia.data.images.labels import Answers
from glia.data.images.parts import Division
from glia.data.images.pictures import Pictures
from glia.data.task import Task


def image_card(source: str, pictures: Pictures, division: Division, task: Task, notes: Sequence[str]) -> dict[str, Any]:
    """Everything about the pictures that a person may ask, as DATA: where from, how divided, which classes."""
    parts: dict[str, Any] = division.split._asdict()
    classes = _classes(pictures.answers, task, parts)
    sizes = [count["train"] for count in classes.values()]
    imbalance = max(sizes) / min(sizes) if sizes and min(sizes) > 0 else None
    return {
        "source": source,
        "kind": "image",
        "format": pictures.format,
        "rows": len(pictures.names),
        "parts": {name: len(rows) for name, rows in parts.items()},
        "split": division.how,
        "columns": [_picture_column(pictures), *(_target(pictures.answers, name, task) for name in task.targets)],
        "classes": classes,
        "dropped": [*pictures.dropped, *division.dropped],
        "duplicates": division.duplicates,
        "imbalance": imbalance,
        "fingerprint": fingerprint(pictures),
        "notes": list(notes),
    }


def fingerprint(pictures: Pictures) -> str:
    """sha256 over names, stored content and labels, sorted by name: the same wherever and however it is stored."""
    labels = zip(*pictures.answers.values())
    whole = sha256()
    for name, content, label in sorted(zip(pictures.names, pictures.contents, labels)):
        whole.update("\x1f".join((name, content.hex(), *label)).encode() + b"\n")
    return whole.hexdigest()


def _classes(answers: Answers, task: Task, parts: dict[str, Any]) -> dict[str, dict[str, int]]:
    if task.kind != "classify":
        return {}
    cells = answers[task.targets[0]]
    counts = {part: Counter(cells[i] for i in rows) for part, rows in parts.items()}
    return {name: {part: counts[part][name] for part in parts} for name in task.classes}


def _picture_column(pictures: Pictures) -> dict[str, Any]:
    form = pictures.format
    return {
        "name": "picture",
        "kind": "image",
        "role": "input",
        "missing": 0,
        "distinct": len(set(pictures.digests)),
        "why": f"{form['channels']} x {form['height']} x {form['width']} (channels, height, width)",
        "example": pictures.names[:3],
        "stats": {"sizes": form["sizes"]},
    }


def _target(answers: Answers, name: str, task: Task) -> dict[str, Any]:
    cells = answers[name]
    column: dict[str, Any] = {
        "name": name,
        "kind": {"classify": "category", "multilabel": "yes/no", "regress": "number"}[task.kind],
        "role": "target",
        "missing": 0,
        "distinct": len(set(cells)),
        "why": "what is to be predicted",
        "example": list(dict.fromkeys(cells))[:3],
    }
    if task.kind == "regress":
        values = np.array([float(cell) for cell in cells])
        column["stats"] = {
            "min": float(values.min()),
            "median": float(np.median(values)),
            "max": float(values.max()),
            "mean": float(values.mean()),
        }
    else:
        column["stats"] = {"top": dict(Counter(cells).most_common(10))}
    return column

"""The data card of a set of pictures: plain JSON for the report."""

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np

from glia.data.images.parts import Division
from glia.data.images.pictures import Pictures
from glia.data.task import Task


def image_card(source: str, pictures: Pictures, division: Division, task: Task, notes: Sequence[str]) -> dict[str, Any]:
    """Everything about the pictures that a person may ask, as DATA: where from, how divided, which classes."""
    parts: dict[str, Any] = division.split._asdict()
    cells = pictures.answers[task.targets[0]] if task.kind == "classify" else []
    targets = [target_column(name, pictures.answers[name], task.kind) for name in task.targets]
    classes = class_counts(cells, task, parts)
    sizes = [count["train"] for count in classes.values()]
    imbalance = max(sizes) / min(sizes) if sizes and min(sizes) > 0 else None
    return {
        "source": source,
        "kind": "image",
        "format": pictures.format,
        "rows": len(pictures.names),
        "parts": {name: len(rows) for name, rows in parts.items()},
        "split": division.how,
        "columns": [_picture_column(pictures), *targets],
        "classes": classes,
        "dropped": [*pictures.dropped, *division.dropped],
        "duplicates": division.duplicates,
        "imbalance": imbalance,
        "fingerprint": fingerprint(pictures),
        "notes": list(notes),
    }


def fingerprint(pictures: Pictures) -> str:
    """sha256 over names, stored content and labels, sorted by name: the same wherever and however it is stored."""
    return digest_of(pictures.names, pictures.contents, list(zip(*pictures.answers.values())))


def digest_of(names: Sequence[str], contents: Sequence[bytes], labels: Sequence[Sequence[str]]) -> str:
    """sha256 over what each file is called, holds and means, in the order of the names."""
    whole = sha256()
    for name, content, label in sorted(zip(names, contents, labels)):
        whole.update("\x1f".join((name, content.hex(), *label)).encode() + b"\n")
    return whole.hexdigest()


def class_counts(cells: Sequence[str], task: Task, parts: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Rows of each class in each part; empty where there are no classes."""
    if task.kind != "classify":
        return {}
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


def target_column(name: str, cells: Sequence[str], kind: str) -> dict[str, Any]:
    """What the card says of a target. kind: of answer."""
    column: dict[str, Any] = {
        "name": name,
        "kind": {"classify": "category", "multilabel": "yes/no", "regress": "number"}[kind],
        "role": "target",
        "missing": 0,
        "distinct": len(set(cells)),
        "why": "what is to be predicted",
        "example": list(dict.fromkeys(cells))[:3],
    }
    if kind == "regress":
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

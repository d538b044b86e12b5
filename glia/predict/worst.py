"""The rows that a network gets most wrong, as files that a person can look through."""

import io
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from glia.data.batches import Batches
from glia.data.prepared import Reader
from glia.data.task import Task
from glia.errors import GliaError
from glia.predict.measure import Array, arrays

WORST = 12
LINE_POINTS, LINE_CHANNELS = 160, 6  # of a series that is drawn small
SHEET, GREY = 9, 128  # frames of a clip that are shown; what is between them
_EPS = float(np.finfo(np.float64).eps)


def worst(
    task: Task, part: Mapping[str, Tensor], batches: Batches, reader: Reader, source: Any, most: int = WORST
) -> dict[str, bytes]:
    """The `most` rows with the largest loss: "worst.json", and "worst/0.png" ... when the rows are pictures or clips.

    part: "rows", "outputs" and "targets" of `batches` (see `part_of`); source: what these rows were read from.
    worst.json lists, the largest loss first, {"name": file or row, "target", "predicted": texts, "loss", "share":
    probability of the predicted class or null, "cells": {column: text} or null, "picture": path or null}; of series
    "series" besides, a list of numbers for each of the first channels, null where there is none.
    Cells are null when the source cannot be read again, or no longer holds the same row.
    """
    out, want = arrays(task, part["outputs"], part["targets"])
    losses = row_losses(task, out, want)
    chosen = np.argsort(-np.where(np.isfinite(losses), losses, np.inf), kind="stable")[:most]
    inputs = batches.at(torch.from_numpy(chosen)).inputs
    rows = part["rows"].numpy()[chosen].tolist()
    sheets = map(_sheet, inputs) if reader.kind == "video" else inputs if reader.kind == "image" else ()
    pictures = [_png(picture) for picture in sheets]
    cells = _cells(reader, source, rows, inputs) if reader.kind in ("table", "text") else {}
    entries = [
        {
            "name": _name(reader, row),
            "target": _say(task, want[i], of_target=True),
            "predicted": _say(task, out[i]) if np.isfinite(out[i]).all() else None,
            "loss": float(losses[i]) if math.isfinite(losses[i]) else None,
            "share": float(out[i].max()) if task.kind == "classify" and np.isfinite(out[i]).all() else None,
            "cells": cells.get(row),
            "picture": f"worst/{place}.png" if pictures else None,
            **({"series": _lines(inputs[place])} if reader.kind == "series" else {}),
        }
        for place, (i, row) in enumerate(zip(chosen, rows, strict=True))
    ]
    files = {f"worst/{place}.png": png for place, png in enumerate(pictures)}
    return {"worst.json": json.dumps(entries, ensure_ascii=False, indent=1).encode(), **files}


def row_losses(task: Task, out: Array, want: Array) -> Array:
    """The loss (N,) of each row, both arguments in own units: cross-entropy in nats, its mean over the labels, or the
    mean over the targets of the squared error in standard deviations of the training rows."""
    if task.kind == "classify":
        return -np.log(np.clip(out[np.arange(len(want)), want], _EPS, 1))
    if task.kind == "multilabel":
        return -np.log(np.clip(np.where(want >= 0.5, out, 1 - out), _EPS, 1)).mean(1)
    return (((out - want) / np.array(task.scale)) ** 2).mean(1)


def _say(task: Task, answer: Array, *, of_target: bool = False) -> str:
    """An answer in words: outputs (C,), or a target (a class number, or (C,))."""
    if task.kind == "classify":
        return task.classes[int(answer if of_target else answer.argmax())]
    if task.kind == "multilabel":
        return ", ".join(name for name, value in zip(task.targets, answer, strict=True) if value >= 0.5) or "none"
    if len(task.targets) == 1:
        return f"{answer[0]:.6g}"
    return ", ".join(f"{name} {value:.6g}" for name, value in zip(task.targets, answer, strict=True))


def _name(reader: Reader, row: int) -> str:
    name_of = getattr(reader, "name_of", None)  # readers of pictures know their files
    return str(name_of(row)) if name_of else f"row {row}"


def _cells(reader: Reader, source: Any, rows: list[int], inputs: Tensor) -> dict[int, dict[str, str]]:
    """The raw cells of `rows`, from one more pass over the source, which ends with the last of them."""
    own_names = reader.kind == "text"  # files of a folder are known by name, rows of a table by number
    missing = {_name(reader, row).removeprefix("row ") if own_names else str(row): i for i, row in enumerate(rows)}
    same = getattr(reader, "same", _equal)
    found: dict[int, dict[str, str]] = {}
    try:
        for raw in reader.stream(source):
            here = {name: i for i, name in enumerate(raw.names)} if raw.cells is not None else {}
            for name in [name for name in missing if name in here]:
                place, i = missing.pop(name), here[name]
                if same(raw.inputs[i], inputs[place]):
                    record = raw.cells.row(i, named=True)
                    found[rows[place]] = {key: "" if cell is None else str(cell) for key, cell in record.items()}
            if not missing:
                break
    except (GliaError, OSError):  # the rows are told by their numbers then
        return found
    return found


def _equal(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.nan_to_num(), other.nan_to_num())


def _lines(row: Tensor) -> list[list[float | None]]:
    """(L, C), NaN past the end -> some of the steps of the first channels, without what the row is filled up with."""
    length = int((~row.isnan().all(1)).nonzero().max()) + 1 if row.numel() else 0
    index = torch.linspace(0, max(0, length - 1), min(length, LINE_POINTS)).round().long()
    values = row[index, :LINE_CHANNELS].T.double().tolist()
    return [[float(f"{value:.5g}") if math.isfinite(value) else None for value in channel] for channel in values]


def _sheet(clip: Tensor) -> Tensor:
    """(frames, C, H, W) -> (C, height, width): frames in their order, line by line, as square as can be, with grey
    lines between them."""
    frames = clip[torch.linspace(0, len(clip) - 1, min(len(clip), SHEET)).round().long()]
    line = max(1, min(frames.shape[2:]) // 40)
    framed = F.pad(frames, (0, line, 0, line), value=GREY)
    columns = math.ceil(math.sqrt(len(frames)))
    rows = -(-len(frames) // columns)
    empty = framed.new_full((rows * columns - len(frames), *framed.shape[1:]), GREY)
    grid = torch.cat((framed, empty)).unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4)
    return grid.flatten(3).flatten(1, 2)[:, :-line, :-line]


def _png(picture: Tensor) -> bytes:
    """(C, H, W) uint8 -> a PNG file: grey, colour or colour with alpha; of other channels the first."""
    shape = picture if len(picture) in (1, 3, 4) else picture[:1]
    pixels = shape.permute(1, 2, 0).contiguous().cpu().numpy()
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return file.getvalue()

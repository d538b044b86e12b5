"""New rows in, predictions out, piece by piece: memory does not grow with the source."""

from collections.abc import Iterator
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn

from glia.data.prepared import Raw, Reader
from glia.data.task import Task
from glia.errors import GliaError
from glia.predict.outputs import evaluating, forward
from glia.predict.words import words_of

_CALLED = {"image": "file", "text": "file", "sound": "file", "video": "clip"}  # the column that says which it is
_READ = {
    "image": 256,
    "video": 64,
    "text": 256,
    "sound": 64,
    "series": 256,
}  # rows that are read at once, by kind of input
_READ_OTHERS = 4096
_BLOCKS = 4  # parts of them that the network is given


def answers(
    model: nn.Module, task: Task, reader: Reader, source: Any, *, targets: bool = False
) -> Iterator[tuple[Raw, Tensor]]:
    """Each piece of a source with its decoded outputs (n, C).

    How much is read at once is fixed, so that the network meets the same blocks of rows whoever asks: a matrix
    product may differ in the last bit with the number of its rows.
    """
    rows = _READ.get(reader.kind, _READ_OTHERS)
    for raw in reader.stream(source, targets=targets, rows=rows):
        with evaluating(model):
            parts = [forward(model, inputs, task) for inputs in raw.inputs.split(rows // _BLOCKS)]
        yield raw, torch.cat(parts)


def predict(
    model: nn.Module,
    task: Task,
    reader: Reader,
    source: Any,
    *,
    batch_rows: int = 4096,
    keep: bool = False,
    explain: bool = False,
) -> Iterator[pl.DataFrame]:
    """Predictions as polars frames of `batch_rows` rows, the last one with what is left; at least one.

    Columns: "row" (its number in the source) or "file"; with `keep`, the columns of the source (with "input_" before
    names that are taken); then, for
    classify: "prediction" and "p_<class>" for each class;
    multilabel: "prediction_<target>" (true or false) and "p_<target>" for each target;
    regress: "prediction" in the target's own units, or "prediction_<target>" where there are several.
    A row whose outputs are not finite has no prediction (null).
    explain: of texts, a last column "words" with the five that moved the answer most (`glia.predict.words`).
    """
    if explain and reader.kind != "text":
        raise GliaError("only of texts is it told which words mattered", got=f"{reader.kind} data")
    if batch_rows < 1:
        raise GliaError("batch_rows is too small", got=batch_rows, expected="at least 1")
    held = _frame(task, reader.kind, Raw(torch.empty(0), None, [], None), torch.empty(0, task.outputs), keep)
    if explain:
        held = held.with_columns(pl.Series("words", [], dtype=pl.String))
    some = False
    for raw, outputs in answers(model, task, reader, source):
        found = _frame(task, reader.kind, raw, outputs, keep)
        if explain:
            found = found.with_columns(pl.Series("words", words_of(model, task, reader, raw.cells), dtype=pl.String))
        held = pl.concat([held, found], how="vertical_relaxed") if held.height else found
        while held.height > batch_rows:
            some = True
            yield held[:batch_rows]
            held = held[batch_rows:]
    if held.height or not some:
        yield held


def whole(frames: Iterator[pl.DataFrame]) -> pl.DataFrame:
    """All of `predict` in one frame."""
    found = list(frames)
    return pl.concat(found, how="vertical_relaxed") if len(found) > 1 else found[0]


def _frame(task: Task, kind: str, raw: Raw, outputs: Tensor, keep: bool) -> pl.DataFrame:
    answer = _answer(task, outputs)
    columns = [_name(kind, raw.names), *(pl.Series(name, at) for name, at in (raw.places or {}).items()), *answer]
    if keep and raw.cells is not None:
        taken = {column.name for column in columns}
        columns[1:1] = [cells.alias(_free(cells.name, taken)) for cells in raw.cells.get_columns()]
    return pl.DataFrame(columns)


def _name(kind: str, names: list[str]) -> pl.Series:
    if kind == "table" or (kind == "text" and not any(name.endswith(".txt") for name in names)):
        return pl.Series("row", names, dtype=pl.String).cast(pl.Int64)
    return pl.Series(_CALLED.get(kind, "row"), names, dtype=pl.String)


def _free(name: str, taken: set[str]) -> str:
    """A name that no column has yet; it is taken from now on."""
    while name in taken:
        name = f"input_{name}"
    taken.add(name)
    return name


def _answer(task: Task, outputs: Tensor) -> list[pl.Series]:
    sound = pl.Series(outputs.isfinite().all(1).numpy())
    values = [column.contiguous().numpy() for column in outputs.T]

    def where_sound(series: pl.Series) -> pl.Series:
        return series.set(~sound, None) if not sound.all() else series

    if task.kind == "classify":
        classes = pl.Series(task.classes, dtype=pl.String)
        guess = classes.gather(outputs.argmax(1).numpy()).alias("prediction")
        chances = [pl.Series(f"p_{name}", value) for name, value in zip(task.classes, values, strict=True)]
        return [where_sound(guess), *chances]
    if task.kind == "multilabel":
        pairs = [
            (where_sound(pl.Series(f"prediction_{name}", value >= 0.5)), pl.Series(f"p_{name}", value))
            for name, value in zip(task.targets, values, strict=True)
        ]
        return [series for pair in pairs for series in pair]
    names = ["prediction"] if len(values) == 1 else [f"prediction_{name}" for name in task.targets]
    return [where_sound(pl.Series(name, value)) for name, value in zip(names, values, strict=True)]

"""The data card of a table: plain JSON, what a person wants to know of the data before believing a figure."""

import hashlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from glia.data.tables.cells import dates, numbers, yes_no
from glia.data.tables.columns import Plan, plan_column
from glia.data.tables.parts import Parts
from glia.data.tables.source import Opened, Piece
from glia.data.tables.study import Study
from glia.data.tables.target import Answer

TOP_LEVELS = 8
EXAMPLES = 3
MOST_CHARS = 60


def make_card(opened: Opened, whole: Piece, study: Study, parts: Parts) -> dict[str, Any]:
    """The card, but for its fingerprint and notes. study.plans: as they ended, useless columns marked as such."""
    task = study.answer.task
    columns = [describe(whole, plan, "input" if plan.used else "dropped") for plan in study.plans]
    columns += [describe(whole, plan_column(whole, name), "target") for name in task.targets]
    for name, why in study.left_out.items():
        columns.append(describe(whole, replace(plan_column(whole, name), why=why), "dropped"))
    order = {name: index for index, name in enumerate(whole.frame.columns)}
    columns.sort(key=lambda column: order[column["name"]])
    classes = _classes(study.answer, parts.pieces)
    dropped = [{"what": c["name"], "why": c["why"], "count": 1} for c in columns if c["role"] == "dropped"]
    if study.unanswered:
        dropped.append({"what": "rows", "why": "no value in the target", "count": study.unanswered})
    return {
        "source": opened.name,
        "kind": "table",
        "format": opened.format,
        "rows": len(whole),
        "parts": {name: len(piece) for name, piece in parts.pieces.items()},
        "split": parts.how,
        "task": {"kind": task.kind, "why": study.answer.why},
        "columns": columns,
        "classes": classes,
        "dropped": dropped,
        "duplicates": parts.duplicates,
        "imbalance": imbalance(classes) if task.kind == "classify" else None,
    }


def _classes(answer: Answer, pieces: dict[str, Piece]) -> dict[str, dict[str, int]]:
    """Rows of each class, or rows with yes for each label, in each part."""
    if answer.task.kind == "regress":
        return {}
    counts = {}
    for part, piece in pieces.items():
        values = answer.values(piece)
        if answer.task.kind == "classify":
            counts[part] = values.bincount(minlength=len(answer.task.classes)).tolist()
        else:
            counts[part] = [int(count) for count in values.sum(0).tolist()]
    names = answer.task.classes or answer.task.targets
    return {name: {part: counts[part][index] for part in counts} for index, name in enumerate(names)}


def imbalance(classes: dict[str, dict[str, int]]) -> float:
    """Rows of the largest class for each row of the smallest, in train."""
    sizes = [parts["train"] for parts in classes.values()]
    return round(max(sizes) / min(sizes), 2)


def describe(piece: Piece, plan: Plan, role: str) -> dict[str, Any]:
    """One column of the card, over all rows of the source."""
    series = piece.column(plan.name)
    present = series.drop_nulls()
    nested = series.dtype.is_nested() or series.dtype in (pl.Binary, pl.Object)
    examples = present.head(200).to_list() if nested else present.unique(maintain_order=True).head(EXAMPLES).to_list()
    return {
        "name": plan.name,
        "kind": plan.kind,
        "role": role,
        "missing": series.null_count(),
        "distinct": len({str(item) for item in examples}) if nested else present.n_unique(),
        "why": plan.why,
        "example": [_short(item) for item in examples[:EXAMPLES]],
        "stats": {} if nested or present.is_empty() else _stats(present, plan, piece.decimal),
    }


def fingerprint(sources: list[Any], pieces: list[Piece]) -> str:
    """sha256 of what was read: the bytes of files, the cells of tables in memory."""
    digest = hashlib.sha256()
    for source, piece in zip(sources, pieces):
        if isinstance(source, str | Path) and Path(source).is_file():
            with Path(source).open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
            continue
        for name in piece.frame.columns:
            series = piece.frame[name]
            digest.update(f"{name}\x1f{series.dtype}\x1f".encode())
            digest.update("\x1e".join(map(str, series.to_list())).encode())
    return digest.hexdigest()


def _stats(present: pl.Series, plan: Plan, decimal: str) -> dict[str, Any]:
    if plan.kind == "date":
        times = dates(present, plan.form).drop_nulls()
        return {"min": str(times.min()), "max": str(times.max())}
    if plan.kind in ("number", "yes/no"):
        values = (numbers if plan.kind == "number" else yes_no)(present, decimal).drop_nulls()
        figures = {"min": values.min(), "median": values.median(), "mean": values.mean(), "max": values.max()}
        return {name: figure for name, figure in figures.items() if math.isfinite(float(str(figure)))}
    counts = sorted(((-count, str(level)) for level, count in present.value_counts().iter_rows()))
    return {"top": [{"value": level[:MOST_CHARS], "count": -count} for count, level in counts[:TOP_LEVELS]]}


def _short(cell: Any) -> str:
    text = str(cell)
    return text if len(text) <= MOST_CHARS else text[: MOST_CHARS - 1] + "…"

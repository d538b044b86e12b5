"""A table of rows to Prepared: kinds of columns, the task, the split, and what is learnt from the training rows."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from glia.data.batches import Batches
from glia.data.prepared import Prepared
from glia.data.tables.card import fingerprint, make_card
from glia.data.tables.columns import Plan
from glia.data.tables.encode import Column
from glia.data.tables.fit import fit_column, fit_facts
from glia.data.tables.large import Encoded, corrected, encode, is_large, store
from glia.data.tables.parts import Parts, divide
from glia.data.tables.read import READ_ROWS, open_table, pieces, read
from glia.data.tables.reader import TableReader, options_like
from glia.data.tables.source import Opened, Piece, ReadOptions, join
from glia.data.tables.stored import Stored
from glia.data.tables.study import Study, study_table
from glia.errors import GliaError
from glia.seed import mix

if TYPE_CHECKING:
    from glia.recipe import Data

__all__ = ["TableReader", "prepare_table"]

UNEVEN = 3.0  # classes whose sizes differ by more are worth a word


def prepare_table(data: "Data", seed: int) -> Prepared:
    """Everything between a raw table and training. Errors: one line each, with file, row and column."""
    options = ReadOptions(data.header, data.separator, data.decimal, data.encoding, limits=data.limits)
    opened = open_table(data.source, options)
    whole = _whole(opened, data, seed)
    like = options_like(opened, options)
    sources = {name: source for name in ("valid", "test") if (source := getattr(data, name)) is not None}
    given = {name: read(open_table(source, like), data.limits) for name, source in sources.items()}
    study = study_table(whole, data, opened.targets)
    parts = divide(study, given, data, seed)
    columns, study = _fit_columns(study, parts.pieces["train"])
    answer = study.answer.standardised(study.answer.values(parts.pieces["train"]))
    reader = TableReader(columns, answer, replace(like, optional=answer.task.targets))
    made = encode(opened, whole, parts, reader, READ_ROWS) if isinstance(whole, Stored) else _in_memory(parts, reader)
    card = make_card(opened, whole, study, parts)
    if isinstance(whole, Stored) and whole.drawn:
        card = corrected(card, whole, made)
    notes = _notes(opened, study, parts, card, data) + tuple(made.notes)
    card["fingerprint"] = fingerprint([data.source, *sources.values()], [whole, *given.values()])
    card["notes"] = list(notes)
    batches = made.batches
    return Prepared(
        batches["train"], batches.get("valid"), batches.get("test"), answer.task, made.facts, made.reader, card, notes
    )


def _whole(opened: Opened, data: "Data", seed: int) -> Piece:
    """All rows of the source, or as many as are wanted."""
    if data.limit_rows:
        return sample(opened, data.limit_rows, seed)
    return store(opened, data, READ_ROWS, seed) if is_large(opened) else read(opened, data.limits)


def _in_memory(parts: Parts, reader: TableReader) -> Encoded:
    inputs = {name: reader.inputs(piece) for name, piece in parts.pieces.items()}
    batches = {
        name: Batches(inputs[name], reader.answer.encode(piece), torch.from_numpy(piece.rows))
        for name, piece in parts.pieces.items()
    }
    facts = fit_facts(reader.columns, inputs["train"].numpy())
    return Encoded(batches, facts, reader, sum(map(len, parts.pieces.values())), [])


def _fit_columns(study: Study, train: Piece) -> tuple[tuple[Column, ...], Study]:
    """The columns that vary among the training rows; the study says why others do not count."""
    columns: list[Column] = []
    plans: list[Plan] = []
    for plan in study.plans:
        column = fit_column(plan, train) if plan.used else None
        if column is not None and (column.levels or column.parts or plan.kind in ("number", "yes/no", "filled")):
            columns.append(column)
        elif plan.used:
            nothing = "no word in it comes back often enough" if plan.kind == "text" else "nothing in it varies"
            why = f"{nothing} among the training rows ({plan.why})"
            plan = replace(plan, kind="identifier" if plan.kind == "text" else "constant", why=why)
        plans.append(plan)
    if not columns:
        raise GliaError(f"no column of {train.name} varies among the training rows")
    return tuple(columns), replace(study, plans=tuple(plans))


def sample(opened: Opened, limit: int, seed: int) -> Piece:
    """`limit` rows drawn evenly from the whole source, in their order. Memory holds but a piece beside them."""
    generator = torch.Generator().manual_seed(mix(seed, "limit"))
    kept: Piece | None = None
    keys = torch.empty(0, dtype=torch.float64)
    for piece in pieces(opened, READ_ROWS):
        kept = piece if kept is None else join([kept, piece])
        keys = torch.cat([keys, torch.rand(len(piece), generator=generator, dtype=torch.float64)])
        if len(keys) > limit:
            best = keys.argsort()[:limit].sort().values
            kept, keys = kept.take(best.numpy()), keys[best]
    if kept is None:
        raise GliaError(f"{opened.name} has no rows")
    return kept


def _notes(opened: Opened, study: Study, parts: Parts, card: dict[str, Any], data: "Data") -> tuple[str, ...]:
    """What people should hear, one sentence each."""
    notes = [*opened.notes]
    task = study.answer.task
    if data.limit_rows and card["rows"] == data.limit_rows:
        notes.append(f"only {data.limit_rows} rows of {opened.name} were drawn, as limit_rows says")
    if data.task == "auto":
        notes.append(f"task {task.kind}: {study.answer.why}")
    unanswered = sum(entry["count"] for entry in card["dropped"] if entry["what"] == "rows")
    if unanswered:
        notes.append(f"{unanswered} rows have no value in the target and are left out")
    for plan in study.plans:
        if plan.stray:
            notes.append(f"column {plan.name!r} is a {plan.kind}: {', '.join(map(repr, plan.stray))} read as missing")
    notes += parts.notes
    if card["imbalance"] is not None and card["imbalance"] > UNEVEN:
        ratio = f"classes are uneven, {card['imbalance']:g} to 1"
        notes.append(f"{ratio}: read balanced_accuracy; class_weights sets what the loss does about it")
    missing = [name for name, counts in card["classes"].items() if task.kind == "classify" and 0 in counts.values()]
    if missing:
        notes.append(f"too few rows for every part: class {', '.join(map(repr, missing[:6]))}")
    return tuple(notes)

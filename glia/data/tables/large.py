"""Tables that memory cannot hold: read in pieces, twice where they are long.

What is learnt comes from columns on disk, one at a time. Up to `EXACT` rows all comes out as it would in memory. Of
more rows the kinds of columns, levels, quantiles and the standardising of answers are found on about `EXACT` of them,
drawn evenly, and the rows are divided by what is in each alone.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from glia import limits
from glia.data.batches import Batches
from glia.data.facts import TableFacts
from glia.data.images.draws import uniform
from glia.data.mapped import ENOUGH, Written
from glia.data.split import Split
from glia.data.tables.card import imbalance
from glia.data.tables.columns import STRAY_WORDS, odd_cells
from glia.data.tables.fit import facts_of
from glia.data.tables.parts import Parts
from glia.data.tables.reader import TableReader
from glia.data.tables.source import Int64s, Opened, Piece
from glia.data.tables.stored import Cells, Stored
from glia.data.tables.target import answered, find_targets
from glia.errors import GliaError
from glia.seed import mix

if TYPE_CHECKING:
    from glia.recipe import Data

LARGE = 1 << 29  # bytes of text, or of cells, from which a table is not held in memory
EXACT = 1 << 21  # rows
LABELS = 1000  # answers that are told apart while rows are drawn, so that ...
EACH = 10  # ... so many rows of each are among them


def is_large(opened: Opened) -> bool:
    return opened.size > LARGE


def store(opened: Opened, data: "Data", rows: int, seed: int) -> Stored:
    """The cells of a table, read in pieces of `rows` rows. Raises GliaError for more of them than `glia.limits` allows:
    all of them go to the disk, where a small file may hold a run of one number.
    """
    share = EXACT / max(opened.most_rows, 1)
    cells, drawn = Cells(), _Drawn(mix(seed, "drawn"), share)
    missing: Counter[str] = Counter()
    numbers, lines, count = [], [], 0
    limits.check("cells", (opened.rows or 0) * len(opened.columns), opened.name, data.limits)
    for piece in opened.pieces(rows):
        count += len(piece)
        limits.check("cells", count * len(opened.columns), opened.name, data.limits)
        missing.update(dict(zip(piece.frame.columns, piece.frame.null_count().row(0))))
        if share < 1:
            piece = piece.take(drawn.among(piece, find_targets(piece, tuple(data.target), opened.targets)))
        cells.add(piece.frame)
        numbers.append(piece.rows)
        if piece.lines is not None:
            lines.append(piece.lines)
    if not count:
        raise GliaError(f"{opened.name} has {len(opened.columns)} columns but no rows", expected="at least one row")
    whole = np.concatenate(numbers)
    frame = pl.DataFrame(schema=cells.schema)
    where = np.concatenate(lines) if lines else None
    return Stored(
        opened.name, opened.decimal, frame, whole, where, cells=cells,
        source_rows=count, missing=dict(missing), drawn=len(whole) < count,
    )  # fmt: skip


@dataclass
class _Drawn:
    """Rows drawn evenly, and the first of each answer besides."""

    key: int
    share: float
    seen: Counter[str] = field(default_factory=Counter)

    def among(self, piece: Piece, targets: tuple[str, ...]) -> Int64s:
        """Which rows of a piece are kept."""
        kept = uniform(self.key, piece.rows) < self.share
        if len(self.seen) <= LABELS and len(targets) == 1:
            labels = piece.column(targets[0]).cast(pl.String)
            counts = dict(labels.drop_nulls().value_counts().iter_rows())
            for label in counts if len(counts) <= LABELS else ():
                if self.seen[label] < EACH:
                    kept[(labels == label).arg_true().to_numpy()[: EACH - self.seen[label]]] = True
            self.seen.update(counts)
        return np.flatnonzero(kept)


@dataclass
class Encoded:
    """What the network gets of a large table. classes: rows of each, by part. answered: rows that have an answer."""

    batches: dict[str, Batches]
    facts: TableFacts
    reader: TableReader
    answered: int
    notes: list[str]


def encode(opened: Opened, whole: Stored, parts: Parts, reader: TableReader, rows: int) -> Encoded:
    """All rows, as the reader makes them, in mapped files."""
    made = {name: _Part() for name in Split._fields}
    strays = _Strays()
    total = 0
    for piece, which in _divided(opened, whole, parts, reader, rows):
        total += len(piece)
        for number, part in enumerate(made.values()):
            some = piece.take(np.flatnonzero(which == number))
            if len(some):
                part.add(strays.inputs(reader, some) if whole.drawn else reader.inputs(some), reader, some)
    batches = {name: part.batches() for name, part in made.items() if part.count}
    for name, piece in parts.pieces.items():
        if not isinstance(piece, Stored):  # of a file of its own
            answers = reader.answer.encode(piece)
            batches[name] = Batches(reader.inputs(piece), answers, torch.from_numpy(piece.rows))
    train = made["train"]
    step = -(-train.count // EXACT)
    facts = facts_of(reader.columns, train.inputs.mapped().columns(step), train.count)
    if step > 1:
        facts = train.exactly(facts)
    notes = strays.notes()
    if whole.drawn:
        notes.append(
            f"{whole.source_rows:,} rows are too many to be looked at together: the kinds of columns, categories, "
            f"medians and figures of columns come from {len(whole):,} rows drawn evenly, figures "
            f"of a part from at most {ENOUGH:,} of its rows; the network sees all"
        )
    return Encoded(batches, facts, strays.known_to(reader), total, notes)


def _divided(
    opened: Opened, whole: Stored, parts: Parts, reader: TableReader, rows: int
) -> Iterator[tuple[Piece, NDArray[np.int8]]]:
    """The rows that have an answer, each with the number of its part."""
    if parts.rule is not None:
        for piece in opened.pieces(rows):
            piece = piece.take(answered(piece, reader.answer.task.targets))
            yield piece, parts.rule(piece)
        return
    which = np.full(len(whole), -1, dtype=np.int8)
    for number, name in enumerate(Split._fields):
        if isinstance(part := parts.pieces.get(name), Stored):
            which[slice(None) if part.index is None else part.index] = number
    done = 0
    for piece in whole.pieces():
        here = np.flatnonzero(which[done : done + len(piece)] >= 0)
        yield piece.take(here), which[done : done + len(piece)][here]
        done += len(piece)


class _Part:
    """The rows of a part on their way to disk."""

    def __init__(self) -> None:
        self.inputs, self.targets, self.rows = (Written("tables") for _ in range(3))
        self.count = 0
        self.low = self.high = np.empty(0)
        self.gaps = np.empty(0, dtype=bool)

    def add(self, inputs: torch.Tensor, reader: TableReader, piece: Piece) -> None:
        values = inputs.numpy()
        with np.errstate(invalid="ignore"):
            low, high, gaps = np.fmin.reduce(values), np.fmax.reduce(values), np.isnan(values).any(0)
        if self.count:
            low, high, gaps = np.fmin(low, self.low), np.fmax(high, self.high), gaps | self.gaps
        self.low, self.high, self.gaps = low, high, gaps
        self.inputs.add(values)
        self.targets.add(reader.answer.encode(piece).numpy())
        self.rows.add(piece.rows)
        self.count += len(piece)

    def exactly(self, facts: TableFacts) -> TableFacts:
        """The facts with the extremes of all rows in place of those of a sample."""
        numeric = [not levels for levels in facts.levels]
        low, high = (
            tuple(float(v) if n and np.isfinite(v) else f for v, n, f in zip(found, numeric, old))
            for found, old in ((self.low, facts.low), (self.high, facts.high))
        )
        return replace(facts, low=low, high=high, gaps=tuple(bool(g) and n for g, n in zip(self.gaps, numeric)))

    def batches(self) -> Batches:
        return Batches(self.inputs.mapped(), self.targets.tensor(), self.rows.tensor())


class _Strays:
    """Words in columns of numbers and dates that were not among the rows drawn: few count as missing."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, int]] = {}
        self.first: dict[str, str] = {}

    def inputs(self, reader: TableReader, piece: Piece) -> torch.Tensor:
        try:
            return reader.inputs(piece)
        except GliaError:
            return reader.inputs(self._cleaned(reader, piece))

    def _cleaned(self, reader: TableReader, piece: Piece) -> Piece:
        frame = piece.frame
        for plan in (column.plan for column in reader.columns if column.plan.kind in ("number", "date")):
            odd = odd_cells(piece, plan)
            words = Counter(frame[plan.name].cast(pl.String).filter(odd).to_list())
            known = self.found.get(plan.name, {})
            if not words or len({*plan.stray, *known, *words}) > STRAY_WORDS:
                continue  # what are no strays any more is refused by whoever reads it
            self.first.setdefault(plan.name, piece.place(int(odd.arg_max() or 0)))
            self.found[plan.name] = {word: known.get(word, 0) + words[word] for word in {**known, **words}}
            frame = frame.with_columns(pl.when(~odd).then(pl.col(plan.name)))
        return replace(piece, frame=frame)

    def known_to(self, reader: TableReader) -> TableReader:
        def knowing(column: Any) -> Any:
            words = tuple(sorted({*column.plan.stray, *self.found.get(column.plan.name, ())}))
            return replace(column, plan=replace(column.plan, stray=words))

        return replace(reader, columns=tuple(map(knowing, reader.columns))) if self.found else reader

    def notes(self) -> list[str]:
        return [
            f"column {name!r}: {', '.join(map(repr, sorted(words)))} read as missing in {sum(words.values())} rows, "
            f"the first in {self.first[name]}"
            for name, words in self.found.items()
        ]


def corrected(card: dict[str, Any], whole: Stored, made: Encoded) -> dict[str, Any]:
    """The card of a table of which some rows were drawn, with the counts of all."""
    task = made.reader.answer.task
    classes: dict[str, dict[str, int]] = {name: {} for name in card["classes"]}
    for part, batches in made.batches.items() if classes else ():
        if task.kind == "classify":
            counts = batches.targets.bincount(minlength=len(classes)).tolist()
        else:
            counts = [int(count) for count in batches.targets.sum(0).tolist()]
        for counted, count in zip(classes.values(), counts):
            counted[part] = count
    dropped = [entry for entry in card["dropped"] if entry["what"] != "rows"]
    if whole.source_rows > made.answered:
        missing = whole.source_rows - made.answered
        dropped.append({"what": "rows", "why": "no value in the target", "count": missing})
    return card | {
        "rows": whole.source_rows,
        "parts": {name: len(part) for name, part in made.batches.items()},
        "columns": [column | {"missing": whole.missing[column["name"]]} for column in card["columns"]],
        "classes": classes,
        "dropped": dropped,
        "imbalance": imbalance(classes) if task.kind == "classify" else None,
    }

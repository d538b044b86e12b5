"""Labelled series to Prepared: the answer, the parts, and what is learnt from the training rows alone."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch

from glia.data.batches import Batches
from glia.data.facts import SeriesFacts
from glia.data.forecast.reader import spread
from glia.data.images.parts import Division, divide
from glia.data.prepared import Prepared
from glia.data.series.augment import SeriesAugment, by_name
from glia.data.series.found import Asked, SeriesSet, joined, rows_of
from glia.data.series.reader import SeriesReader
from glia.data.series.sources import form_of, open_series
from glia.data.tables.source import Int64s, ReadOptions
from glia.data.tables.target import Answer, answered, plan_answer
from glia.errors import GliaError
from glia.seed import mix

if TYPE_CHECKING:
    from glia.recipe import Data

FEW = 300  # training series below which none is held out for validation, where nobody asks for it
_WASTE = 1 << 22  # steps of padding in a part from which rows of like lengths share a batch


def is_series_source(data: "Data") -> bool:
    """Do the settings and their source say that these are labelled series?"""
    return data.horizon is None and form_of(data.source, data.series, kind_asked=False) is not None


def prepare_series(data: "Data", seed: int) -> Prepared:
    """Series with answers, divided and measured, as the settings `data` (glia.recipe.Data) ask."""
    asked = _asked(data)
    whole, named = _open(data, asked, seed)
    found = whole.only(answered(whole.table, whole.targets))
    if not len(found):
        raise GliaError(f"no series of {whole.name} has a value in target {', '.join(map(repr, whole.targets))}")
    answer = plan_answer(found.table, found.targets, _task(data, asked, found))
    if data.task == "auto" and answer.why == "you said so":
        answer = replace(answer, why="the source says so")
    division, notes = _divided(found, answer, data, seed)
    parts = {name: rows for name, rows in division.split._asdict().items() if len(rows)}
    _check_classes(found, answer, parts)
    train = parts.get("train", np.empty(0, dtype=np.int64))
    if not len(train):
        raise GliaError("no series are left to train on", expected="smaller valid_share and test_share")
    answer = answer.standardised(answer.values(found.table.take(train)))
    mean, std = spread(rows_of(found.steps, train).values.numpy())
    lengths = found.steps.lengths
    facts = SeriesFacts(len(found.channels), int(lengths[train].max()), mean, std, len(train))
    augment = by_name(data.augment, std)
    targets = answer.encode(found.table)
    batches = {
        name: _batches(found, rows, targets, augment if name == "train" else None, data.workers or 0)
        for name, rows in parts.items()
    }
    known = replace(asked, targets=found.targets, channels=found.channels)
    reader = SeriesReader(known, answer).knowing(found.names, found.table.rows.tolist())
    notes = [*found.notes, *notes]
    if len(whole) > len(found):
        notes.append(f"{len(whole) - len(found)} series have no value in the target and are left out")
    card = _card(found, division, parts, answer, named)
    card["notes"], card["augment"] = notes, augment.to_dict() if augment else {}
    return Prepared(
        batches["train"], batches.get("valid"), batches.get("test"), answer.task, facts, reader, card, tuple(notes)
    )


def _asked(data: "Data") -> Asked:
    form = form_of(data.source, data.series, kind_asked=True)
    if form is None:
        raise GliaError(f"{data.source} holds no series", expected="a .ts file, a table, class folders of tables")
    if data.group and form in ("ts", "folders", "arrays"):
        raise GliaError(f"these series have no column to group by ({form})", got=f"group={data.group}")
    options = ReadOptions(data.header, data.separator, data.decimal, data.encoding, limits=data.limits)
    return Asked(
        form, data.series, data.time, data.group, tuple(data.target), (), tuple(data.drop), options, data.bad_limit
    )


def _open(data: "Data", asked: Asked, seed: int) -> tuple[SeriesSet, str]:
    """The source with the parts that were given as sources of their own, and what the whole is called."""
    found = open_series(data.source, asked)
    like = replace(asked, targets=found.targets, channels=found.channels if asked.form != "ts" else ())
    for name in ("valid", "test"):
        source = getattr(data, name)
        if source is None:
            continue
        found = found.only(np.flatnonzero(np.array(found.parts) != name))
        more = open_series(source, replace(like, form=form_of(source, data.series, kind_asked=True) or asked.form))
        found = joined(found, replace(more, parts=[name] * len(more)))
    if data.limit_rows:
        lot = np.random.default_rng(mix(seed, "limit_rows")).permutation(len(found))[: data.limit_rows]
        found = found.only(np.sort(lot))
    return found, str(data.source) if isinstance(data.source, str | Path) else found.name


def _task(data: "Data", asked: Asked, found: SeriesSet) -> str:
    """The task that was asked for, or that the source itself tells."""
    told = "classify" if asked.form == "folders" else str(found.form.get("task", "auto"))
    return data.task if data.task != "auto" else told


def _divided(found: SeriesSet, answer: Answer, data: "Data", seed: int) -> tuple[Division, list[str]]:
    notes = []
    starts = (found.steps.ends - found.steps.lengths).tolist()
    pieces = zip(starts, found.steps.ends.tolist())
    digests = [hashlib.sha256(found.steps.values[a:b].numpy().tobytes()).digest() for a, b in pieces]
    strata = answer.values(found.table).numpy().astype(np.int64) if answer.task.kind == "classify" else None
    groups = None
    if data.group:
        cells = found.table.column(data.group).cast(pl.String).to_list()
        groups = [f"\0{i}" if cell is None else cell for i, cell in enumerate(cells)]
        if len(set(groups)) < 2:
            raise GliaError(f"all series of {found.name} have one value in group column {data.group!r}")
    free = sum(part in ("", "train") for part in found.parts)
    free -= 0 if "test" in found.parts else round(free * data.test_share)
    valid_share = data.valid_share
    if "valid_share" not in data.model_fields_set and "valid" not in found.parts and 0 < free < FEW:
        valid_share = 0.0
        notes.append(
            f"only {free} series to train on: none is held out for validation, and the number of epochs is fixed"
        )
    division = divide(found.parts, digests, strata, groups, (valid_share, data.test_share), seed, "series")
    copies = len(digests) - len(set(digests))
    if copies:
        notes.append(f"{copies} series are exact copies of others; copies never stand in two parts")
    return division, [*notes, *division.notes]


def _check_classes(found: SeriesSet, answer: Answer, parts: dict[str, Int64s]) -> None:
    if answer.task.kind != "classify":
        return
    of = answer.values(found.table).numpy()
    for name, rows in parts.items():
        alone = sorted(set(of[rows].tolist()) - set(of[parts.get("train", rows)].tolist()))
        if alone:
            what = f"class {answer.task.classes[int(alone[0])]!r} is in {name} series only"
            raise GliaError(what, expected="every class among the training series")


def _batches(
    found: SeriesSet, rows: Int64s, targets: torch.Tensor, augment: SeriesAugment | None, workers: int
) -> Batches:
    steps, index = rows_of(found.steps, rows), torch.from_numpy(rows)
    numbers, lengths = torch.from_numpy(found.table.rows[rows]), steps.lengths
    longest = int(lengths.max())
    if int(lengths.min()) == longest:
        inputs = steps.values.view(len(rows), longest, -1)
        return Batches(inputs, targets[index], numbers, augment, workers)
    # Rows of like lengths in one batch are of like classes too, often: so only where much would be filled up.
    waste = int((longest - lengths).sum())
    kept = lengths if waste > max(_WASTE, int(lengths.sum()) // 2) else None
    return Batches(steps, targets[index], numbers, augment, workers, kept)


def _card(
    found: SeriesSet, division: Division, parts: dict[str, Int64s], answer: Answer, source: str
) -> dict[str, Any]:
    task, lengths = answer.task, found.steps.lengths
    values, mean_of = found.steps.values, spread(found.steps.values.numpy())
    shortest, longest = int(lengths.min()), int(lengths.max())
    steps = f"{longest} steps" if shortest == longest else f"{shortest} to {longest} steps"
    columns: list[dict[str, Any]] = [
        {
            "name": name, "kind": "number", "role": "input", "missing": int(values[:, i].isnan().sum()),
            "why": f"a channel of {steps}", "stats": {"mean": mean_of[0][i], "std": mean_of[1][i]},
        }
        for i, name in enumerate(found.channels)
    ]  # fmt: skip
    columns += [{"name": name, "kind": "target", "role": "target", "why": answer.why} for name in task.targets]
    classes: dict[str, dict[str, int]] = {}
    if task.kind == "classify":
        of = answer.values(found.table).numpy()
        counts = {part: np.bincount(of[rows], minlength=len(task.classes)) for part, rows in parts.items()}
        classes = {name: {part: int(counts[part][i]) for part in parts} for i, name in enumerate(task.classes)}
    sizes = [count["train"] for count in classes.values()]
    digest = hashlib.sha256(values.numpy().tobytes())
    digest.update(repr((found.steps.ends.tolist(), found.table.frame.rows())).encode())
    return {
        "kind": "series", "source": source, "format": {**found.form, "steps": steps}, "rows": len(found),
        "parts": {name: len(rows) for name, rows in parts.items()}, "split": division.how,
        "task": {"kind": task.kind, "why": answer.why}, "columns": columns, "classes": classes,
        "imbalance": round(max(sizes) / smallest, 2) if (smallest := min(sizes, default=0)) else None,
        "dropped": [*found.dropped, *division.dropped], "duplicates": division.duplicates,
        "fingerprint": digest.hexdigest(),
    }  # fmt: skip

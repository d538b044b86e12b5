"""Parts: the training rows, and the held-out rows that a script looks at, as arguments of the judged call."""

from typing import Any

import torch
from torch import Tensor

from glia.vitals.bench import Bench, Rows, scored_rows
from glia.vitals.capture import Held
from glia.vitals.measure import row_hashes
from glia.vitals.tape import Ref, leaves, mapped


def training_rows(bench: Bench) -> Rows | None:
    """The training rows as arguments of the judged call."""
    if bench.label_slot is None or bench.answers is None:
        return None
    places = {at: i for i, at in enumerate(bench.tape.given)}
    constants = bench.capture.batches[0]
    most = scored_rows(constants[bench.label_slot])

    def fill(value: Any) -> Any:
        if isinstance(value, Ref):
            i = places[value.at]
            if bench.together and bench.data[i] is not None:
                return bench.data[i][:most]  # type: ignore[index]
            return constants[i]
        if isinstance(value, list | tuple):
            return type(value)(fill(item) for item in value)
        if isinstance(value, dict):
            return {key: fill(item) for key, item in value.items()}
        return value

    try:
        args, kwargs = fill(bench.call.args), fill(bench.call.kwargs)
    except KeyError:  # its inputs are computed from other calls
        return None
    labels = bench.data[bench.label_slot] if bench.together else constants[bench.label_slot]
    labels = labels[:most] if labels is not None else None
    count = len(labels) if labels is not None else 0
    return Rows(bench.call.function, args, kwargs, labels, count, source="train")


def held_rows(bench: Bench) -> Rows | None:
    """Rows that the script looks at without gradients, put together; those that it trains on are left out."""
    first = bench.train
    if first is None:
        return None
    fits = [h for h in bench.capture.held if h.call == first.call and _answered(bench, h)]
    if not fits:
        return None
    shapes = [tuple(tuple(t.shape[1:]) for t in leaves((h.args, h.kwargs))) for h in fits]
    fits = [h for h, shape in zip(fits, shapes) if shape == shapes[0]]
    known = _trained_on(bench)
    fresh = []
    for h in fits:
        rows = row_hashes(leaves((h.args, h.kwargs))[0])
        fresh.append([i for i, row in enumerate(rows) if row not in known])
    # A pass over training rows alone is a look at them; one that mixes them with others is a leak.
    mixed = [(h.rows, len(keep)) for h, keep in zip(fits, fresh) if keep]
    if mixed and bench.capture.whole:
        bench.shared = 1 - sum(keep for _, keep in mixed) / sum(rows for rows, _ in mixed)
    if sum(len(keep) for keep in fresh) < 0.02 * sum(h.rows for h in fits) or not bench.together:
        fresh = [list(range(h.rows)) for h in fits]
    return _joined(bench, fits, fresh)


def _trained_on(bench: Bench) -> set[int]:
    """Hashes of all training rows that were kept."""
    inputs = next(iter(bench.call.used), None)
    if inputs is None or inputs not in bench.tape.given:
        return set()
    slot = bench.tape.given.index(inputs)
    return {row for batch in bench.capture.batches if batch[slot] is not None for row in row_hashes(batch[slot])}


def _answered(bench: Bench, held: Held) -> bool:
    return held.label is not None or _own_label(bench, held) is not None


def _own_label(bench: Bench, held: Held) -> Tensor | None:
    """The label among the arguments: of a model that computes its own loss, or is to give back what it was given."""
    if bench.label_slot is None:
        return None
    slots, batch = {at: i for i, at in enumerate(bench.tape.given)}, bench.capture.batches[0]
    label = batch[bench.label_slot]

    def is_label(value: Any) -> bool:
        i = slots.get(value.at, -1) if isinstance(value, Ref) else -1
        same = i >= 0 and batch[i] is not None and batch[i].numel() == label.numel()
        return i == bench.label_slot or (same and torch.equal(batch[i].reshape(label.shape).to(label.dtype), label))

    found = [held.kwargs.get(name) for name, value in bench.call.kwargs.items() if is_label(value)]
    found += [held.args[i] for i, value in enumerate(bench.call.args) if is_label(value) and i < len(held.args)]
    known = next((t for t in found if isinstance(t, Tensor)), None)
    return known.reshape(len(known), *label.shape[1:]) if known is not None else None


def _joined(bench: Bench, fits: list[Held], fresh: list[list[int]]) -> Rows | None:
    def cut(held: Held, keep: list[int]) -> Any:
        rows = torch.tensor(keep, dtype=torch.long)
        return mapped((held.args, held.kwargs), lambda t: t[rows] if t.ndim and len(t) == held.rows else t)

    def label(held: Held, keep: list[int]) -> Tensor:
        own = _own_label(bench, held)
        found = own if own is not None else held.label
        if found is None:
            raise ValueError("these rows have no labels")
        return found[torch.tensor(keep, dtype=torch.long)] if len(found) == held.rows else found

    if len(fits) > 1 and not bench.together:
        fits, fresh = fits[:1], fresh[:1]
    parts = [(cut(h, keep), label(h, keep), h) for h, keep in zip(fits, fresh) if keep]
    if not parts:
        return None
    total = 0
    kept = []
    for part in parts:
        if total < scored_rows(part[1]):
            kept.append(part)
            total += len(part[1])
    columns = list(zip(*(leaves(part[0]) for part in kept)))
    joined = iter([torch.cat(column) if column[0].ndim else column[0] for column in columns])
    args, kwargs = mapped(kept[0][0], lambda t: next(joined))
    try:
        labels = torch.cat([part[1] for part in kept])
    except RuntimeError:
        labels = kept[0][1]
    return Rows(kept[0][2].call, args, kwargs, labels, len(labels), kept[0][2].training)

"""Bench: a capture made runnable. Which output answers which labels, what the loss is, where the held-out rows are."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from glia.vitals import answers as answering
from glia.vitals.answers import Answers
from glia.vitals.capture import Capture, Held
from glia.vitals.chart import ScoreFacts
from glia.vitals.operations import Step
from glia.vitals.tape import Call, Operation, Ref, Tape, leaves, mapped

FEW, PROBES, CLOSE = 8, 7, 2e-3  # rows and random outputs on which a loss is known by its values; relative residual
KEPT_OUT = 0.25  # share of the rows that are kept out of trials where the script holds none
FEWEST_TO_SPLIT = 40
MOST_SCORED = 4000


@dataclass(frozen=True, slots=True)
class Objective:
    """The loss by its values: scalar = sign * times * mean loss + added. applied: activation on the way to it."""

    kind: str = "unknown"
    applied: str = ""
    sign: int = 1
    times: float = math.nan
    added: float = math.nan
    summed: bool = False  # over the rows, not their mean
    unstable: bool = False  # not finite for an output of exactly 0 or 1


@dataclass(slots=True)
class Rows:
    """Inputs of the call and labels, of one part."""

    call: Call
    args: Any  # with tensors of all rows
    kwargs: Any
    labels: Tensor | None
    count: int
    training: bool = False
    source: str = "script"  # "script": passes without gradients; "split": kept out; "train": training rows


@dataclass(slots=True)
class Bench:
    """What trials stand on. place, index: the output that is judged, on the tape and among the call's outputs.

    labels: slot of the labels, or None. together: rows can be put into batches of another size.
    """

    capture: Capture
    tape: Tape
    call: Operation
    place: int = -1
    index: int = 0
    label_slot: int | None = None
    answers: Answers | None = None
    objective: Objective = Objective()
    together: bool = False
    batch_rows: int = 0
    data: list[Tensor | None] = field(default_factory=list)  # by slot: all kept rows, where `together`
    held: Rows | None = None
    train: Rows | None = None
    own_loss: bool = False  # the model computes it
    steps: list[Step] = field(default_factory=list)  # operations of a pass of the first model

    def asked(self) -> tuple[Answers, int]:
        """What is asked for, and the slot of the labels. Raises ValueError where that is not known."""
        if self.answers is None or self.label_slot is None:
            raise ValueError("the labels are not known")
        return self.answers, self.label_slot

    @property
    def rows(self) -> int:
        """Training rows that are kept."""
        first = next((t for t in self.data if t is not None), None)
        return len(first) if first is not None else 0

    def shape_of(self, place: int) -> tuple[int, ...]:
        """Of an output of the tape's own step."""
        places = [at for call in self.tape.calls for at in call.outs]
        return tuple(self.capture.outputs[places.index(place)].shape)

    def given(self, batch: Sequence[Any], weight: Callable[[int, str], Tensor]) -> list[Any]:
        """The tape's values for a batch: its rows, the constants, and the weights of the models in use."""
        constants, slots = self.capture.batches[0], self.capture.slots
        first = next((t for t, slot in zip(batch, slots) if slot[0] == "rows"), None)
        kinds: dict[str, Callable[[int], Any]] = {
            "weight": lambda i: weight(slots[i][1], slots[i][2]),
            "rows": lambda i: batch[i],
            "range": lambda i: torch.arange(
                len(constants[i]) if first is None else len(first), device=constants[i].device
            ),
            "same": lambda i: constants[i],
        }
        return [kinds[slot[0]](i) for i, slot in enumerate(slots)]

    @contextmanager
    def precision(self) -> Iterator[None]:
        """The script's own autocast."""
        with ExitStack() as stack:
            for device, dtype in self.capture.autocast.items():
                stack.enter_context(torch.autocast(device, dtype=dtype))
            yield

    def outputs(self, models: Sequence[nn.Module], rows: Rows) -> Tensor:
        """The judged output for those rows, by the models as they stand."""
        module = models[rows.call.root].get_submodule(rows.call.path)
        with torch.no_grad(), self.precision():
            result = module(*rows.args, **rows.kwargs)
        return self.judged(result).float()

    def judged(self, result: Any) -> Tensor:
        """The judged one among the tensors that a call gives: by its place, or by its shape where some are left out."""
        given = leaves(result)
        if len(given) == len(self.call.outs):
            return given[self.index]
        like = self.shape_of(self.place)[1:]
        return next(t for t in given if t.ndim == len(like) + 1 and tuple(t.shape[1:]) == like)

    def score(self, models: Sequence[nn.Module], rows: Rows, threshold: float | None = None) -> ScoreFacts | None:
        """How good the models are on those rows; None where nobody knows what is right."""
        if self.answers is None or rows.labels is None:
            return None
        out = self.outputs(models, rows)
        level = threshold if threshold is not None else self.threshold
        part = "train" if rows.source == "train" else "valid"
        try:
            return answering.score(self.answers, out, rows.labels, part, level)
        except (ValueError, RuntimeError):
            return None

    @property
    def threshold(self) -> float:
        """Above it an output means yes."""
        return 0.0 if self.objective.kind == "bce_logits" or self.objective.kind == "hinge" else 0.5


def bench(capture: Capture) -> Bench | None:
    """Make a capture runnable, or None where it cannot be: no loss that was made by modules, several kinds of steps."""
    if not capture.complete or capture.mixed or capture.tape is None or not capture.batches or not capture.tape.calls:
        return None
    made = Bench(capture, capture.tape, capture.tape.calls[-1])
    _rows_together(made)
    _find_answers(made)
    if made.answers is not None:
        made.objective = _by_name(made, identify(made))
        made.answers = _settled(made.answers, made.objective)
        if made.objective.kind == "unknown" and _several(made):
            made.answers = None  # a loss of several outputs: how good one of them is says little
    made.train = _training_rows(made)
    made.held = _held_rows(made)
    return made


def _several(made: Bench) -> bool:
    """Does the loss use more than one output of the judged call?"""
    used = {at for op in made.tape.operations if not isinstance(op.function, Call) for at in _refs_of(op)}
    return sum(at in used for at in made.call.outs) > 1 and not made.own_loss


_NAMES = {
    "cross_entropy": "cross_entropy",
    "nll_loss": "nll",
    "binary_cross_entropy": "bce",
    "binary_cross_entropy_with_logits": "bce_logits",
    "mse_loss": "mse",
    "l1_loss": "l1",
    "smooth_l1_loss": "smooth_l1",
    "huber_loss": "huber",
}


def _by_name(made: Bench, found: Objective) -> Objective:
    """A loss that no plain one fits (weights of classes, smoothed labels) goes by the function that was called."""
    called = [_NAMES[op.name] for op in made.tape.operations if op.name in _NAMES]
    return replace(found, kind=called[0]) if found.kind == "unknown" and len(called) == 1 else found


def _settled(answers: Answers, objective: Objective) -> Answers:
    """A few whole numbers under a loss for classes are classes."""
    if answers.kind == "numbers" and answers.classes > 2 and objective.kind in ("bce", "bce_logits", "hinge"):
        return replace(answers, kind="classes", form="column")
    return answers


def _rows_together(bench: Bench) -> None:
    """Can batches be put together and cut anew? Only if every row tensor is as long as the inputs, in each batch."""
    slots = [i for i, slot in enumerate(bench.capture.slots) if slot[0] == "rows"]
    batches = bench.capture.batches
    lengths = [[len(batch[i]) if batch[i].ndim else -1 for i in slots] for batch in batches]
    bench.batch_rows = lengths[0][0] if slots else 0
    shapes = {tuple(tuple(batch[i].shape[1:]) for i in slots) for batch in batches}
    bench.together = bool(slots) and all(len(set(row)) == 1 and row[0] > 0 for row in lengths) and len(shapes) == 1
    if bench.together:
        bench.data = [None] * len(bench.capture.slots)
        for i in slots:
            bench.data[i] = torch.cat([batch[i] for batch in batches])


def _find_answers(bench: Bench) -> None:
    """The output and the labels that the loss compares."""
    tape, capture = bench.tape, bench.capture
    in_calls = {ref for call in tape.calls for ref in _refs_of(call)}
    outside = {ref for op in tape.operations if not isinstance(op.function, Call) for ref in _refs_of(op)}
    rows = {at: i for i, (at, slot) in enumerate(zip(tape.given, capture.slots)) if slot[0] == "rows"}
    values = {at: capture.batches[0][i] for at, i in rows.items()}
    outs = dict(zip((at for call in tape.calls for at in call.outs), capture.outputs))
    bench.own_loss = tape.loss in bench.call.outs
    labels = [at for at in values if at in outside and at not in in_calls]
    labels = labels or [at for at in values if at in outside]
    labels = labels or (_named_labels(bench, values) if bench.own_loss else [])
    for call in reversed(tape.calls):
        used = [at for at in call.outs if at in outside] if not bench.own_loss else list(call.outs)
        for at in used:
            for label in labels:
                found = answering.understood(outs[at], values[label]) if at in outs and outs[at].ndim else None
                if found is not None:
                    bench.call, bench.place, bench.index = call, at, call.outs.index(at)
                    bench.label_slot, bench.answers = rows[label], found
                    return


def _named_labels(bench: Bench, values: dict[int, Tensor]) -> list[int]:
    """Arguments of a model that computes its own loss: those called labels first, then the later ones."""
    named = [ref.at for name, ref in bench.call.kwargs.items() if isinstance(ref, Ref) and ref.at in values]
    likely = [
        ref.at
        for name, ref in bench.call.kwargs.items()
        if isinstance(ref, Ref) and any(word in name for word in ("label", "target")) and ref.at in values
    ]
    return [*likely, *[at for at in reversed(list(values)) if at not in likely and at not in named]]


def _refs_of(operation: Operation) -> list[int]:
    found: list[int] = []

    def see(value: Any) -> None:
        if isinstance(value, Ref):
            found.append(value.at)
        elif isinstance(value, dict):
            for item in value.values():
                see(item)
        elif isinstance(value, list | tuple):
            for item in value:
                see(item)

    see(operation.args)
    see(operation.kwargs)
    return found


def identify(bench: Bench) -> Objective:
    """The loss, by what it gives on outputs that are drawn for it: a least-squares fit of each known loss to it."""
    answers, slot = bench.asked()
    labels = bench.capture.batches[0][slot]
    out = bench.capture.outputs[[at for call in bench.tape.calls for at in call.outs].index(bench.place)]
    if bench.own_loss:
        return _own(bench, out, labels)
    batch = bench.capture.batches[0]
    small = bench.together and len(labels) > FEW
    if small:
        kinds = bench.capture.slots
        batch = [t[:FEW] if slot[0] == "rows" else t for t, slot in zip(batch, kinds)]
        out, labels = out[:FEW], labels[:FEW]
    numbers = labels if answers.kind == "numbers" else None
    draws = [_drawn(out, k, numbers) for k in range(PROBES)]
    weights = lambda root, name: bench.capture.initial[root].get_parameter(name)
    try:
        with torch.no_grad():
            seen = [_scalar(bench, batch, draw, weights) for draw in draws]
    except Exception:  # a script's own operations may refuse a batch of this size
        if not small:
            return Objective()
        return _with_whole_batch(bench, weights)
    found = _fit(answers, draws, labels, seen)
    edges = _edges(draws[0])[: 2 if found.kind in ("bce", "log", "nll") and not found.applied else 3]
    unstable = numbers is None and not all(_stands(bench, batch, edge, weights) for edge in edges)
    return replace(found, unstable=unstable)


def _edges(draw: Tensor) -> tuple[Tensor, ...]:
    """Outputs as sharp as a sure network's: probabilities of 0 and 1, logits of a thousand."""
    return draw.round(), 1 - draw.round(), 2000 * draw - 1000


def _stands(bench: Bench, batch: Sequence[Any], draw: Tensor, weights: Callable[[int, str], Tensor]) -> bool:
    """Is the loss of these outputs finite, or refused?"""
    try:
        with torch.no_grad():
            return math.isfinite(_scalar(bench, batch, draw, weights))
    except RuntimeError:  # a loss of probabilities refuses logits
        return True


def _with_whole_batch(bench: Bench, weights: Callable[[int, str], Tensor]) -> Objective:
    answers, slot = bench.asked()
    batch = bench.capture.batches[0]
    out = bench.capture.outputs[[at for call in bench.tape.calls for at in call.outs].index(bench.place)]
    labels = batch[slot]
    draws = [_drawn(out, k, labels if answers.kind == "numbers" else None) for k in range(PROBES)]
    bench.together = False
    try:
        with torch.no_grad():
            seen = [_scalar(bench, batch, draw, weights) for draw in draws]
    except Exception:  # it cannot be replayed on any outputs but its own
        return Objective()
    return _fit(answers, draws, labels, seen)


def _scalar(bench: Bench, batch: Sequence[Any], draw: Tensor, weights: Callable[[int, str], Tensor]) -> float:
    places = [at for call in bench.tape.calls for at in call.outs]
    first = dict(zip(places, bench.capture.outputs))
    replaced = {at: _as_long(first[at], draw) for at in bench.call.outs} | {bench.place: draw}
    return float(bench.tape.replay(bench.given(batch, weights), _refuse, replaced))


def _as_long(other: Tensor, draw: Tensor) -> Tensor:
    """Another output of the same rows."""
    return other[: len(draw)] if other.ndim and len(other) > len(draw) else other


def _refuse(call: Call, args: Any, kwargs: Any) -> Any:
    raise RuntimeError("the loss needs a second call of a model")


def _drawn(like: Tensor, number: int, numbers: Tensor | None = None) -> Tensor:
    """Outputs that every loss takes: between 0 and 1, a row's sum 1 where it has several numbers; of varied sharpness.

    numbers: labels of a regression; outputs about as large then.
    """
    generator = torch.Generator().manual_seed(number)
    noise = torch.randn(like.shape, generator=generator).to(like.device) * (0.4 + 0.6 * number)
    if numbers is not None:
        known = numbers[numbers.isfinite()].double()
        return (known.mean() + known.std(correction=0).clamp(min=1e-3) * noise).to(like.dtype)
    if like.ndim >= 2 and like.shape[1 if like.ndim != 3 else -1] > 1:
        return noise.softmax(1 if like.ndim != 3 else -1).clamp(1e-4, 1 - 1e-4)
    return noise.sigmoid().clamp(1e-3, 1 - 1e-3)


_APPLIED: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda o: o,
    "softmax": lambda o: o.softmax(1 if o.ndim != 3 else -1),
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "tanh": torch.tanh,
}


def _fit(answers: Answers, draws: list[Tensor], labels: Tensor, seen: list[float]) -> Objective:
    target = torch.tensor(seen, dtype=torch.float64)
    if not bool(target.isfinite().all()) or target.std() < 1e-12:
        return Objective()
    best, found = CLOSE, Objective()
    for applied, change in _APPLIED.items():
        if applied == "softmax" and (draws[0].ndim < 2 or answers.outputs < 2):
            continue
        for kind, loss in answering.references(answers):
            try:
                values = torch.tensor([float(loss(change(draw), labels)) for draw in draws], dtype=torch.float64)
            except (RuntimeError, ValueError, IndexError):
                continue
            spread = values.std()
            if not bool(values.isfinite().all()) or spread < 1e-9:
                continue
            slope = ((values - values.mean()) * (target - target.mean())).sum() / (
                values - values.mean()
            ).square().sum()
            rest = target.mean() - slope * values.mean()
            residual = ((target - slope * values - rest).norm() / (target - target.mean()).norm()).item()
            if residual < best * (1 if not applied else 0.2):
                best = residual
                found = _objective(kind, applied, slope.item(), rest.item(), len(labels))
    return found


def _objective(kind: str, applied: str, slope: float, rest: float, rows: int) -> Objective:
    """The fit in words: a slope of a multiple of the rows is a sum over them."""
    times = abs(slope)
    summed = rows > 2 and times > 0.99 * rows and abs(times / rows - round(times / rows)) < 0.01
    return Objective(kind, applied, 1 if slope > 0 else -1, times, rest, summed)


def _own(bench: Bench, out: Tensor, labels: Tensor) -> Objective:
    """A loss that the model computes: compared on the first step's own outputs."""
    answers, _ = bench.asked()
    total = bench.capture.losses[0]
    for kind, loss in answering.references(answers):
        try:
            value = float(loss(out.float(), labels))
        except (RuntimeError, ValueError, IndexError):
            continue
        if math.isclose(value, total, rel_tol=2e-3, abs_tol=1e-6):
            return Objective(kind, "", 1, 1.0, 0.0)
    return Objective()


def _training_rows(bench: Bench) -> Rows | None:
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


def scored_rows(labels: Tensor) -> int:
    """Rows that are asked for a score: fewer where each has many answers."""
    return max(64, MOST_SCORED // max(1, labels.numel() // max(1, len(labels)) // 4))


def _held_rows(bench: Bench) -> Rows | None:
    """Rows that the script looks at without gradients, put together; those that it trains on are left out."""
    first = bench.train
    if first is None:
        return None
    fits = [h for h in bench.capture.held if h.call == first.call and _answered(bench, h)]
    if not fits:
        return None
    shapes = [tuple(tuple(t.shape[1:]) for t in leaves((h.args, h.kwargs))) for h in fits]
    fits = [h for h, shape in zip(fits, shapes) if shape == shapes[0]]
    known = _hashes(leaves((first.args, first.kwargs)))
    fresh = []
    for h in fits:
        rows = _hashes(leaves((h.args, h.kwargs)))
        fresh.append([i for i, row in enumerate(rows) if row not in known])
    if sum(len(keep) for keep in fresh) < 0.02 * sum(h.rows for h in fits) or not bench.together:
        fresh = [list(range(h.rows)) for h in fits]
    return _joined(bench, fits, fresh)


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


def _hashes(tensors: list[Tensor]) -> list[int]:
    """A number for each row of the first tensor, the same for the same numbers."""
    if not tensors or not tensors[0].ndim:
        return []
    x = tensors[0].detach().reshape(len(tensors[0]), -1)[:, :4096].cpu()
    x = x.float() if x.dtype == torch.bfloat16 else x
    return [hash(row.tobytes()) for row in x.contiguous().numpy()]


def weights_of(models: Sequence[nn.Module]) -> Callable[[int, str], Tensor]:
    """Weights by root and name."""
    return lambda root, name: models[root].get_parameter(name)

"""Identify: a loss by what it gives on outputs that are drawn for it, not by its name."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from glia.vitals import answers as answering
from glia.vitals.answers import Answers
from glia.vitals.bench import Bench, Objective
from glia.vitals.tape import Call

FEW, PROBES, CLOSE = 8, 7, 2e-3  # rows and random outputs on which a loss is known by its values; relative residual
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


_APPLIED: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda o: o,
    "softmax": lambda o: o.softmax(1 if o.ndim != 3 else -1),
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "tanh": torch.tanh,
}


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
    # Between 0 and 1 a hinge on labels of -1 and 1 is their distance: only wider outputs tell the two apart.
    numbers = labels if answers.kind == "numbers" or answers.form == "signs" else None
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


def named(made: Bench, found: Objective) -> Objective:
    """A loss that no plain one fits (weights of classes, smoothed labels) goes by the function that was called."""
    called = [_NAMES[op.name] for op in made.tape.operations if op.name in _NAMES]
    return replace(found, kind=called[0]) if found.kind == "unknown" and len(called) == 1 else found


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
    draws = [
        _drawn(out, k, labels if answers.kind == "numbers" or answers.form == "signs" else None) for k in range(PROBES)
    ]
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

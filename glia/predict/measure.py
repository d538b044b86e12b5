"""Measures of decoded outputs against targets: one flat dict of numbers a part.

Units everywhere in this room: `outputs` are what `Task.decode` gives, (N, classes) probabilities, (N, labels)
probabilities or (N, targets) values; `targets` are class indices (N,), 0/1 (N, labels) or values (N, targets).
Values of a regression are in the targets' own units on both sides; `own_units` brings targets of `Batches` there.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from glia.data.task import Task

Array = NDArray[Any]
CALIBRATION_BINS = 15
_EPS = float(np.finfo(np.float64).eps)  # probabilities are held off 0 and 1 by this much in a logarithm


def own_units(task: Task, targets: Tensor) -> Tensor:
    """Targets as `Batches` hold them (standardised when they are values) -> targets in their own units."""
    return task.decode(targets) if task.kind == "regress" else targets


def measure(task: Task, outputs: Array | Tensor, targets: Array | Tensor) -> dict[str, float]:
    """The measures of the task, both arguments in own units (see the module).

    Outputs that are not finite, or no rows at all, give NaN for the measures that need them. A measure that the
    rows do not define (the area under a curve with one class alone, R2 of a constant) is left out.
    """
    out, want = arrays(task, outputs, targets)
    if task.kind == "classify":
        return _classify(out, want)
    return _multilabel(out, want) if task.kind == "multilabel" else _regress(task, out, want)


def arrays(task: Task, outputs: Array | Tensor, targets: Array | Tensor) -> tuple[Array, Array]:
    """Both as NumPy: outputs (N, C) float64; targets (N,) int64 of classes, else (N, C) float64."""
    out, want = _numpy(outputs).astype(np.float64), _numpy(targets)
    out = out.reshape(len(out), task.outputs)
    if task.kind == "classify":
        return out, want.astype(np.int64).reshape(len(out))
    return out, want.astype(np.float64).reshape(out.shape)


def _numpy(values: Array | Tensor) -> Array:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.double() if values.is_floating_point() else values).numpy()
    return np.asarray(values)


def _classify(out: Array, want: Array) -> dict[str, float]:
    keys = ("accuracy", "balanced_accuracy", "f1", "log_loss", "roc_auc", "pr_auc", "ece")
    if not len(out) or not np.isfinite(out).all():
        return dict.fromkeys(keys, math.nan)
    from sklearn.metrics import f1_score  # a second to import, and a training begins without it

    guess = out.argmax(1)
    right = guess == want
    recalls = [right[want == c].mean() for c in np.unique(want)]
    binary = out.shape[1] == 2
    f1 = f1_score(want, guess, average="binary" if binary else "macro", zero_division=0)
    total = out.sum(1)
    chance = out[np.arange(len(want)), want] / np.where(total > 0, total, 1)
    measures = {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(np.mean(recalls)),
        "f1": float(f1),
        "log_loss": float(-np.log(np.clip(chance, _EPS, 1)).mean()),
    }
    measures |= _areas(out, want)
    return measures | {"ece": ece(calibration(out.max(1), right))}


def _areas(out: Array, want: Array) -> dict[str, float]:
    """Areas under the ROC and the precision-recall curve: of the second class when there are two, otherwise one
    class against the rest, the mean over the classes that these rows hold. Left out when one class stands alone."""
    judged = [1] if out.shape[1] == 2 else range(out.shape[1])
    mixed = [c for c in judged if 0 < (want == c).sum() < len(want)]
    if not mixed:
        return {}
    from sklearn.metrics import average_precision_score, roc_auc_score

    return {
        "roc_auc": float(np.mean([roc_auc_score(want == c, out[:, c]) for c in mixed])),
        "pr_auc": float(np.mean([average_precision_score(want == c, out[:, c]) for c in mixed])),
    }


def calibration(confidence: Array, right: Array, bins: int = CALIBRATION_BINS) -> list[dict[str, float]]:
    """Rows by how sure the network was, in `bins` of equal width over 0..1: where a bin lies, how many rows it holds,
    how sure they were and how often they were right, both means (0 in an empty bin)."""
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    held = np.maximum(count, 1)
    sure = np.bincount(place, confidence, minlength=bins) / held
    accurate = np.bincount(place, right.astype(np.float64), minlength=bins) / held
    return [
        {
            "low": i / bins,
            "high": (i + 1) / bins,
            "count": int(count[i]),
            "confidence": float(sure[i]),
            "accuracy": float(accurate[i]),
        }
        for i in range(bins)
    ]


def ece(bins: list[dict[str, float]]) -> float:
    """Expected calibration error: mean |accuracy - confidence| of the bins, weighted by their rows
    (Guo et al. 2017, "On Calibration of Modern Neural Networks", eq. 3)."""
    rows = sum(b["count"] for b in bins)
    return sum(b["count"] * abs(b["accuracy"] - b["confidence"]) for b in bins) / rows if rows else math.nan


def _multilabel(out: Array, want: Array) -> dict[str, float]:
    if not len(out) or not np.isfinite(out).all():
        return dict.fromkeys(("accuracy", "exact_match", "f1_macro", "f1_micro", "log_loss"), math.nan)
    from sklearn.metrics import f1_score

    guess, want = (out >= 0.5).astype(np.int64), (want >= 0.5).astype(np.int64)
    chance = np.clip(np.where(want == 1, out, 1 - out), _EPS, 1)
    right = guess == want
    positive = {"average": "binary", "zero_division": 0}
    one_by_one = [f1_score(want[:, i], guess[:, i], **positive) for i in range(want.shape[1])]
    return {
        "accuracy": float(right.mean()),
        "exact_match": float(right.all(1).mean()),
        "f1_macro": float(np.mean(one_by_one)),
        "f1_micro": float(f1_score(want.ravel(), guess.ravel(), **positive)),
        "log_loss": float(-np.log(chance).mean()),
    }


def _regress(task: Task, out: Array, want: Array) -> dict[str, float]:
    """rmse, mae and r2, each the mean over the targets; then each target's own as `rmse_<target>` when several."""
    each = [_one_target(out[:, i], want[:, i]) for i in range(out.shape[1])]
    shared = [key for key in ("rmse", "mae", "r2") if all(key in one for one in each)]
    measures = {key: float(np.mean([one[key] for one in each])) for key in shared}
    if len(each) > 1:
        for name, one in zip(task.targets, each, strict=True):
            measures |= {f"{key}_{name}": value for key, value in one.items()}
    return measures


def _one_target(out: Array, want: Array) -> dict[str, float]:
    if not len(out) or not np.isfinite(out).all():
        return dict.fromkeys(("rmse", "mae", "r2"), math.nan)
    error = out - want
    measures = {"rmse": float(np.sqrt(np.mean(error**2))), "mae": float(np.abs(error).mean())}
    spread = float(((want - want.mean()) ** 2).sum())
    return measures | ({"r2": 1 - float((error**2).sum()) / spread} if spread > 0 else {})

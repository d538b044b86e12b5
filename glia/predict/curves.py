"""What a report draws of decoded outputs and targets (both in own units, see `measure`), as plain JSON."""

from typing import Any

import numpy as np
from torch import Tensor

from glia.data.task import Task
from glia.predict.measure import Array, arrays, calibration, ece

CURVE_POINTS = 200
CURVES = 12
SCATTER_POINTS = 2000
HISTOGRAM_BINS = 40


def curves(task: Task, outputs: Array | Tensor, targets: Array | Tensor) -> dict[str, Any]:
    """Always {"kind", "rows", "left_out": rows whose outputs were not finite}, and then, for

    classify: "classes" [names], "confusion" [[rows of a class predicted as ...]] (row: the truth),
        "per_class" [{"name", "precision", "recall", "f1", "support"}], "calibration" (below), and
        "roc" [{"name", "x": false positive share, "y": true positive share, "area"}],
        "pr" [{"name", "x": recall, "y": precision, "area", "base": share of the class}]: at most 200 points each;
        of the second class alone when there are two, otherwise of the (at most 12) classes with most rows.
    multilabel: "per_class", "roc", "pr" with a label for a class, "calibration" over all labels together,
        "labels" [{"name", "true_positive", "false_positive", "false_negative", "true_negative"}].
    regress: "targets" [{"name", "target": [...], "predicted": [...] (at most 2000 rows), "histogram":
        {"edges": [...], "counts": [...]} of predicted - target}].
    calibration: {"bins": 15 of {"low", "high", "count", "confidence", "accuracy"}, "ece"}.
    """
    out, want = arrays(task, outputs, targets)
    good = np.isfinite(out).all(1)
    head = {"kind": task.kind, "rows": int(good.sum()), "left_out": int((~good).sum())}
    out, want = out[good], want[good]
    if not len(out):
        return head
    draw = {"classify": _classify, "multilabel": _multilabel, "regress": _regress}[task.kind]
    return head | draw(task, out, want)


def _classify(task: Task, out: Array, want: Array) -> dict[str, Any]:
    n, guess = len(task.classes), out.argmax(1)
    confusion = np.bincount(want * n + guess, minlength=n * n).reshape(n, n)
    support, chosen, hit = confusion.sum(1), confusion.sum(0), confusion.diagonal()
    most = np.argsort(-support, kind="stable")[:CURVES]
    drawn = [1] if n == 2 else [int(c) for c in most]
    return {
        "classes": list(task.classes),
        "confusion": confusion.tolist(),
        "per_class": _per_class(task.classes, hit, chosen, support),
        "calibration": _calibration(out.max(1), guess == want),
        **_both([(task.classes[c], out[:, c], want == c) for c in drawn]),
    }


def _multilabel(task: Task, out: Array, want: Array) -> dict[str, Any]:
    guess, truth = out >= 0.5, want >= 0.5
    hit, chosen, support = (guess & truth).sum(0), guess.sum(0), truth.sum(0)
    labels = [
        {
            "name": name,
            "true_positive": int(hit[i]),
            "false_positive": int(chosen[i] - hit[i]),
            "false_negative": int(support[i] - hit[i]),
            "true_negative": int(len(out) - chosen[i] - support[i] + hit[i]),
        }
        for i, name in enumerate(task.targets)
    ]
    most = np.argsort(-support, kind="stable")[:CURVES]
    return {
        "labels": labels,
        "per_class": _per_class(task.targets, hit, chosen, support),
        "calibration": _calibration(np.maximum(out, 1 - out).ravel(), (guess == truth).ravel()),
        **_both([(task.targets[i], out[:, i], truth[:, i]) for i in most]),
    }


def _regress(task: Task, out: Array, want: Array) -> dict[str, Any]:
    some = _evenly(len(out), SCATTER_POINTS)
    drawn = []
    for i, name in enumerate(task.targets):
        counts, edges = _histogram(out[:, i] - want[:, i])
        drawn.append(
            {
                "name": name,
                "target": want[some, i].tolist(),
                "predicted": out[some, i].tolist(),
                "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
            }
        )
    return {"targets": drawn}


def _histogram(values: Array) -> tuple[Array, Array]:
    """Counts and edges; values that differ by rounding alone stand in the middle of a range of their size."""
    low, high = float(values.min()), float(values.max())
    size = max(abs(low), abs(high))
    if high - low <= 1e-6 * size or size == 0:
        low, high = low - (size or 1) / 2, high + (size or 1) / 2
    return np.histogram(values, bins=HISTOGRAM_BINS, range=(low, high))


def _per_class(names: tuple[str, ...], hit: Array, chosen: Array, support: Array) -> list[dict[str, Any]]:
    precision, recall = hit / np.maximum(chosen, 1), hit / np.maximum(support, 1)
    f1 = 2 * hit / np.maximum(chosen + support, 1)
    table = zip(names, precision, recall, f1, support, strict=True)
    return [
        {"name": name, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
        for name, p, r, f, s in table
    ]


def _calibration(confidence: Array, right: Array) -> dict[str, Any]:
    bins = calibration(confidence, right)
    return {"bins": bins, "ece": ece(bins)}


def _both(scored: list[tuple[str, Array, Array]]) -> dict[str, Any]:
    """ROC and precision-recall curves of (name, score, truth); only of those with both answers among the rows."""
    mixed = [(name, score, truth) for name, score, truth in scored if 0 < truth.sum() < len(truth)]
    return {"roc": [_roc(*one) for one in mixed], "pr": [_pr(*one) for one in mixed]}


def _roc(name: str, score: Array, truth: Array) -> dict[str, Any]:
    from sklearn.metrics import auc, roc_curve  # a second to import, and a training begins without it

    x, y, _ = roc_curve(truth, score)
    some = _evenly(len(x), CURVE_POINTS)
    return {"name": name, "x": x[some].tolist(), "y": y[some].tolist(), "area": float(auc(x, y))}


def _pr(name: str, score: Array, truth: Array) -> dict[str, Any]:
    from sklearn.metrics import average_precision_score, precision_recall_curve

    precision, recall, _ = precision_recall_curve(truth, score)
    some = _evenly(len(recall), CURVE_POINTS)
    area = float(average_precision_score(truth, score))
    drawn = {"x": recall[some].tolist(), "y": precision[some].tolist()}
    return {"name": name, **drawn, "area": area, "base": float(truth.mean())}


def _evenly(length: int, most: int) -> Array:
    """At most `most` of the places 0 .. length - 1, the first and the last among them."""
    return np.unique(np.linspace(0, length - 1, min(length, most)).round().astype(np.int64))

"""curves: plain JSON, thinned, equal to scikit-learn's tables."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from sklearn import metrics

from glia.data.task import Task
from glia.predict.curves import curves


def chances(rows: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    want = random.integers(0, classes, rows)
    grown = np.exp(random.normal(size=(rows, classes)) + np.eye(classes)[want])
    return grown / grown.sum(1, keepdims=True), want


def test_classes() -> None:
    out, want = chances(1000, 4)
    got = curves(Task("classify", ("y",), tuple("abcd")), out, want)
    guess = out.argmax(1)
    assert got["confusion"] == metrics.confusion_matrix(want, guess).tolist()
    precision, recall, f1, support = metrics.precision_recall_fscore_support(want, guess)
    for i, row in enumerate(got["per_class"]):
        assert row["name"] == "abcd"[i]
        assert row["support"] == support[i]
        assert [row["precision"], row["recall"], row["f1"]] == pytest.approx([precision[i], recall[i], f1[i]])
    for line in got["roc"]:
        c = "abcd".index(line["name"])
        assert line["area"] == pytest.approx(metrics.roc_auc_score(want == c, out[:, c]))
        assert len(line["x"]) == len(line["y"]) <= 200
        assert (line["x"][0], line["y"][0], line["x"][-1], line["y"][-1]) == (0, 0, 1, 1)
        assert all(a <= b for a, b in pairwise(line["x"]))
    assert {line["name"]: line["base"] for line in got["pr"]} == pytest.approx(
        {name: (want == c).mean() for c, name in enumerate("abcd")}
    )
    assert sum(b["count"] for b in got["calibration"]["bins"]) == 1000
    assert json.loads(json.dumps(got, allow_nan=False)) == got


def test_two_classes_have_one_curve_of_the_second() -> None:
    out, want = chances(300, 2)
    got = curves(Task("classify", ("y",), ("no", "yes")), out, want)
    assert [line["name"] for line in got["roc"]] == ["yes"]
    assert metrics.auc(got["roc"][0]["x"], got["roc"][0]["y"]) == pytest.approx(got["roc"][0]["area"], abs=0.01)


def test_many_classes_draw_the_twelve_with_most_rows() -> None:
    out, want = chances(2000, 30)
    got = curves(Task("classify", ("y",), tuple(map(str, range(30)))), out, want)
    support = {row["name"]: row["support"] for row in got["per_class"]}
    drawn = {line["name"] for line in got["roc"]}
    assert len(drawn) == 12
    assert min(support[n] for n in drawn) >= max(s for n, s in support.items() if n not in drawn)


def test_labels() -> None:
    random = np.random.default_rng(4)
    want = (random.random((400, 2)) < [0.2, 0.7]).astype(float)
    out = np.clip(0.35 + 0.3 * want + 0.2 * random.normal(size=want.shape), 0, 1)
    got = curves(Task("multilabel", ("a", "b")), out, want)
    table = metrics.multilabel_confusion_matrix(want, out >= 0.5)
    for i, label in enumerate(got["labels"]):
        tn, fp, fn, tp = table[i].ravel().tolist()
        assert label == {
            "name": "ab"[i],
            "true_positive": tp,
            "false_positive": fp,
            "false_negative": fn,
            "true_negative": tn,
        }
    assert {row["name"]: row["f1"] for row in got["per_class"]} == pytest.approx(
        dict(zip("ab", metrics.f1_score(want, out >= 0.5, average=None), strict=True))
    )
    assert sum(b["count"] for b in got["calibration"]["bins"]) == 800


def test_values_are_thinned_evenly_and_the_histogram_counts_all() -> None:
    want = np.linspace(0, 1, 5000)[:, None]
    got = curves(Task("regress", ("y",)), want + 0.5, want)["targets"][0]
    assert len(got["target"]) == len(got["predicted"]) == 2000
    assert (got["target"][0], got["target"][-1]) == (0, 1)
    assert sum(got["histogram"]["counts"]) == 5000
    assert len(got["histogram"]["edges"]) == len(got["histogram"]["counts"]) + 1


def test_rows_that_are_not_finite_are_counted_and_left_out() -> None:
    out = np.array([[0.9, 0.1], [math.nan, math.nan], [0.2, 0.8]])
    got = curves(Task("classify", ("y",), ("a", "b")), out, np.array([0, 1, 1]))
    assert (got["rows"], got["left_out"]) == (2, 1)
    assert got["confusion"] == [[1, 0], [0, 1]]
    nothing = curves(Task("regress", ("y",)), np.full((2, 1), math.inf), np.zeros((2, 1)))
    assert nothing == {"kind": "regress", "rows": 0, "left_out": 2}

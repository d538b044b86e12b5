"""Do you need a network? The network beside simple models, and what the test set is too small to tell."""

import math
from dataclasses import dataclass

import numpy as np

from glia.report.read import Floats, Json, Predictions, RunFiles, mapping_of, number, rows_of, task_facts
from glia.report.words import LOWER_IS_BETTER, SHARES, digits, measure_name, percent, seconds, sentence

TRIVIAL = {"majority class", "mean", "last value", "copy the source", "uniform", "unigram"}
CLEAR = 2.0  # standard errors of the difference: about one chance in twenty of being noise


@dataclass(frozen=True)
class Contender:
    """One model's result on the rows that decide. error: standard error of `value`, None where it is unknown."""

    name: str
    value: float
    error: float | None
    seconds: float | None = None
    network: bool = False


@dataclass(frozen=True)
class Verdict:
    """answer: "yes", "no", "unclear" or "alone" (nothing to compare with); `sentences` say why."""

    part: str
    measure: str
    rows: int | None
    network: Contender
    others: list[Contender]  # best first
    answer: str
    sentences: list[str]


def judge(run: RunFiles) -> Verdict | None:
    """The verdict on test, or on validation where there is no test; None when the network was not measured."""
    key = headline(run)
    for part in ("test", "valid"):
        value = number(mapping_of(run.metrics.get(part)).get(key))
        if value is not None:
            return _verdict(run, part, key, value)
    return None


def headline(run: RunFiles) -> str:
    """Name of the measure that people read first."""
    usual = "rmse" if "rmse" in mapping_of(run.metrics.get("test") or run.metrics.get("valid")) else "accuracy"
    return str(task_facts(run).get("metric", usual))


def _verdict(run: RunFiles, part: str, key: str, value: float) -> Verdict:
    predictions = run.predictions.get(part)
    rows = len(predictions) if predictions else number(mapping_of(run.card.get("parts")).get(part))
    known = number(mapping_of(run.metrics.get(part)).get(f"{key}_error"))
    error = known if known is not None else _error(str(run.task.get("kind")), key, value, predictions, rows)
    network = Contender("this network", value, error, run.took, network=True)
    items = rows_of(run.metrics.get("baselines"))
    others = [other for item in items if (other := _baseline(item, part, key, network, rows))]
    others.sort(key=lambda other: other.value, reverse=key not in LOWER_IS_BETTER)
    answer, sentences = _answer(key, part, network, others)
    return Verdict(part, key, int(rows) if rows else None, network, others, answer, sentences + _cautions(run, part))


def _baseline(item: Json, part: str, key: str, network: Contender, rows: float | None) -> Contender | None:
    value = number(mapping_of(item.get(part)).get(key))
    if value is None:
        return None
    error = share_error(value, rows) if key in SHARES and rows else _borrowed(value, network)
    return Contender(str(item.get("name", "baseline")), value, error, number(item.get("seconds")))


def _borrowed(value: float, network: Contender) -> float | None:
    """A baseline's standard error where its single answers are not kept: for its size, as uncertain as the network."""
    if network.error is None or not network.value:
        return network.error
    return network.error * value / network.value


def _error(kind: str, key: str, value: float, predictions: Predictions | None, rows: float | None) -> float | None:
    """Standard error of the network's headline measure over the draw of the rows."""
    if key == "rmse":
        return rmse_error(predictions) if predictions else None
    if kind == "multilabel":
        return _share_of_labels_error(predictions) if predictions else None
    return share_error(value, rows) if rows and key in SHARES else None


def share_error(share: float, rows: float) -> float:
    """Standard error of a share of `rows` rows: sqrt(p (1 - p) / n).

    p is drawn towards one half as if two rows more were right and two more wrong (Agresti and Coull, 1998):
    a share of exactly 1 is not certain.
    """
    drawn = (share * rows + 2) / (rows + 4)
    return math.sqrt(drawn * (1 - drawn) / (rows + 4))


def rmse_error(predictions: Predictions) -> float | None:
    """Standard error of the mean over targets of the RMSE, by the delta method: d rmse = d mse / (2 rmse)."""
    squares: Floats = (predictions.outputs - predictions.targets.reshape(predictions.outputs.shape)) ** 2
    roots = np.sqrt(squares.mean(axis=0))
    if len(squares) < 2 or not np.isfinite(squares).all() or (roots == 0).any():
        return None
    pull = (squares / (2 * roots)).mean(axis=1)  # (N,): what each row adds to the mean RMSE
    return float(pull.std(ddof=1) / math.sqrt(len(pull)))


def _share_of_labels_error(predictions: Predictions) -> float | None:
    """A row's labels are right or wrong together, so rows are counted, not labels."""
    right = ((predictions.outputs > 0.5) == (predictions.targets.reshape(predictions.outputs.shape) > 0.5)).mean(axis=1)
    return float(right.std(ddof=1) / math.sqrt(len(right))) if len(right) > 1 else None


def _answer(key: str, part: str, network: Contender, others: list[Contender]) -> tuple[str, list[str]]:
    if not others:
        return "alone", ["No baseline was trained beside this network, so there is nothing to compare it with."]
    best = others[0]
    gap = best.value - network.value if key in LOWER_IS_BETTER else network.value - best.value
    lead = _lead(key, gap, best)
    if network.error is None:
        return "unclear", [f"{lead}; how much of that is chance is not known, because single answers were not kept."]
    noise = f"the {_set(part)}'s standard error is {gap_in_words(key, network.error)}"
    if abs(gap) > CLEAR * math.hypot(network.error, best.error or 0.0):
        return ("yes" if gap > 0 else "no"), [f"{lead}; {noise}: a clear difference.", *_advice(gap, best)]
    return "unclear", [f"{lead}; {noise}: no clear difference.", *_advice(0.0, best, network)]


def _lead(key: str, gap: float, best: Contender) -> str:
    """The network is 0.3 points better than ...; The network's RMSE is 4,230 (10 %) worse than that of ..."""
    amount, how = gap_in_words(key, abs(gap)), "better" if gap > 0 else "worse"
    if gap == 0:
        return f"The network and {name_in_text(best)} come out the same"
    if key in SHARES:
        return f"The network is {amount} {how} than {name_in_text(best)}"
    part = f" ({percent(abs(gap / best.value), 0)})" if best.value else ""
    return f"The network's {measure_name(key)} is {amount}{part} {how} than that of {name_in_text(best)}"


def _advice(gap: float, best: Contender, network: Contender | None = None) -> list[str]:
    if best.name in TRIVIAL and gap <= 0:
        return ["So it has learnt nothing from the inputs that the targets' average does not already say."]
    if gap < 0:
        return [f"As things stand, {name_in_text(best)} is the better choice."]
    if gap == 0 and best.seconds is not None and network is not None and network.seconds:
        name = name_in_text(best)
        return [f"{sentence(name)} took {seconds(best.seconds)} to train, the whole run {seconds(network.seconds)}."]
    return []


def _cautions(run: RunFiles, part: str) -> list[str]:
    """What a reader should know before quoting the number."""
    found = []
    if part == "valid":
        found.append(
            "There is no test set: these are the validation rows, which also chose the best epoch, so it flatters."
        )
    ratio = number(run.card.get("imbalance"))
    balanced = number(mapping_of(run.metrics.get(part)).get("balanced_accuracy"))
    if ratio is not None and ratio >= 3 and balanced is not None:
        found.append(
            f"The largest class has {digits(ratio, 2)} times the rows of the smallest; "
            f"with every class counted the same, accuracy is {100 * balanced:.1f} %."
        )
    return found


def name_in_text(contender: Contender) -> str:
    """How a sentence calls a model."""
    return {
        "majority class": "always answering the commonest class",
        "mean": "always answering the mean",
        "linear model": "a linear model",
        "nearest neighbour": "the nearest neighbour",
    }.get(contender.name, contender.name)


def gap_in_words(key: str, gap: float) -> str:
    """A difference: shares in points, measures with units as they are."""
    if key not in SHARES:
        return digits(gap, 3)
    points = f"{100 * gap:.1f}"
    points = f"{100 * gap:.2g}" if float(points) == 0 and gap > 0 else points
    return f"{points} point" if points == "1.0" else f"{points} points"


def _set(part: str) -> str:
    return "test set" if part == "test" else "validation set"

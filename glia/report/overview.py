"""The top of the page: what the network does, how well, whether simpler models do as well, how the run ended."""

from typing import Any

import numpy as np
from markupsafe import Markup

from glia.report.read import Json, RunFiles, mapping_of, names_of, number, rows_of, task_facts
from glia.report.svg import Axis, fitted
from glia.report.training import best_epoch
from glia.report.verdict import Contender, Verdict, headline, judge
from glia.report.words import EXPLAINED, LOWER_IS_BETTER, count, digits, listed, measure_name, measured, seconds

STATES = {
    "finished": ("Finished", "good"),
    "stopped": ("Stopped early by hand", "warn"),
    "failed": ("Failed", "bad"),
    "running": ("Not finished", "warn"),
}
_WHOLE = {"image": "the pictures", "video": "the clips"}  # inputs that are no columns
ANSWERS = {"yes": "Yes, it pays here.", "no": "No, not this one.", "unclear": "Not clearly.", "alone": "Unknown."}


def state(run: RunFiles) -> dict[str, str]:
    """How the run ended, in a word, a tone, and why."""
    given = str(run.status.get("state", ""))
    label, tone = STATES.get(given, ("State unknown", "warn"))
    where = []
    if (epoch := number(run.status.get("epoch"))) is not None:
        where.append(f"epoch {epoch:,.0f}")
    if (step := number(run.status.get("step"))) is not None:
        where.append(f"step {step:,.0f}")
    if (best := best_epoch(run)) is not None:
        where.append(f"best epoch {best}")
    return {"label": label, "tone": tone, "why": str(run.status.get("why") or ""), "where": ", ".join(where)}


def task_in_words(run: RunFiles) -> Markup | None:
    """Predicts `species` (3 classes) from 6 columns of penguins.csv. None when the task is not known yet."""
    targets = names_of(run.task.get("targets"))
    kind = run.task.get("kind")
    if wants := task_facts(run).get("wants"):
        source = _source(run)
        return Markup("Predicts {}{}").format(wants, Markup(", from <code>{}</code>").format(source) if source else "")
    if not targets or kind not in ("classify", "multilabel", "regress"):
        return None
    classes = names_of(run.task.get("classes"))
    what = {
        "classify": f"({listed(classes)})" if len(classes) == 2 else f"({len(classes)} classes)",
        "multilabel": "(each yes or no)" if len(targets) > 1 else "(yes or no)",
        "regress": "(a number)" if len(targets) == 1 else "(numbers)",
    }[kind]
    names = Markup(", ").join(Markup("<code>{}</code>").format(name) for name in targets[:4])
    if len(targets) > 4:
        names = Markup("{} and {} more").format(names, len(targets) - 4)
    source = _source(run)
    of = Markup(" of <code>{}</code>").format(source) if source else ""
    return Markup("Predicts {} {} from {}{}").format(names, what, _inputs(run), of)


def _inputs(run: RunFiles) -> str:
    if str(run.card.get("kind")) in _WHOLE:
        return _WHOLE[str(run.card["kind"])]
    columns = [item for item in rows_of(run.card.get("columns")) if item.get("role") == "input"]
    return count(len(columns), "column") if columns else "the inputs"


def _source(run: RunFiles) -> str:
    """The name of the source without the folders before it."""
    return str(run.card.get("source") or "").rstrip("/\\").replace("\\", "/").rpartition("/")[2]


def facts(run: RunFiles) -> list[str]:
    """The line below: the network, its size, rows, time, when."""
    found = []
    if name := network_name(run.network):
        weights = parameters(run.network)
        found.append(name + (f" with {count(weights, 'weight')}" if weights is not None else ""))
    if (rows := number(run.card.get("rows"))) is not None:
        found.append(count(rows, "row"))
    if (time := run.took) is not None:
        found.append(f"trained in {seconds(time)}")
    if run.machine.get("started"):
        found.append(str(run.machine["started"])[:16].replace("T", " "))
    return found


def network_name(network: Json) -> str:
    """The name in the catalogue, or the class of a network of the user's own."""
    return str(network.get("name") or network.get("class") or "")


def parameters(network: Json) -> float | None:
    """How many weights the network has, where that was written down."""
    values = [number(network.get(key)) for key in ("parameters", "parameter_count", "weights")]
    return next((value for value in values if value is not None), None)


def result(run: RunFiles) -> dict[str, Any] | None:
    """The headline number and the comparison; None for a run that was not measured."""
    verdict = judge(run)
    if verdict is None:
        return None
    network = verdict.network
    part = "Test" if verdict.part == "test" else "Validation"
    return {
        "label": f"{part} {measure_name(verdict.measure)}",
        "value": measured(verdict.measure, network.value),
        "error": _error(verdict.measure, network),
        "rows": count(verdict.rows, "row") if verdict.rows else "",
        "explained": EXPLAINED.get(verdict.measure, ""),
        "others": _secondary(run, verdict),
        "answer": ANSWERS[verdict.answer],
        "tone": {"yes": "good", "no": "bad"}.get(verdict.answer, "warn"),
        "sentences": verdict.sentences,
        "better": "lower is better" if verdict.measure in LOWER_IS_BETTER else "higher is better",
        "measure": measure_name(verdict.measure),
        **_dots(verdict),
    }


def _error(key: str, one: Contender) -> str:
    if one.error is None:
        return ""
    return f"± {100 * one.error:.1f}" if "%" in measured(key, one.value) else f"± {digits(one.error, 2)}"


def _secondary(run: RunFiles, verdict: Verdict) -> list[dict[str, str]]:
    """The other measures of the same rows; those of single targets are in the large table."""
    values = mapping_of(run.metrics.get(verdict.part))
    return [
        {"name": measure_name(key), "value": measured(key, value), "explained": EXPLAINED.get(key, "")}
        for key in values
        if key != verdict.measure and key in EXPLAINED and (value := number(values[key])) is not None
    ][:6]


def _dots(verdict: Verdict) -> dict[str, Any]:
    """The contenders, best first, as dots with a bar of one standard error; places are percent of the width."""
    contenders = sorted([verdict.network, *verdict.others], key=lambda one: one.value)
    if verdict.measure not in LOWER_IS_BETTER:
        contenders.reverse()
    ends = [one.value + sign * (one.error or 0.0) for one in contenders for sign in (-1, 1)]
    written = "share" if "%" in measured(verdict.measure, 0.5) else "number"
    axis = fitted(verdict.measure, np.array(ends, dtype=np.float64), written, room=0.08)
    return {
        "dots": [_dot(verdict, one, axis) for one in contenders],
        "ticks": [{"at": _place(axis, tick), "text": axis.text(tick)} for tick in axis.ticks(4)],
    }


def _place(axis: Axis, value: float) -> str:
    return f"{100 * min(max(axis.at(value), 0.0), 1.0):.2f}%"


def _dot(verdict: Verdict, one: Contender, axis: Axis) -> dict[str, Any]:
    error = one.error or 0.0
    return {
        "name": one.name,
        "network": one.network,
        "at": _place(axis, one.value),
        "low": _place(axis, one.value - error),
        "high": _place(axis, one.value + error),
        "value": measured(verdict.measure, one.value),
        "error": _error(verdict.measure, one),
        "seconds": seconds(one.seconds) if one.seconds is not None else "–",
    }


def measures(run: RunFiles) -> dict[str, Any] | None:
    """Every measure of the network on every part, and of the baselines on test."""
    shown = "test" if mapping_of(run.metrics.get("test")) else "valid"
    table = [
        (f"network, {part}", mapping_of(run.metrics.get(part)), part == shown) for part in ("train", "valid", "test")
    ]
    for item in rows_of(run.metrics.get("baselines")):
        table.append((f"{item.get('name', 'baseline')}, {shown}", mapping_of(item.get(shown)), True))
    table = [row for row in table if row[1]]
    keys = [key for key in EXPLAINED if any(key in values for _, values, _ in table)]
    if not keys:
        return None
    best = {key: _best(key, [values for _, values, compared in table if compared]) for key in keys}
    rows = [
        {"name": name, "cells": [_cell(key, number(values.get(key)), compared and best[key]) for key in keys]}
        for name, values, compared in table
    ]
    heads = [{"name": measure_name(key), "explained": EXPLAINED[key]} for key in keys]
    return {"heads": heads, "rows": rows, "targets": _by_target(run, shown)}


def _cell(key: str, value: float | None, best: Any) -> dict[str, Any]:
    return {"text": measured(key, value), "best": best is not False and value is not None and value == best}


def _best(key: str, results: list[Json]) -> float | None:
    values = [value for result in results if (value := number(result.get(key))) is not None]
    if len(values) < 2:
        return None
    return min(values) if key in LOWER_IS_BETTER else max(values)


def _by_target(run: RunFiles, part: str) -> list[dict[str, Any]]:
    """RMSE, MAE and R2 of each target, where there are several."""
    values = mapping_of(run.metrics.get(part))
    names = names_of(run.task.get("targets")) if headline(run) == "rmse" else []
    table = [(name, [number(values.get(f"{key}_{name}")) for key in ("rmse", "mae", "r2")]) for name in names]
    return [{"name": name, "cells": ["–" if v is None else digits(v) for v in row]} for name, row in table if any(row)]

"""A run as one page: nothing is loaded from elsewhere, everything that came from data is escaped."""

import json
from pathlib import Path
from typing import Any

from markupsafe import Markup

from glia.report import details, evaluation, overview, transcription
from glia.report.findings import findings
from glia.report.language import samples
from glia.report.plot import Plot
from glia.report.read import RunFiles, mapping_of, number, read_run
from glia.report.sheet import environment, policy, source
from glia.report.training import training_plots
from glia.report.translation import attention_maps
from glia.report.words import count


def render(folder: Path) -> str:
    """The report of the run in `folder` as HTML. Parts that the run does not have are left out."""
    run = read_run(Path(folder))
    pages = environment()
    style, script = (source(pages, name) for name in ("page.css", "page.js"))
    view = _view(run)
    plots = _plots(view)
    return pages.get_template("page.html.jinja").render(
        **view,
        style=style,
        script=script,
        policy=policy(style, script),
        plot_data=script_json({plot.key: plot.hover for plot in plots}),
    )


def _view(run: RunFiles) -> dict[str, Any]:
    """Everything that the template shows."""
    return {
        "name": run.folder.resolve().name,
        "state": overview.state(run),
        "task": overview.task_in_words(run),
        "facts": overview.facts(run),
        "result": overview.result(run),
        "measures": overview.measures(run),
        "findings": findings(run),
        "training": training_plots(run),
        "epochs": _epoch_table(run),
        "parts": _parts(run),
        "examples": details.examples(run),
        "samples": samples(run),
        "card": details.data_card(run),
        "choices": details.choices(run),
        "settings": details.settings(run),
        "model": details.model(run),
        "machine": details.machine(run),
        "commands": details.commands(run),
        "unread": run.unread,
    }


def _parts(run: RunFiles) -> list[dict[str, Any]]:
    """Figures and tables of the answers, the test set first; the training set only where there is no other."""
    found = []
    for part, title in (("test", "test set"), ("valid", "validation set"), ("train", "training set")):
        curves = mapping_of(run.curves.get(part))
        shown = {
            "key": part,
            "title": title,
            "rows": _rows(curves),
            "wide": bool(curves.get("targets") or curves.get("shown") or curves.get("places")),
            "confusion": evaluation.confusion(curves),
            "classes": evaluation.class_table(curves),
            "plots": evaluation.evaluation_plots(curves, part),
            "said": transcription.transcripts(curves),
            "maps": attention_maps(curves),
        }
        if any(shown[what] for what in ("confusion", "classes", "plots", "said", "maps")):
            found.append(shown)
    return [one for one in found if one["key"] != "train"] or found


def _rows(curves: dict[str, Any]) -> str:
    """How many rows the figures show."""
    rows, lost = number(curves.get("rows")), number(curves.get("left_out"))
    more = f"; {count(lost, 'more row')} had answers that are not finite and are left out" if lost else ""
    return f"{count(rows, 'row')}{more}." if rows is not None else ""


def _plots(view: dict[str, Any]) -> list[Plot]:
    evidence = [one["figure"] for one in view["findings"] if one["figure"] and one["figure"].hover]
    return [*view["training"], *(plot for part in view["parts"] for plot in part["plots"]), *evidence]


def _epoch_table(run: RunFiles) -> dict[str, Any] | None:
    """The figures of the epochs in numbers; the first and last of a long run."""
    if not run.epochs:
        return None
    keys = list(dict.fromkeys(key for line in run.epochs for key in line if key not in ("kind", "best")))
    lines = run.epochs if len(run.epochs) <= 200 else run.epochs[:100] + run.epochs[-100:]
    return {
        "heads": [key.replace("_", " ") for key in keys],
        "rows": [
            {"cells": [details.cell(line.get(key)) for key in keys], "best": line.get("best") is True} for line in lines
        ],
        "left": len(run.epochs) - len(lines),
    }


def script_json(value: Any) -> Markup:
    """JSON that cannot end the script element it stands in: no < > &, and nothing beyond ASCII."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)

"""Part `steps`: milliseconds a step in the steady state, and the ratios to the best of the others."""

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmarks.speed.page import CONSOLE, DASH, Figures, Keep, forget, load
from benchmarks.speed.tools import PEERS, TITLES
from benchmarks.speed.turns import Answers, in_turns
from benchmarks.speed.works import ALL, BY_NAME, Work

TITLE = "Steps"
ABOUT = [
    "The same network, batch size, rows and Adam at a constant 0.001 in each tool's usual form; glia.train otherwise",
    "with its defaults (run folder, log, checkpoints, doctor, clipping, averaged weights) and for a training 200 times",
    "as long, since it tries no number formats for one of seconds; it is ended where the others end. Each turn is a",
    "process of its own, the tools take turns; from the end of the first epoch to the end of the last. ms: the median",
    "with the quartiles; load: of the machine when the line was begun. A dash: the tool has no usual form for that",
    "work, or is not installed. The lean loop (rows gathered from tensors, fused Adam, no look at a loss) is written",
    "by hand and no tool.",
]
GOALS = {"default": 2.0, "float32": 1.6, "sklearn": 2.5}


Found = dict[str, dict[str, Answers]]
"""By work, by tool."""
_KEPT: dict[tuple[str, str, bool], tuple[Answers, float]] = {}  # of this call, for parts that look at the same answers


def run(
    names: Sequence[str], tools: Sequence[str], rounds: int, more: dict[str, Any], keep: Keep = forget
) -> list[Figures]:
    """All tables of the part; `more` goes to the workers (fewer steps, for a trial)."""
    works = [BY_NAME[name] for name in names] or list(ALL)
    for count in range(1, len(works)):
        keep(tables(*measured(works[:count], tools, rounds, more), tools))
    return tables(*measured(works, tools, rounds, more), tools)


def measured(
    works: Sequence[Work], tools: Sequence[str], rounds: int, more: dict[str, Any], *, whole: bool = False
) -> tuple[Found, dict[str, float]]:
    """What each tool said of each work, and the load when it was asked; nothing is asked twice in one call.

    whole: glia goes on to its end too, with figures and page; otherwise the epochs are the first of a long training.
    """
    found: Found = {}
    for work in works:
        missing = [name for name in tools if (work.name, name, whole) not in _KEPT]
        if missing:
            busy = load()
            question = {"task": "steps", "work": work.name, "whole": whole, **more}
            answers = in_turns(missing, question, rounds, CONSOLE.print)
            _KEPT.update({(work.name, name, whole): (answers[name], busy) for name in missing})
            times(work.title, "ms", {work.name: answers}, missing, {work.name: busy}).show()
        found[work.name] = {name: _KEPT[work.name, name, whole][0] for name in tools}
    return found, {work.name: _KEPT[work.name, tools[0], whole][1] for work in works}


def tables(found: Found, loads: dict[str, float], tools: Sequence[str]) -> list[Figures]:
    rates = Figures("Samples a second, the same figures", ["work", *(TITLES[name] for name in tools)])
    losses = Figures("Loss before, and after the steps named", ["work", "steps", "before", *(TITLES[n] for n in tools)])
    for name, answers in found.items():
        first = next((one.given[0] for one in answers.values() if one.given), None)
        if first is None:
            continue
        title, row = BY_NAME[name].title, []
        for tool in tools:
            ms = answers[tool].median("ms")
            row.append(DASH if ms is None else f"{1000 * first['rows'] / ms:,.0f}")
        rates.rows.append([title, *row])
        after = [answers[tool].median("loss") for tool in tools]
        before = f"{first['first_loss']:.3f}"
        losses.rows.append([title, str(first["steps"]), before, *(DASH if v is None else f"{v:.3f}" for v in after)])
    wall = times("Milliseconds a step, by the clock", "ms", found, tools, loads)
    cpu = times("Milliseconds a step, of all cores' time", "cpu_ms", found, tools, loads)
    first_epoch = times("Seconds from the call to the end of the first epoch", "first_epoch_s", found, tools, loads)
    return [wall, cpu, rates, first_epoch, losses, _chosen(found), compared(found)]


def times(title: str, key: str, found: Found, tools: Sequence[str], loads: dict[str, float]) -> Figures:
    table = Figures(title, ["work", *(TITLES[name] for name in tools), "load"])
    for name, answers in found.items():
        cells = [_cell(answers[tool], key) for tool in tools]
        table.rows.append([BY_NAME[name].title, *cells, f"{loads[name]:.1f}"])
    return table


def _chosen(found: Found) -> Figures:
    """What glia settled by trying, in how many of the turns."""
    table = Figures("What glia chose (turns)", ["work", "glia", "glia, float32"])
    for name, answers in found.items():
        row = []
        for tool in ("glia", "glia-float32"):
            said = Counter(one.get("chosen", "") for one in answers[tool].given) if tool in answers else Counter[str]()
            row.append("; ".join(f"{what} ({count})" for what, count in said.most_common()) or DASH)
        table.rows.append([BY_NAME[name].title, *row])
    return table


def _cell(answers: Answers, key: str) -> str:
    value = answers.median(key)
    if value is None:
        return DASH
    if len(answers.given) == 1:
        return f"{value:.3g}"
    low, high = answers.spread(key)
    return f"{value:.3g} ({low:.3g}-{high:.3g})"


def best_peer(answers: dict[str, Answers], key: str) -> tuple[str, float] | None:
    """(name, ms) of the fastest of the others; None where none was measured."""
    times = {name: answers[name].median(key) for name in PEERS if name in answers}
    known = {name: ms for name, ms in times.items() if ms is not None}
    fastest = min(known, key=known.__getitem__, default=None)
    return None if fastest is None else (fastest, known[fastest])


def compared(found: Found) -> Figures:
    """How many times faster glia is than the best of the others, by the clock and by the time of all cores."""
    columns = ["work", "best of the others", "glia, clock", "float32, clock", "glia, cores", "float32, cores", "goal"]
    table = Figures("Times faster than the best of the others", columns, summary=_means)
    for name, answers in found.items():
        best = best_peer(answers, "ms")
        if best is None:
            continue
        row = [BY_NAME[name].title, TITLES[best[0]]]
        for key in ("ms", "cpu_ms"):
            fastest = best_peer(answers, key)
            for ours in ("glia", "glia-float32"):
                # Where float32 is the default, the two are one.
                ms = our_time(answers, ours, key)
                row.append(DASH if ms is None or fastest is None else f"{fastest[1] / ms:.2f}")
        table.rows.append([*row, "1.0"])
    _against_sklearn(table, found)
    return table


def _means(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The geometric mean of the six works, once all have a line."""
    six = {work.title for work in ALL if work.core}
    factors = [row[2:6] for row in rows if row[0] in six]
    if len(factors) < len(six) or any(DASH in row for row in factors):
        return []
    means = [f"{statistics.geometric_mean(map(float, column)):.2f}" for column in zip(*factors, strict=True)]
    return [["geometric mean of the six", "", *means, f"{GOALS['default']}; float32 {GOALS['float32']}"]]


def _against_sklearn(table: Figures, found: Found) -> None:
    answers = found.get("table", {})
    row = ["table MLP, against scikit-learn's", TITLES["sklearn"]]
    for key in ("ms", "cpu_ms"):
        theirs = answers["sklearn"].median(key) if "sklearn" in answers else None
        for name in ("glia", "glia-float32"):
            ms = our_time(answers, name, key)
            row.append(DASH if ms is None or theirs is None else f"{theirs / ms:.2f}")
    if any(cell != DASH for cell in row[2:]):
        table.rows.append([*row, str(GOALS["sklearn"])])


def our_time(answers: dict[str, Answers], name: str, key: str) -> float | None:
    """glia's time; in float32 that of the default, where that is what the default is."""
    one = answers.get(name)
    if one is not None and one.none.endswith("is the default"):
        one = answers.get("glia")
    return one.median(key) if one is not None else None

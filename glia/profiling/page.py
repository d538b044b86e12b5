"""The profile as a page: the step as a flame, the changes as bars, every figure in a table. Nothing is loaded."""

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from glia.profiling import flame, words
from glia.profiling.modules import Part
from glia.profiling.trials import Trial
from glia.report.sheet import environment, policy, source
from glia.report.svg import element, join

if TYPE_CHECKING:
    from glia.profiling.profile import Profile

MOST_MODULES = 20
WIDE, HIGH = 460.0, 26.0


def render(found: "Profile") -> str:
    """As HTML; all that came from a script is escaped."""
    pages = environment("glia.profiling")
    style = source(pages, "page.css", "profile.css")  # the report's, with a few lines of our own after it
    return pages.get_template("profile.html.jinja").render(**_view(found), style=style, policy=policy(style))


def _view(found: "Profile") -> dict[str, Any]:
    tried = [trial for trial in found.trials if not trial.error]
    most = max((trial.high for trial in tried), default=1.0)
    return {
        "name": found.name,
        "kind": found.kind,
        "step": words.time(found.step),
        "about": words.step(found),
        "count": found.steps,
        "flame": flame.draw(found),
        "phases": [
            (phase, flame.COLOURS.get(phase, "muted"), words.time(found.phases[phase]), f"{100 * share:.1f} %",
             words.SAID[phase]) for phase, share in found.shares.items()
        ],
        "evaluation": words.time(found.evaluation) if found.evaluation else "",
        "heading": words.heading(found) if found.trials else "",
        "trials": [_row(trial, most, trial in found.best) for trial in tried],
        "together": _joined(found.together),
        "others": [line for line in words.others(found) if not line.startswith("tried too")],
        "modules": _modules(found),
        "peaks": [(name, f"{100 * share:.0f} %", f"{found.peak[name] / 1e9:.0f}", _meter(share))
                  for name, share in found.of_peak.items()],
        "figures": words.figures(found),
        "notes": found.notes,
    }  # fmt: skip


def _joined(trial: Trial | None) -> tuple[str, str] | None:
    return (words.gain(trial), trial.numbers) if trial is not None and not trial.error else None


def _row(trial: Trial, most: float, best: bool) -> dict[str, Any]:
    return {
        "name": trial.change.name,
        "best": best,
        "faster": f"{trial.faster:.2f}x",
        "figures": words.gain(trial),
        "numbers": "; ".join([trial.numbers, *trial.notes]),
        "how": trial.change.how,
        "drawn": _whiskers(trial, max(most, 1.2), "s3" if trial.helps else "muted"),
    }


def _whiskers(trial: Trial, most: float, colour: str) -> Markup:
    """How many times faster: the median as a bar from 1, the quartiles as a line."""

    def at(value: float) -> float:
        return WIDE * max(0.0, min(value, most)) / most

    left, right = sorted((at(1.0), at(trial.faster)))
    middle = HIGH / 2
    parts = [
        element("line", class_="rail", x1=0.0, x2=WIDE, y1=middle, y2=middle),
        element("rect", class_=f"fill {colour}", x=left, y=6.0, width=max(right - left, 1.0), height=HIGH - 12, rx=3.0),
        element("line", class_="err", x1=at(trial.low), x2=at(trial.high), y1=middle, y2=middle),
        element("line", class_="one", x1=at(1.0), x2=at(1.0), y1=0.0, y2=HIGH),
    ]
    return element("svg", join(parts), viewBox=f"0 0 {WIDE:.0f} {HIGH:.0f}", aria_hidden="true")


def _meter(share: float) -> Markup:
    parts = [
        element("rect", class_="rail", x=0.0, y=0.0, width=100.0, height=4.0),
        element("rect", class_="fill", x=0.0, y=0.0, width=100 * min(1.0, share), height=4.0),
    ]
    return element("svg", join(parts), class_="meter", viewBox="0 0 100 4", preserveAspectRatio="none")


def _modules(found: "Profile") -> list[tuple[str, ...]]:
    """Those that take most by themselves."""
    every = [one for part in found.parts for one in part.all()]
    whole = sum(one.own for one in every) or 1.0
    most = sorted((one for one in every if one.own > 0), key=lambda one: -one.own)[:MOST_MODULES]
    return [_cells(one, whole) for one in most]


def _cells(one: Part, whole: float) -> tuple[str, ...]:
    rate = f"{one.flops / one.own / 1e9:.0f}" if one.flops and one.own else ""
    times = (words.time(one.forward_own), words.time(one.backward_own), words.time(one.total))
    return (one.name, one.kind or "outside modules", *times, f"{100 * one.own / whole:.1f} %", rate)

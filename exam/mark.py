"""Mark: what the doctor said, against what was drawn."""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exam.run import VERDICT, programs

COUNTED = ("error", "warning")
CLEAR = 0.05  # a remedy gains at least this share of what was missing


@dataclass(frozen=True)
class Answer:
    """One program, and the findings about it that count, in order. None: no verdict."""

    name: str
    truth: dict[str, Any]
    findings: list[dict[str, Any]] | None
    seconds: float | None

    @property
    def sick(self) -> bool:
        return bool(self.truth["sick"])

    @property
    def alarmed(self) -> bool:
        return bool(self.findings)

    def right(self, first: int) -> bool:
        """Is an accepted cause among the first so many findings?"""
        return any(each["cause"] in self.truth["causes"] for each in (self.findings or [])[:first])

    @property
    def backed(self) -> bool:
        """Has the first remedy a trial that gained clearly?"""
        for each in self.findings or []:
            for remedy in each.get("remedies", [])[:1]:
                return _gained(remedy.get("trial"))
        return False


def _gained(trial: dict[str, Any] | None) -> bool:
    if not trial or trial.get("after") is None:
        return False
    before = trial["before"] if trial.get("before") is not None else -math.inf
    if before == -math.inf:
        return True
    return bool(trial["after"] - before > CLEAR * max(1 - before, 0.2))


def read(out: Path) -> list[Answer]:
    """All programs of a folder with their verdicts."""
    answers = []
    for folder in programs(out):
        verdict, clock = folder / VERDICT, folder / "seconds.json"
        findings = None
        if verdict.exists():
            said = json.loads(verdict.read_text())["findings"]
            findings = [each for each in said if each["severity"] in COUNTED]
        seconds = json.loads(clock.read_text()) if clock.exists() else None
        answers.append(Answer(folder.name, json.loads((folder / "truth.json").read_text()), findings, seconds))
    return answers


def marks(answers: Sequence[Answer]) -> dict[str, Any]:
    """The figures for these programs. Shares are of the sick ones, false alarms of the healthy ones."""
    sick = [each for each in answers if each.sick]
    healthy = [each for each in answers if not each.sick]
    times = sorted(each.seconds for each in answers if each.seconds is not None)
    return {
        "sick": len(sick),
        "healthy": len(healthy),
        "no verdict": sum(each.findings is None for each in answers),
        "detected": _share(sick, lambda each: each.alarmed),
        "first right": _share(sick, lambda each: each.right(1)),
        "among first three": _share(sick, lambda each: each.right(3)),
        "first remedy backed by a trial": _share(sick, lambda each: each.backed),
        "false alarms": _share(healthy, lambda each: each.alarmed),
        "seconds, median": _quantile(times, 0.5),
        "seconds, 95 %": _quantile(times, 0.95),
        "seconds, longest": times[-1] if times else None,
    }


def _share(answers: Sequence[Answer], holds: Callable[[Answer], bool]) -> float | None:
    return sum(map(holds, answers)) / len(answers) if answers else None


def _quantile(ordered: Sequence[float], part: float) -> float | None:
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)] if ordered else None


def rules(answers: Sequence[Answer], causes_of: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """Each rule: how often it spoke, how often a cause it gave was right, and how many of its programs it found.

    causes_of: code -> the usual cause of that rule; else its commonest cause here.
    """
    spoken: dict[str, list[tuple[Answer, dict[str, Any]]]] = {}
    for answer in answers:
        for finding in answer.findings or []:
            spoken.setdefault(finding["code"], []).append((answer, finding))
    rows = []
    for code in sorted({*spoken, *(causes_of or {})}):
        said = spoken.get(code, [])
        given = [finding["cause"] for _, finding in said]
        own = (causes_of or {}).get(code) or max(given, key=given.count)
        due = [each for each in answers if each.sick and each.truth["causes"][0] == own]
        met = {answer.name for answer, _ in said}
        right = [finding["cause"] in answer.truth["causes"] for answer, finding in said]
        rows.append(
            {
                "code": code,
                "cause": own,
                "spoke": len(said),
                "on healthy": sum(not answer.sick for answer, _ in said),
                "precision": sum(right) / len(right) if right else None,
                "due": len(due),
                "recall": sum(each.name in met for each in due) / len(due) if due else None,
            }
        )
    return rows


def table(rows: Iterable[dict[str, Any]], head: str = "") -> str:
    """Rows as a Markdown table. Shares with two decimals."""
    rows = list(rows)
    if not rows:
        return "none\n"
    columns = list(rows[0])
    lines = [f"| {' | '.join([head or columns[0], *columns[1:]])} |", f"|{' --- |' * len(columns)}"]
    lines += [f"| {' | '.join(_shown(row[column]) for column in columns)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def grouped(answers: Sequence[Answer], key: Callable[[Answer], str]) -> list[dict[str, Any]]:
    """The shares for each value of the key."""
    columns = (
        "sick", "detected", "first right", "among first three", "first remedy backed by a trial", "healthy",
        "false alarms",
    )  # fmt: skip
    rows = []
    for value in sorted({key(each) for each in answers}):
        figures = marks([each for each in answers if key(each) == value])
        rows.append({"group": value, **{column: figures[column] for column in columns}})
    return rows


def page(answers: Sequence[Answer], causes_of: dict[str, str] | None = None, note: str = "") -> str:
    """The whole page, in Markdown. note: what people should know of this run of it."""
    total = [{"figure": name, "value": value} for name, value in marks(answers).items()]
    sick = [each for each in answers if each.sick]
    by_cause = [
        {name: value for name, value in row.items() if name not in ("healthy", "false alarms")}
        for row in grouped(sick, lambda each: each.truth["causes"][0])
    ]
    healthy = [each for each in answers if not each.sick]
    odd = [
        {name: row[name] for name in ("group", "healthy", "false alarms")}
        for row in grouped(healthy, lambda each: each.truth["fault"])
    ]
    return "\n".join(
        [
            "# The doctor's exam",
            "",
            "Training scripts drawn at random (`python -m exam draw`), half with a fault that shows, half sound.",
            "Only errors and warnings count. A cause is right if it is one of those accepted for the fault.",
            *([note] if note else []),
            "",
            table(total),
            "## By kind of network",
            "",
            table(grouped(answers, lambda each: each.truth["kind"]), "kind"),
            "## By cause",
            "",
            table(by_cause, "cause"),
            "## Sound programs",
            "",
            table(odd, "what they are like"),
            "## By rule",
            "",
            "Precision: of the times it spoke, how often the cause it gave was right. Recall: of the programs whose",
            "cause is its own, on how many it spoke.",
            "",
            table(rules(answers, causes_of), "rule"),
        ]
    )

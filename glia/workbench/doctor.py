"""Doctor: a script is run and watched, and what is wrong with its training is found, proved and told."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glia.doctor.finding import Finding
from glia.doctor.judge import diagnose
from glia.doctor.placed import placed
from glia.errors import GliaError
from glia.vitals.attach import Attached, attach
from glia.vitals.chart import Chart


@dataclass(frozen=True, slots=True)
class Part:
    """One training in a script. steps: of its optimisers; scores: as people read them, by part."""

    findings: list[Finding]
    steps: int
    scores: dict[str, str]
    notes: list[str] = field(default_factory=list)
    trials: int = 0
    trial_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What came of it. attached: the script's own end."""

    attached: Attached
    parts: list[Part]

    @property
    def findings(self) -> list[Finding]:
        """Of all trainings, alarms before notes."""
        return sorted((f for part in self.parts for f in part.findings), key=lambda f: not f.alarms)

    @property
    def trials(self) -> int:
        """How many cures were tried."""
        return sum(part.trials for part in self.parts)

    @property
    def trial_seconds(self) -> float:
        """CPU time that they took."""
        return sum(part.trial_seconds for part in self.parts)

    @property
    def healthy(self) -> bool:
        """Nothing was found, and the script did not fail."""
        return not any(f.alarms for f in self.findings) and not self.attached.error

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "script": str(self.attached.script),
            "exit_code": self.attached.code,
            "error": self.attached.error,
            "stopped": self.attached.stopped,
            "seconds": round(self.attached.seconds, 3),
            "healthy": self.healthy,
            "findings": [finding.to_dict() for finding in self.findings],
            "trials": self.trials,
            "trial_seconds": round(self.trial_seconds, 3),
            "trainings": [{"steps": p.steps, "scores": p.scores, "notes": p.notes} for p in self.parts],
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)


def doctor(
    script: Path,
    arguments: Sequence[str] = (),
    *,
    steps: int | None = None,
    seconds: float | None = None,
    skip: Iterable[str] = (),
    trial_seconds: float | None = None,
) -> Diagnosis:
    """Run a training script, unchanged, and say what is wrong with it.

    steps, seconds: end it early. skip: rules, by code or name. trial_seconds: CPU time for trials of cures; by default
    a fifth of the run's and at least 5 s. Raises GliaError where the script does not exist, or never trains.
    """
    attached = attach(script, arguments, steps=steps, seconds=seconds)
    trained = [chart for chart in attached.charts if _trains(chart)]
    if not trained:
        raise GliaError(
            f"{script.name} never trains",
            got=attached.error or "no backward pass and no step of a torch optimiser",
            expected="a script that calls loss.backward() and optimizer.step()",
        )
    return Diagnosis(attached, [_part(chart, attached, len(trained), skip, trial_seconds) for chart in trained])


def _part(chart: Chart, attached: Attached, count: int, skip: Iterable[str], trial_seconds: float | None) -> Part:
    seconds = None if trial_seconds is None else trial_seconds / count
    verdict = diagnose(chart, skip, trial_seconds=seconds, run_seconds=attached.seconds / count)
    scores = {s.part: f"{s.metric} {s.value:.3f}, by chance {s.chance:.3f}, on {s.rows} rows" for s in chart.scores}
    steps = chart.loop.steps if chart.loop is not None else len(chart.steps)
    findings = [placed(finding, chart) for finding in verdict.findings]
    return Part(findings, steps, scores, chart.notes, verdict.trials, verdict.seconds)


def _trains(chart: Chart) -> bool:
    return bool(chart.backwards or chart.steps or (chart.loop is not None and chart.loop.steps))

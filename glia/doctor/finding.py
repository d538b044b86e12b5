"""Finding: what is wrong, where, how that shows, what causes it, and what cures it, tried or not."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Trial:
    """A cure that was tried on copies: `metric` on held-out rows after `steps` steps without it and with it."""

    metric: str
    before: float
    after: float
    steps: int
    seeds: int = 1

    def in_words(self) -> str:
        """The figure without the cure and with it."""
        return f"{self.metric} after {self.steps} steps {_shown(self.before)} -> {_shown(self.after)}"


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to change. change: by key, as docs/doctor.md lists them. says: for people. trial: None if not tried."""

    change: Mapping[str, Any]
    says: str
    trial: Trial | None = None
    safe: bool = False

    def in_words(self) -> str:
        """``try: --lr 0.1 (tried: held-out accuracy after 200 steps 0.1 -> 0.91)``"""
        trial = self.trial
        tried = f" (tried: {trial.in_words()})" if trial is not None else ""
        return f"try: {self.says}{tried}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a training run.

    severity: "error" (it cannot work like this), "warning" (it hurts), "note" (worth knowing; nothing failed).
    cause: the likely one, a name of `glia list causes`. evidence: numbers by name. why, cure: one sentence each.
    change: the cure as data, empty where it is not one of settings. safe: the cure cannot make a run that learns worse.
    prior: how sure this is before any trial, 0 to 1. sure: a fault whether the run learns or not; what is not sure is a
    symptom, and counts only in a run that fails. place: line of a script, "train.py:31".
    """

    code: str
    name: str
    severity: Severity
    cause: str
    where: str
    evidence: Mapping[str, Any]
    why: str
    cure: str
    safe: bool
    change: Mapping[str, Any] = field(default_factory=dict)
    prior: float = 0.5
    sure: bool = False
    remedies: tuple[Remedy, ...] = ()
    place: str = ""

    @property
    def alarms(self) -> bool:
        """Is it more than a note?"""
        return self.severity != "note"

    def noted(self) -> "Finding":
        """The same as a note."""
        return replace(self, severity="note")

    def shown_evidence(self) -> str:
        """The numbers in one line."""
        return "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.evidence.items())

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for findings.json."""
        remedies = self.remedies or (Remedy(self.change, self.cure, None, self.safe),)
        return {
            "code": self.code,
            "name": self.name,
            "severity": self.severity,
            "cause": self.cause,
            "where": f"{self.where} at {self.place}" if self.place else self.where,
            "place": self.place,
            "evidence": self.shown_evidence(),
            "figures": dict(self.evidence),
            "why": self.why,
            "cure": self.cure,
            "safe": self.safe,
            "remedies": [_plain_remedy(remedy) for remedy in remedies],
        }


@dataclass(frozen=True, slots=True)
class Rule:
    """The lasting name of a check: GL1xx data, GL2xx set-up, GL3xx dynamics, GL4xx generalisation, GL5xx speed.

    cause: its usual one. explains: codes of symptoms that say nothing new beside it.
    """

    code: str
    name: str
    cause: str
    explains: tuple[str, ...] = ()

    def finding(
        self,
        severity: Severity,
        where: str,
        evidence: Mapping[str, Any],
        why: str,
        cure: str,
        *,
        safe: bool,
        cause: str | None = None,
        change: Mapping[str, Any] | None = None,
        prior: float = 0.5,
        sure: bool = False,
    ) -> Finding:
        """A finding of this rule. Numbers are rounded to four digits; those that are not known are left out."""
        plain = {key: _readable(value) for key, value in evidence.items() if value == value}
        return Finding(
            self.code, self.name, severity, cause or self.cause, where, plain, why, cure, safe,
            dict(change or {}), prior, sure,
        )  # fmt: skip


def _readable(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.4g}") if isfinite(value) else str(value)


def _plain_remedy(remedy: Remedy) -> dict[str, Any]:
    trial = remedy.trial
    plain: dict[str, Any] = {"change": dict(remedy.change), "says": remedy.says, "safe": remedy.safe}
    if trial is not None:
        plain["trial"] = {
            "metric": trial.metric,
            "before": _finite(trial.before),
            "after": _finite(trial.after),
            "steps": trial.steps,
            "seeds": trial.seeds,
        }
    return plain


def _shown(value: float) -> str:
    return f"{value:.3g}" if isfinite(value) else "not finite"


def _finite(value: float) -> float | None:
    """Four digits, or None: JSON has no word for NaN."""
    return float(f"{value:.4g}") if isfinite(value) else None

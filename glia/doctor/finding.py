"""Finding: what is wrong, where, how that shows, and what cures it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a training run.

    severity: "error" (it cannot work like this), "warning" (it hurts), "note" (worth knowing; nothing failed).
    evidence: numbers by name. cause, cure: one sentence each. safe: the cure cannot make a run that learns worse.
    """

    code: str
    name: str
    severity: Severity
    where: str
    evidence: Mapping[str, Any]
    cause: str
    cure: str
    safe: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for findings.json."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Rule:
    """The lasting name of a check: GL1xx data, GL2xx set-up, GL3xx dynamics, GL4xx generalisation."""

    code: str
    name: str

    def finding(
        self, severity: Severity, where: str, evidence: Mapping[str, Any], cause: str, cure: str, *, safe: bool
    ) -> Finding:
        """A finding of this rule. Numbers are rounded to four digits; those that are not known are left out."""
        plain = {key: _readable(value) for key, value in evidence.items() if value == value}
        return Finding(self.code, self.name, severity, where, plain, cause, cure, safe)


def _readable(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.4g}") if isfinite(value) else str(value)

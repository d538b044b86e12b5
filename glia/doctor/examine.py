"""Examine: every check on one chart; what another finding explains is dropped; causes come before symptoms."""

from collections.abc import Callable, Iterable, Iterator

from glia.doctor.checks import (
    dead_relu,
    exploding_gradient,
    first_loss_too_high,
    gradients_not_cleared,
    inputs_not_normalised,
    loss_does_not_fit_output,
    loss_not_falling,
    nan_in_inputs,
    non_finite,
    overfitting,
    parameter_without_gradient,
    vanishing_gradient,
)
from glia.doctor.finding import Finding, Rule
from glia.errors import unknown
from glia.vitals.chart import Chart

Check = Callable[[Chart], Iterator[Finding]]

# In the order of likely cause: set-up and data explain dynamics, not the other way round.
CHECKS: tuple[tuple[Rule, Check], ...] = (
    (nan_in_inputs.RULE, nan_in_inputs.check),
    (gradients_not_cleared.RULE, gradients_not_cleared.check),
    (parameter_without_gradient.RULE, parameter_without_gradient.check),
    (loss_does_not_fit_output.RULE, loss_does_not_fit_output.check),
    (inputs_not_normalised.RULE, inputs_not_normalised.check),
    (first_loss_too_high.RULE, first_loss_too_high.check),
    (non_finite.RULE, non_finite.check),
    (dead_relu.RULE, dead_relu.check),
    (vanishing_gradient.RULE, vanishing_gradient.check),
    (exploding_gradient.RULE, exploding_gradient.check),
    (loss_not_falling.RULE, loss_not_falling.check),
    (overfitting.RULE, overfitting.check),
)

# Cause -> the symptoms that say nothing new beside it.
EXPLAINS: dict[str, frozenset[str]] = {
    "GL101": frozenset({"GL204", "GL301"}),
    "GL104": frozenset({"GL101", "GL204", "GL206", "GL301", "GL302", "GL303", "GL304", "GL305"}),
    "GL203": frozenset({"GL301", "GL304"}),
    "GL204": frozenset({"GL301", "GL305"}),
    "GL206": frozenset({"GL301", "GL304"}),
    "GL207": frozenset({"GL301", "GL305"}),
    "GL302": frozenset({"GL301", "GL304", "GL305"}),
    "GL303": frozenset({"GL301", "GL304"}),
    "GL304": frozenset({"GL301"}),
    "GL305": frozenset({"GL301"}),
}


def examine(chart: Chart, skip: Iterable[str] = ()) -> list[Finding]:
    """What is wrong with a run, the most likely cause first, notes last. skip: codes or names of rules to leave out.

    Example: ``glia.examine(chart, skip=["GL401"])``
    """
    left_out = {_code(name) for name in skip}
    found = [finding for rule, check in CHECKS if rule.code not in left_out for finding in check(chart)]
    alarms = {finding.code for finding in found if finding.severity != "note"}
    explained = frozenset().union(*(EXPLAINS.get(code, frozenset()) for code in alarms))
    kept = {(f.code, f.where): f for f in found if f.code not in explained}
    return sorted(kept.values(), key=lambda finding: finding.severity == "note")


def _code(name: str) -> str:
    """The code of a rule that was named by its code or its name."""
    for rule, _ in CHECKS:
        if name.lower() in (rule.code.lower(), rule.name):
            return rule.code
    raise unknown("rule", name, [part for rule, _ in CHECKS for part in (rule.code, rule.name)])

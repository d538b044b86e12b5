"""Examine: every check on one chart; symptoms count in a run that fails; what another finding explains is dropped."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from types import ModuleType

from glia.doctor import checks
from glia.doctor.finding import Finding, Rule
from glia.doctor.learning import failed
from glia.errors import unknown
from glia.vitals.chart import Chart

Check = Callable[[Chart], Iterator[Finding]]
STAGES = ("data", "setup", "dynamics", "generalisation", "speed")
LIKELY = 0.5  # prior from which a symptom is reported, in a run that fails, without a trial


@cache
def modules() -> tuple[ModuleType, ...]:
    """The checks, one module each with RULE and check(chart), in the order of their codes."""
    found = []
    for stage in STAGES:
        room = importlib.import_module(f"{checks.__name__}.{stage}")
        found += [
            importlib.import_module(f"{room.__name__}.{each.name}") for each in pkgutil.iter_modules(room.__path__)
        ]
    return tuple(sorted(found, key=lambda module: module.RULE.code))


def rules() -> tuple[Rule, ...]:
    """All rules, in the order of their codes."""
    return tuple(module.RULE for module in modules())


def suspect(chart: Chart, skip: Iterable[str] = ()) -> list[Finding]:
    """All that the checks see in a chart, symptoms too, the likeliest first. skip: codes or names of rules."""
    left_out = {code_of(name) for name in skip}
    seen: list[Finding] = []
    for module in modules():
        if module.RULE.code in left_out:
            continue
        try:
            seen += module.check(chart)
        except (ArithmeticError, ValueError, LookupError) as error:  # one rule that stumbles must not silence the rest
            chart.notes.append(f"{module.RULE.code} could not be judged: {type(error).__name__}: {error}")
    return sorted(seen, key=lambda finding: (not finding.alarms, not finding.sure, -finding.prior))


def examine(chart: Chart, skip: Iterable[str] = ()) -> list[Finding]:
    """What is wrong with a run, the most likely cause first, notes last. skip: codes or names of rules to leave out.

    Example: ``glia.examine(chart, skip=["GL401"])``
    """
    fails = failed(chart)
    return sift([f for f in suspect(chart, skip) if f.sure or not f.alarms or (fails and f.prior >= LIKELY)])


def sift(findings: Iterable[Finding]) -> list[Finding]:
    """Without doubles and without symptoms that another finding explains; notes last."""
    kept = {(f.code, f.where): f for f in reversed(list(findings))}
    explains = {rule.code: rule.explains for rule in rules()}
    explained = {code for f in kept.values() if f.alarms for code in explains.get(f.code, ())}
    left = [f for f in reversed(list(kept.values())) if f.code not in explained]
    return sorted(left, key=lambda finding: not finding.alarms)


def code_of(name: str) -> str:
    """The code of a rule that was named by its code or its name."""
    for rule in rules():
        if name.lower() in (rule.code.lower(), rule.name):
            return rule.code
    raise unknown("rule", name, [part for rule in rules() for part in (rule.code, rule.name)])

"""gradients-not-cleared (GL207)

Finds: gradients that a step has used already and that are still there when the next backward pass begins.
Hurts: every step follows the sum of all gradients so far, so it overshoots more and more.
Evidence: the share of measured steps at which it was so.
Cure: optimizer.zero_grad() before each backward pass.
Not a fault when: gradients are accumulated on purpose over several backward passes and cleared after each step.
Source: torch.optim.Optimizer.zero_grad.
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.doctor.learning import failed
from glia.vitals.chart import Chart

RULE = Rule("GL207", "gradients-not-cleared", "missing_zero_grad", explains=("GL305", "GL306", "GL307", "GL309"))
FEWEST, NEARLY_ALL = 5, 0.9


def check(chart: Chart) -> Iterator[Finding]:
    for index, optimizer in enumerate(chart.optimizers):
        seen = [step.carried for step in chart.steps if step.optimizer == index and step.carried is not None]
        share = sum(seen) / len(seen) if seen else 0.0
        if len(seen) >= FEWEST and share >= NEARLY_ALL:
            yield RULE.finding(
                "error" if failed(chart) else "warning",
                f"optimizer {optimizer.kind}",
                {"share_of_steps": share, "measured_steps": len(seen)},
                "zero_grad() is not called between one step and the next backward pass",
                "call optimizer.zero_grad() before loss.backward()",
                safe=True,
                change={"zero_grad": True},
                prior=1.0,
                sure=True,
            )

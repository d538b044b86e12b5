"""inputs-say-nothing (GL116)

Finds: inputs from which neither the script's network, under any change that was tried, nor a plain one learns anything
    about the answers.
Hurts: there is nothing to learn: rows and answers do not belong together, or what told them apart was lost on the way.
Evidence: skill of the script's network and of a plain one on held-out rows.
Cure: look at a few rows as the model is given them, beside their answers, for a wrong reshape, merge, cut or order.
Not a fault when: the answers are chance.
Source: Karpathy 2019, "A recipe for training neural networks" ("become one with the data"; visualise just before the
    net).
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL116", "inputs-say-nothing", "wrong_preprocessing", explains=("GL301", "GL311", "GL402"))


def check(chart: Chart) -> Iterator[Finding]:
    """A chart alone does not show it; the judge's trials and its plain network do."""
    return iter(())


def finding(chart: Chart, own: float, plain: float, trials: int) -> Finding:
    """What the failure of all of them says."""
    return RULE.finding(
        "warning",
        "the inputs of the model",
        {"skill": own, "skill_of_plain_network": plain, "changes_tried": trials},
        "neither this network, under any change tried, nor a plain one finds anything in the inputs about the answers",
        "look at a few rows as the model is given them, beside their answers",
        safe=True,
        prior=0.5,
    )

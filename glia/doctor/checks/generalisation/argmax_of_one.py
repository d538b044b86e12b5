"""argmax-of-one (GL408)

Finds: held-out answers that are read off as the largest of a single output.
Hurts: the largest of one number is always the first, so the score is the share of class 0, whatever was learned.
Evidence: outputs a row.
Cure: compare the output with 0 (logits) or 0.5 (probabilities).
Not a fault when: there are several outputs.
Source: torch.argmax.
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL408", "argmax-of-one", "wrong_metric")


def check(chart: Chart) -> Iterator[Finding]:
    if chart.loop is not None and chart.loop.argmax_of_one:
        yield RULE.finding(
            "error",
            "evaluation",
            {"outputs": 1},
            "answers are read off as the largest of one output, which is always the first",
            "compare the output with 0 where it is a logit, or with 0.5 where it is a probability",
            safe=True,
            prior=1.0,
            sure=True,
        )

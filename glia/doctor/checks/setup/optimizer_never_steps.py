"""optimizer-never-steps (GL201)

Finds: an optimiser that was made and never stepped, although gradients were computed for it.
Hurts: no weight ever changes.
Evidence: the number of backward passes, and of steps.
Cure: optimizer.step() after loss.backward().
Not a fault when: the script only looks at gradients, or changes the weights by hand and has no optimiser; the loss was
    never finite, so that a gradient scaler left out all steps.
Source: PyTorch tutorial, "Optimizing model parameters" (the loop of backward, step, zero_grad).
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL201", "optimizer-never-steps", "missing_step", explains=("GL301", "GL310", "GL311"))
FEWEST = 2  # backward passes: one alone may be a look at gradients


def check(chart: Chart) -> Iterator[Finding]:
    loop = chart.loop
    if loop is None or loop.steps or not loop.unused_optimizers or chart.backwards < FEWEST or chart.birth is not None:
        return
    yield RULE.finding(
        "error",
        "the training loop",
        {"backward_passes": chart.backwards, "steps": 0, "optimizers": loop.unused_optimizers},
        "backward() is called and optimizer.step() never is, so the weights stay as they were drawn",
        "call optimizer.step() after loss.backward()",
        safe=True,
        change={"step": True},
        prior=1.0,
        sure=True,
    )

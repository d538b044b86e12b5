"""training-in-eval-mode (GL406)

Finds: passes with gradients through a model in eval() that has dropout or batch norms.
Hurts: dropout does nothing, and batch norms use figures that are never brought up to date.
Evidence: the share of passes with gradients that ran in train().
Cure: model.train() at the beginning of each epoch.
Not a fault when: a trained network is tuned with its norms held; gradients are wanted for inputs (attacks, saliency).
Source: Ioffe, Szegedy 2015, arXiv 1502.03167, algorithm 2; PyTorch's notes on `nn.Module.eval`.
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL406", "training-in-eval-mode", "eval_mode_wrong", explains=("GL301", "GL311", "GL401"))
ALL, FEW, ONE_EACH = 0.95, 0.02, 1.2


def check(chart: Chart) -> Iterator[Finding]:
    loop = chart.loop
    if loop is None or not loop.switches or not loop.training_mode < ALL:
        return
    # It trained in train() and then never again: nobody wants that. A pass for the update alone, and no frozen weights.
    forgotten = loop.training_mode > FEW and loop.steps > 0 and chart.backwards <= ONE_EACH * loop.steps
    tuned = any(not p.trainable for model in chart.models for p in model.parameters)
    yield RULE.finding(
        "note" if tuned else "warning",
        "training",
        {"share_of_passes_in_train_mode": loop.training_mode, "steps": loop.steps},
        "the model was put into eval() and not back, so dropout and batch norms stand still",
        "call model.train() at the beginning of each epoch",
        safe=True,
        change={"train_mode": True},
        prior=0.8,
        sure=forgotten and not tuned,
    )

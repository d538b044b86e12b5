"""mode-wrong (GL210)

Finds: held-out rows that are asked about in train(), or training in eval(), of a model with dropout or batch norms.
Hurts: dropout spoils the answers, and a batch norm takes its figures from the rows asked about; in eval() neither
    does its work.
Evidence: the share of passes in train(); the skill on held-out rows that eval() adds.
Cure: model.train() before training, model.eval() before evaluation.
Not a fault when: eval() makes the answers no better (a note then); a trained network is tuned with its norms held.
Source: Ioffe, Szegedy 2015, arXiv 1502.03167, algorithm 2; Srivastava et al. 2014, JMLR 15, 1929; torch.nn.Module.eval.
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

EXPLAINS = ("GL401", "GL403", "GL405", "GL406", "GL312")
RULE = Rule("GL210", "mode-wrong", "eval_mode_wrong", explains=EXPLAINS)
NEARLY_ALL, GAIN = 0.9, 0.1


def check(chart: Chart) -> Iterator[Finding]:
    loop = chart.loop
    if loop is None or not loop.switches:
        return
    if loop.evaluation_mode >= NEARLY_ALL:
        sure = loop.mode_gain > GAIN
        yield RULE.finding(
            "warning" if sure else "note",
            "evaluation",
            {"share_of_passes_in_train_mode": loop.evaluation_mode, "skill_gained_by_eval": loop.mode_gain},
            "dropout and batch norms work as in training while the model is asked for answers",
            "call model.eval() before evaluation and model.train() after it",
            safe=True,
            change={"train_mode": True},
            prior=1.0 if sure else 0.4,
            sure=sure,
        )
    if loop.training_mode == 0 and loop.steps:
        tuned = any(not p.trainable for model in chart.models for p in model.parameters)
        yield RULE.finding(
            "note" if tuned else "warning",
            "training",
            {"share_of_passes_in_train_mode": 0.0, "steps": loop.steps},
            "the model trains in eval(), so dropout and batch norms stand still",
            "call model.train() at the beginning of each epoch",
            safe=True,
            change={"train_mode": True},
            prior=0.7,
        )

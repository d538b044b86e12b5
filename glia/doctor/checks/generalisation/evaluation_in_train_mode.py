"""evaluation-in-train-mode (GL405)

Finds: passes without gradients through a model in train() that has dropout or batch norms.
Hurts: dropout spoils the answers, and a batch norm takes its figures from the rows that are asked about.
Evidence: the share of passes without gradients that ran in train(); how much better the answers are in eval().
Cure: model.eval() before evaluation, model.train() after it.
Not a fault when: dropout is sampled on purpose; a teacher network, or the figures of a norm, are kept up so.
Source: Srivastava et al. 2014, JMLR 15, 1929 (all units are used at test time); Ioffe, Szegedy 2015, arXiv 1502.03167.
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL405", "evaluation-in-train-mode", "eval_mode_wrong", explains=("GL401", "GL403", "GL312"))
NEARLY_ALL, SOME, NO_LOSS, LOSS = 0.9, 0.1, 0.001, 0.1


def check(chart: Chart) -> Iterator[Finding]:
    loop = chart.loop
    if loop is None or not loop.switches or not loop.evaluation_mode > SOME:
        return
    alone = len(chart.models) <= 1 and len(chart.optimizers) <= 1
    # A teacher or a norm's figures: what settles it is whether answers in eval() are better than those it went by.
    harmless = abs(loop.mode_gain) < NO_LOSS
    clear = loop.mode_gain > LOSS or (alone and loop.evaluation_mode >= NEARLY_ALL and not harmless)
    yield RULE.finding(
        "warning" if clear else "note",
        "evaluation",
        {"share_of_passes_in_train_mode": loop.evaluation_mode, "skill_gained_in_eval": loop.mode_gain},
        "dropout and batch norms work as in training while the model is asked for answers",
        "call model.eval() before evaluation and model.train() after it",
        safe=True,
        change={"train_mode": True},
        prior=0.9 if clear else 0.4,
        sure=clear,
    )

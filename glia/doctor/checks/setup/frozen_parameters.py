"""frozen-parameters (GL209)

Finds: a model at least half of whose numbers, or all of whose weights but the norms, want no gradient.
Hurts: they stay as they were drawn, and the rest must do with what comes out of them.
Evidence: the share of numbers that want no gradient.
Cure: requires_grad_(True) for all of them.
Not a fault when: the frozen part was trained before (a new head on it): then the run learns. A model that is frozen
    as a whole beside others is a teacher, or a part of the loss.
Source: PyTorch's notes, "Autograd mechanics" (setting requires_grad); Yosinski et al. 2014, arXiv 1411.1792.
"""

from collections.abc import Iterator

from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart, ModelFacts

RULE = Rule("GL209", "frozen-parameters", "frozen_params", explains=("GL301", "GL310", "GL311"))
HALF = 0.5


def check(chart: Chart) -> Iterator[Finding]:
    for model in chart.models:
        used = [p for p in model.parameters if p.called]
        frozen = [p for p in used if not p.trainable]
        total, size = sum(p.size for p in used), sum(p.size for p in frozen)
        aside = len(frozen) == len(used) and len(chart.models) > 1
        if not frozen or aside or (size < HALF * total and not _all_weights(model)):
            continue
        names = [p.name for p in frozen]
        yield RULE.finding(
            "warning",
            ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else ""),
            {"frozen_numbers": size, "share_of_model": size / max(total, 1)},
            "these parameters have requires_grad False, so they are never trained",
            "set requires_grad_(True) on them before the optimiser is made",
            safe=False,
            change={"train_all": True},
            prior=0.9,
        )


def _all_weights(model: ModelFacts) -> bool:
    """Is every layer frozen, and only norms are not?"""
    weighted = [op for op in model.operations if op.weighted]
    return bool(weighted) and not any(op.trainable for op in weighted)

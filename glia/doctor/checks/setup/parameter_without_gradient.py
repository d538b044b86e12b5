"""parameter-without-gradient (GL206)

Finds: parameters that want to be trained and are not: in no optimiser, or without a gradient at every measured step.
Hurts: they stay as they were drawn.
Evidence: how many, which, at how many measured steps.
Cure: give the optimiser model.parameters(); leave out .detach(), .item(), .data and no_grad() on the way to the loss.
Not a fault when: they are frozen (requires_grad False), or belong to modules that are not used. When the run learns all
    the same (a new head on a trained network), it is a note.
Source: torch.optim, "Constructing it"; torch.Tensor.detach.
"""

from collections.abc import Iterator, Sequence

from glia.doctor.finding import Finding, Rule, Severity
from glia.doctor.learning import failed, learned, skill
from glia.doctor.reading import detached
from glia.vitals.chart import Chart, ModelFacts, ParameterFacts

RULE = Rule("GL206", "parameter-without-gradient", "params_not_in_optimizer", explains=("GL304", "GL310"))
FEWEST = 3  # measured steps
WELL = 0.9  # skill of a run in which it does no harm
CLEARED = 0.9  # share of steps from which their gradients were cleared, not missing


def check(chart: Chart) -> Iterator[Finding]:
    held = skill(chart)
    well = held >= WELL if held is not None else learned(chart)
    severity: Severity = "note" if well else "error" if failed(chart) else "warning"
    yield from _unowned(chart, well)
    cleared = chart.loop is not None and chart.loop.cleared_late >= CLEARED
    for model in chart.models:
        if model.measured < FEWEST:
            continue
        trained = [p for p in model.parameters if p.trainable and p.called]
        outside = [p for p in trained if not p.in_optimizer]
        still = [p for p in trained if p.in_optimizer and not p.graded]
        if outside:
            yield RULE.finding(
                severity, _where(outside), _evidence(outside, model),
                "the optimiser was not given these parameters",
                "give it all of them: model.parameters()",
                safe=True, change={"optimizer_params": True}, prior=0.95,
                sure=len(outside) == len(trained) and any(optimizer.shared for optimizer in chart.optimizers),
            )  # fmt: skip
        if still and not cleared and detached(model) is None:
            yield RULE.finding(
                severity, _where(still), _evidence(still, model),
                "no gradient was there when the optimiser stepped: the path to the loss is cut",
                "look for detach(), .data, .item() or no_grad() in forward and on the way to the loss",
                safe=True, cause="detached_graph", change={"attach": True}, prior=0.9, sure=len(still) == len(trained),
            )  # fmt: skip


def _unowned(chart: Chart, well: bool) -> Iterator[Finding]:
    """Layers whose weights the model does not know as its own: kept in a plain list or dict."""
    strays = [o for model in chart.models for o in model.operations if o.weighted and o.trainable and not o.owned]
    if strays:
        yield RULE.finding(
            "warning",
            "layers outside the model's parameters",
            {"layers": len(strays), "first_is": strays[0].name, "of": f"{strays[0].inputs} to {strays[0].outputs}"},
            "these layers are no part of the model's parameters, so no optimiser is given them",
            "keep layers in nn.ModuleList or nn.ModuleDict, not in a plain list or dict",
            safe=True,
            prior=0.95,
            sure=not well,
        )


def _where(parameters: Sequence[ParameterFacts]) -> str:
    names = [p.name for p in parameters]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _evidence(parameters: Sequence[ParameterFacts], model: ModelFacts) -> dict[str, float]:
    total = sum(p.size for p in model.parameters)
    size = sum(p.size for p in parameters)
    return {"parameters": size, "share_of_model": size / max(total, 1), "measured_steps": model.measured}

"""Each rule of the set-up speaks on the chart of a sick program and is silent on that of a healthy one like it."""

import importlib
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import glia
from glia.doctor.changes import LOSS_NAMES, bare_layers
from glia.doctor.checks import setup
from glia.doctor.examine import modules
from glia.doctor.finding import Finding
from glia.vitals.chart import (
    BirthFacts,
    Chart,
    LabelFacts,
    LayerVitals,
    LoopFacts,
    LossFacts,
    ModelFacts,
    OperationFacts,
    OptimizerFacts,
    ParameterFacts,
    ScoreFacts,
    Spread,
    StepVitals,
)

CHECKS = {module.RULE.code: module.check for module in modules() if module.__name__.startswith(setup.__name__)}


def found(code: str, chart: Chart) -> list[Finding]:
    return list(CHECKS[code](chart))


def one(code: str, chart: Chart) -> Finding:
    findings = found(code, chart)
    assert len(findings) == 1, findings
    finding = findings[0]
    assert finding.code == code and finding.where and finding.why and finding.cure
    assert 0 < finding.prior <= 1
    return finding


# Charts made by hand.


def op(name: str, inputs: int = 0, outputs: int = 0, **more: Any) -> OperationFacts:
    """A layer has the weights that torch draws."""
    layer = {"fan_in": inputs, "std": 0.577 / math.sqrt(inputs), "mean": 0.0, "bias": 0.0} if inputs else {}
    return OperationFacts(name, more.pop("module", name), inputs, outputs, **{**layer, **more})


def linear(inputs: int, outputs: int, module: str = "linear", **more: Any) -> OperationFacts:
    return op("linear", inputs, outputs, module=module, **more)


MLP = (linear(8, 32, "0"), op("relu"), linear(32, 3, "2"))
KINDS = {
    "classes": LabelFacts("train", "classes", "index", 100, 3, (30, 30, 40), Spread(1, 0.8, 0, 2), True),
    "binary": LabelFacts("train", "binary", "column", 100, 2, (50, 50), Spread(0.5, 0.5, 0, 1), True),
    "multilabel": LabelFacts("train", "multilabel", "raw", 100, 4, (50,) * 4, Spread(0.5, 0.5, 0, 1), True),
    "numbers": LabelFacts("train", "numbers", "raw", 100, 0, (), Spread(10.0, 20.0, -30.0, 60.0)),
}


def told(kind: str = "cross_entropy", output: str = "none", labels: str = "classes", **more: Any) -> Chart:
    """A network whose loss, last activation and labels are known."""
    outputs = more.pop("outputs", {"classes": 3, "multilabel": 4}.get(labels, 1))
    operations = more.pop("operations", (*MLP[:2], linear(32, outputs, "2")))
    known = more.pop("known", KINDS[labels])
    loss = LossFacts(kind, value=1.0, total=1.0, outputs=outputs, times=1.0, added=0.0, chance=1.0, **more)
    return Chart(losses=[loss], labels=[known], models=[ModelFacts("Net", operations=operations, output=output)])


def numbers(low: float, high: float) -> LabelFacts:
    return replace(KINDS["numbers"], values=Spread((low + high) / 2, (high - low) / 4, low, high))


def built(*operations: OperationFacts, **more: Any) -> Chart:
    return Chart(models=[ModelFacts("Net", operations=operations)], **more)


def moving(loss: float = 1.0, **more: Any) -> list[StepVitals]:
    return [StepVitals(i, loss, lr=0.1, **more) for i in range(20)]


TO_CLASSES = {"loss": "CrossEntropyLoss", "target": "index", "output_activation": "none"}
TO_LOGITS = {"loss": "BCEWithLogitsLoss", "output_activation": "none"}
NOTHING = {"output_activation": "none"}
SIGMOID = {"output_activation": "sigmoid"}
MISSING, WRONG = "missing_output_activation", "wrong_output_activation"


@pytest.mark.parametrize(
    ("chart", "cause", "change", "prior"),
    [
        (told(output="softmax"), WRONG, NOTHING, 0.9),
        (told(applied="softmax"), WRONG, NOTHING, 0.9),
        (told(output="relu"), WRONG, NOTHING, 0.9),
        (told(output="softmax+log_softmax"), WRONG, NOTHING, 0.9),
        (told("bce_logits", "sigmoid", "binary"), WRONG, NOTHING, 0.9),
        (told("nll"), MISSING, TO_CLASSES, 0.95),
        (told("log"), MISSING, TO_CLASSES, 0.95),
        (told("bce", labels="binary"), MISSING, TO_LOGITS, 0.95),
        (told("nll", "softmax"), WRONG, TO_CLASSES, 0.9),
        (told("log", "relu"), WRONG, TO_CLASSES, 0.9),
        (told("log", "sigmoid"), WRONG, TO_CLASSES, 0.7),
        (told("bce", "relu", "binary"), WRONG, SIGMOID, 0.9),
        (told("bce", "tanh", "multilabel"), WRONG, SIGMOID, 0.9),
        (told("mse", "sigmoid", "numbers"), WRONG, NOTHING, 0.9),
        (told("mse", "tanh", "numbers"), WRONG, NOTHING, 0.9),
        (told("mse", "relu", "numbers"), WRONG, NOTHING, 0.9),
        (told("mse", "relu", "numbers", known=numbers(2, 9)), WRONG, NOTHING, 0.5),
        (told("bce", "softmax", "multilabel"), WRONG, SIGMOID, 0.9),
        (told("mse", "softmax", "multilabel"), WRONG, SIGMOID, 0.9),
        (told("mse", "hardtanh", "numbers"), WRONG, NOTHING, 0.95),
        (told(operations=(*MLP, op("round"))), WRONG, TO_CLASSES, 1.0),
    ],
)  # fmt: skip
def test_outputs_that_the_loss_cannot_take(chart: Chart, cause: str, change: dict[str, Any], prior: float) -> None:
    finding = one("GL203", chart)
    assert (finding.cause, finding.change, finding.prior) == (cause, change, prior)
    twice = finding.why.startswith("the outputs pass through s")  # a softmax or a sigmoid that the loss applies itself
    assert finding.alarms and finding.sure == twice


@pytest.mark.parametrize(
    ("kind", "labels", "change"),
    [("bce", "binary", SIGMOID), ("mse", "numbers", NOTHING), ("bce_logits", "binary", SIGMOID)],
)
def test_a_softmax_over_one_unit_is_sure(kind: str, labels: str, change: dict[str, Any]) -> None:
    finding = one("GL203", told(kind, "softmax", labels))
    assert (finding.severity, finding.sure, finding.prior, finding.change) == ("error", True, 1.0, change)


def test_cross_entropy_over_one_unit_is_always_zero() -> None:
    finding = one("GL203", told(outputs=1, labels="binary"))
    assert finding.sure and finding.change == TO_LOGITS
    assert F.cross_entropy(torch.randn(5, 1), torch.zeros(5, dtype=torch.long)).item() == 0


@pytest.mark.parametrize(
    "chart",
    [
        told(),
        told(output="log_softmax"),
        told("nll", "log_softmax"),
        told("log", "softmax"),
        told("log", "softmax+clamp"),
        told("log", "log_softmax+exp"),
        told("bce", "sigmoid", "binary"),
        told("bce", "sigmoid+clamp", "multilabel"),
        told("bce_logits", labels="binary"),
        told("mse", labels="numbers"),
        told("mse", "sigmoid", "numbers", known=numbers(0, 1)),
        told("mse", "tanh", "numbers", known=numbers(-1, 1)),
        told("mse", "softplus", "numbers", known=numbers(0, 9)),
        told(output="other"),
        told("nll", ""),
        told("bce", "other", "binary"),
        told(output="softmax", classes=3, operations=(*MLP[:2], linear(32, 1, "score"))),
        told(operations=(*MLP, op("round"), op("detach"))),
        told("unknown", "softmax"),
        Chart(losses=[LossFacts("nll", before=("Log", "Softmax"))]),
        Chart(losses=[LossFacts("bce", before=("Add", "Sigmoid"))]),
        Chart(losses=[LossFacts("cross_entropy", before=("LogSoftmax", "View", "LogSoftmax"))]),
    ],
)
def test_outputs_that_fit(chart: Chart) -> None:
    assert found("GL203", chart) == []


@pytest.mark.parametrize(
    ("kind", "before"), [("cross_entropy", ("LogSoftmax", "Softmax")), ("bce_logits", ("View", "Sigmoid"))]
)
def test_the_graph_alone_shows_what_is_applied_twice(kind: str, before: tuple[str, ...]) -> None:
    chart = Chart(losses=[LossFacts(kind, before=before, outputs=4)])
    assert one("GL203", chart).change == NOTHING


@pytest.mark.parametrize(
    ("chart", "change", "prior"),
    [
        (told("l1"), TO_CLASSES, 0.7),
        (told("mse", "softmax"), TO_CLASSES, 0.6),
        (told("bce", "sigmoid"), TO_CLASSES, 0.5),
        (told("hinge", "softmax"), TO_CLASSES, 0.6),
        (told("hinge"), TO_CLASSES, 0.5),
        (told("mse", "sigmoid", "binary"), {"loss": "BCELoss"}, 0.6),
        (told("l1", labels="binary"), TO_LOGITS, 0.7),
        (told("bce_logits", labels="numbers"), {"loss": "MSELoss", **NOTHING}, 0.9),
        (told("hinge", labels="numbers"), {"loss": "MSELoss", **NOTHING}, 0.9),
    ],
)  # fmt: skip
def test_losses_that_do_not_fit_the_task(chart: Chart, change: dict[str, Any], prior: float) -> None:
    finding = one("GL221", chart)
    assert (finding.cause, finding.change, finding.prior) == ("wrong_loss", change, prior)


@pytest.mark.parametrize(
    "chart",
    [
        told(),
        told("log", "softmax"),
        told("bce", "sigmoid", "binary"),
        told("bce", "sigmoid", "multilabel"),
        told("bce_logits", labels="numbers", known=numbers(0, 1)),  # shares, pixels
        told("hinge", labels="numbers", known=replace(numbers(-1, 1), whole=True)),
        told("smooth_l1", labels="numbers"),
        told("unknown"),
    ],
)
def test_losses_that_fit_the_task(chart: Chart) -> None:
    assert found("GL221", chart) == []


def test_classes_coded_for_a_hinge_behind_a_softmax() -> None:
    rows, classes = 100, 4
    signs = LabelFacts("train", "numbers", "raw", rows, 2, (300, 100), Spread(-0.5, 0.87, -1, 1), True)
    assert sum(signs.counts) == rows * classes
    finding = one("GL221", told("unknown", "softmax", "numbers", known=signs))
    assert (finding.change, finding.prior) == (TO_CLASSES, 0.6)
    assert found("GL221", told("unknown", "none", "numbers", known=signs)) == []
    yes_or_no = replace(signs, counts=(60, 40))
    assert found("GL221", told("unknown", "sigmoid", "numbers", known=yes_or_no)) == []


def whole(high: float, kind: str = "numbers") -> LabelFacts:
    return LabelFacts("train", kind, "column", 100, int(high) + 1, (), Spread(high / 2, high / 4, 0, high), True)


def test_classes_on_one_output() -> None:
    for chart in (
        told("bce_logits", labels="numbers", known=whole(4)),
        told("mse", "sigmoid", "numbers", known=whole(4)),
        told("mse", labels="numbers", known=whole(4, "classes")),
    ):
        finding = one("GL220", chart)
        assert finding.change == {**TO_CLASSES, "output_units": 5}
        assert found("GL221", chart) == found("GL203", chart) == []
    assert one("GL220", told("bce", "softmax", "numbers", known=whole(2))).sure
    few = told(known=replace(KINDS["classes"], classes=7))
    assert one("GL220", few).prior == 0.95
    for well in (
        told(),
        told(outputs=1000),
        told("mse", labels="numbers", known=whole(80)),
        told("bce", "sigmoid", "binary"),
    ):
        assert found("GL220", well) == []


def test_a_flipped_sign() -> None:
    finding = one("GL202", told("mse", labels="numbers", sign=-1))
    assert finding.sure and finding.change == {"loss": "MSELoss"}
    learns = told(sign=-1)
    learns.scores = [ScoreFacts("accuracy", "valid", 0.9, 0.3)]
    assert found("GL202", learns) == found("GL202", told()) == found("GL202", told("unknown", sign=-1)) == []


def test_names_of_losses_are_those_that_a_cure_knows() -> None:
    for kind, name in LOSS_NAMES.items():
        change = one("GL202", told(kind, sign=-1)).change
        assert change["loss"] == (name if kind != "log" else "CrossEntropyLoss")


def test_a_summed_loss() -> None:
    assert one("GL213", told("mse", labels="numbers", summed=True)).change == {"loss": "MSELoss"}
    assert found("GL213", told()) == []


def test_an_optimizer_that_never_steps() -> None:
    loop = LoopFacts(steps=0, unused_optimizers=1)
    assert one("GL201", Chart(loop=loop, backwards=40)).sure
    for well in (
        Chart(loop=replace(loop, steps=40), backwards=40),
        Chart(loop=replace(loop, unused_optimizers=0), backwards=40),
        Chart(loop=loop, backwards=40, birth=BirthFacts(0, "the loss")),
        Chart(),
    ):
        assert found("GL201", well) == []


def test_a_first_loss() -> None:
    assert one("GL204", Chart(losses=[LossFacts("cross_entropy", value=40.0, chance=2.3)])).change == {
        "init": "default"
    }
    assert found("GL204", Chart(losses=[LossFacts("cross_entropy", value=2.6, chance=2.3)])) == []
    assert found("GL204", Chart(losses=[LossFacts("mse", value=4000.0)])) == []


def test_weights_that_are_all_equal() -> None:
    same = linear(8, 32, "0", std=0.0, mean=0.5)
    finding = one("GL205", built(same, op("relu"), linear(32, 3)))
    assert (finding.prior, finding.sure) == (1.0, False)
    branch = linear(32, 32, "b", std=0.0)
    assert one("GL205", built(linear(8, 32), op("relu"), branch, linear(32, 3))).prior == 0.6
    assert found("GL205", built(linear(8, 32), op("relu"), linear(32, 3, std=0.0))) == []
    assert found("GL205", built(op("embedding", 8, 32, std=0.0), *MLP)) == []


@pytest.mark.parametrize(
    ("layer", "prior"),
    [
        (linear(64, 32, std=0.55), 0.565),
        (linear(64, 32, std=5.0), 0.85),
        (linear(64, 32, std=0.01), 0.6),
        (linear(64, 32, bias=1.0), 0.6),
    ],
)
def test_weights_off_their_scale(layer: OperationFacts, prior: float) -> None:
    finding = one("GL208", built(layer, op("relu"), linear(32, 3)))
    assert finding.prior == pytest.approx(prior)
    assert finding.change == {"init": "default"}


@pytest.mark.parametrize("draw", [nn.init.xavier_uniform_, nn.init.kaiming_normal_, nn.init.orthogonal_, lambda w: w])
def test_usual_first_weights_are_of_the_right_scale(draw: Callable[[Tensor], Tensor]) -> None:
    for inputs, outputs in ((8, 512), (512, 512), (512, 64)):
        weight = draw(nn.Linear(inputs, outputs).weight.detach())
        layer = linear(inputs, outputs, std=weight.std().item())
        last = linear(outputs, 3, std=0.0, bias=-4.0)  # begins at the share of each class
        assert found("GL208", built(op("embedding", 100, 8, std=5.0), layer, op("relu"), last)) == []


def held(name: str, **more: Any) -> ParameterFacts:
    return ParameterFacts(name, **{"size": 100, "graded": 20, **more})


def owner(*parameters: ParameterFacts, **more: Any) -> Chart:
    return Chart(models=[ModelFacts("Net", parameters=parameters, measured=20, operations=MLP)], **more)


def test_parameters_without_gradients() -> None:
    chart = owner(held("0.weight", in_optimizer=False), held("2.weight"))
    finding = one("GL206", chart)
    assert (finding.cause, finding.change) == ("params_not_in_optimizer", {"optimizer_params": True})
    chart.scores = [ScoreFacts("accuracy", "valid", 0.97, 0.3)]
    assert one("GL206", chart).severity == "note"
    chart = owner(held("0.weight", graded=0), held("2.weight"))
    assert one("GL206", chart).cause == "detached_graph"
    chart.loop = LoopFacts(steps=20, cleared_late=1.0)
    assert found("GL206", chart) == []
    for fine in ({}, {"called": False}, {"trainable": False}):
        unused = {"graded": 0} if fine else {}
        assert found("GL206", owner(held("0.weight", **unused, **fine), held("2.weight"))) == []


def test_gradients_that_are_not_cleared_or_too_late() -> None:
    kinds = [OptimizerFacts("SGD")]
    assert one("GL207", Chart(optimizers=kinds, steps=moving(carried=True))).sure
    assert found("GL207", Chart(optimizers=kinds, steps=moving(carried=False))) == []
    late = LoopFacts(steps=20, cleared_late=1.0)
    assert one("GL222", Chart(loop=late, steps=moving(grad_norm=0.0))).change == {"zero_grad": True}
    assert one("GL222", Chart(loop=late, steps=moving())).sure
    assert found("GL222", Chart(loop=late, steps=moving(grad_norm=1.0))) == []  # another optimiser's were cleared
    assert found("GL222", Chart(loop=replace(late, cleared_late=0.0), steps=moving())) == []
    assert found("GL222", Chart(loop=LoopFacts(), steps=moving())) == []


def test_frozen_parameters() -> None:
    frozen = held("0.weight", trainable=False)
    assert one("GL209", owner(frozen, held("2.weight", size=60))).change == {"train_all": True}
    assert found("GL209", owner(frozen, held("2.weight", size=500))) == []
    teacher = ModelFacts("Teacher", parameters=(frozen,))
    assert found("GL209", Chart(models=[ModelFacts("Net", parameters=(held("a"),)), teacher])) == []
    norms = ModelFacts(
        "Net", parameters=(held("n", size=900), held("w", trainable=False)), operations=(linear(8, 3, trainable=False),)
    )
    assert len(found("GL209", Chart(models=[norms]))) == 1


def test_a_cut_before_the_loss() -> None:
    loop = LoopFacts(steps=20, detached=1)
    assert one("GL211", Chart(loop=loop)).sure
    assert found("GL211", Chart(loop=loop, backwards=20)) == []
    assert found("GL211", replace_parameters(Chart(loop=loop), held("0.weight"))) == []  # gradients by hand
    operations = (MLP[0], op("detach"), *MLP[1:])
    blind, seeing = held("0.weight", graded=0), held("0.weight")
    assert one("GL211", replace_parameters(built(*operations), blind, held("2.weight"))).prior == 0.8
    assert found("GL206", replace_parameters(built(*operations), blind, held("2.weight"))) == []
    assert found("GL211", replace_parameters(built(*operations), seeing, held("2.weight"))) == []  # straight through
    assert found("GL211", built(*MLP, op("detach"))) == []


def replace_parameters(chart: Chart, *parameters: ParameterFacts) -> Chart:
    operations = chart.models[0].operations if chart.models else ()
    chart.models = [ModelFacts("Net", parameters=parameters, measured=20, operations=operations)]
    return chart


def test_shapes_that_are_stretched() -> None:
    assert one("GL212", told("mse", broadcast=((32, 1), (32,)))).change == {"target": "column"}
    assert one("GL212", told("mse", broadcast=((32,), (32, 1)))).change == {"target": "flat"}
    assert found("GL212", told("mse")) == []


def test_penalties() -> None:
    sick = told()
    sick.losses = [replace(sick.losses[0], added=9.0)]
    assert one("GL214", sick).change == {"l1": 0}
    sick.losses = [replace(sick.losses[0], added=1.0)]
    assert found("GL214", sick) == []
    for kind, decay, expected in (("SGD", 0.5, 1), ("AdamW", 0.1, 0), ("AdamW", 1.0, 1), ("Adam", 1e-4, 0)):
        chart = Chart(optimizers=[OptimizerFacts(kind, {"weight_decay": decay})])
        assert len(found("GL214", chart)) == expected


def test_dropout() -> None:
    def chart(p: float) -> Chart:
        return built(MLP[0], op("relu"), op("dropout", option=p), MLP[2])

    assert [one("GL215", chart(p)).prior for p in (0.7, 0.9)] == [0.7, 0.8]
    assert found("GL215", chart(0.5)) == found("GL215", built(*MLP)) == []


def test_bottlenecks() -> None:
    sick = built(linear(8, 1, "narrow"), op("relu"), linear(1, 32), op("relu"), linear(32, 3))
    assert one("GL217", sick).change == {"units": 32}
    digits = built(linear(64, 2), op("relu"), linear(2, 2), labels=[replace(KINDS["classes"], classes=10)])
    assert len(found("GL217", digits)) == 1
    for well in (
        built(*MLP),
        built(linear(64, 2), op("relu"), linear(2, 1)),
        built(linear(8, 32), linear(32, 1, "score"), op("softmax"), linear(32, 3)),
        built(linear(8, 32), linear(32, 1, "gate"), linear(32, 3)),
        built(linear(2, 2), op("relu"), linear(2, 32), op("relu"), linear(32, 3)),
    ):
        assert found("GL217", well) == []


def seen(name: str, given: Spread, output: Spread) -> LayerVitals:
    return LayerVitals(0, name, "Linear", output, given, weight_norm=1.0)


A, B, C = Spread(0, 1, -3, 3), Spread(0.1, 0.5, -2, 2), Spread(0.2, 0.4, -1, 1)


def test_layers_without_activation() -> None:
    bare = built(linear(8, 32, "0"), op("dropout", option=0.1), linear(32, 32, "1"), linear(32, 3, "2"))
    finding = one("GL218", bare)
    assert (finding.prior, finding.change) == (0.7, {"add_hidden_activation": "relu"})
    end = built(linear(8, 32, "0"), op("relu"), linear(32, 32, "1"), linear(32, 3, "2"))
    assert one("GL218", end).prior == 0.3
    middle = built(linear(8, 64, "0"), linear(64, 64, "1"), op("relu"), linear(64, 3, "2"))
    assert one("GL218", middle).prior == 0.6
    factors = built(linear(64, 64), op("relu"), linear(64, 8, "1"), linear(8, 64, "2"), op("relu"), linear(64, 3))
    assert one("GL218", factors).prior == 0.3
    for well in (built(*MLP), built(linear(8, 3)), built(op("lstm", 8, 32), linear(32, 3))):
        assert found("GL218", well) == []


def test_layers_side_by_side_are_told_apart_by_what_they_are_given() -> None:
    names = ("q", "k", "v", "out")
    operations = [linear(32, 32, name) for name in names]
    beside = [seen(name, A, B) for name in names[:3]] + [seen("out", C, B)]
    assert found("GL218", built(*operations, op("relu"), linear(32, 3), layers=beside)) == []
    row = [seen("q", A, B), seen("k", B, C), seen("v", C, A), seen("out", A, C)]
    assert one("GL218", built(*operations, op("relu"), linear(32, 3), layers=row)).prior == 0.6


def deep(name: str, depth: int, **more: Any) -> Chart:
    hidden = [step for i in range(depth) for step in (linear(32, 32, str(i)), op(name))]
    return built(*hidden, linear(32, 3, "last"), **more)


@pytest.mark.parametrize(
    ("name", "depth", "prior"),
    [
        ("sigmoid", 1, 0.35),
        ("sigmoid", 3, 0.6),
        ("sigmoid", 6, 0.85),
        ("tanh", 8, 0.5),
        ("softmax", 1, 0.8),
        ("sign", 1, 0.8),
    ],
)
def test_hidden_activations_that_saturate(name: str, depth: int, prior: float) -> None:
    finding = one("GL219", deep(name, depth))
    assert (finding.prior, finding.change) == (prior, {"hidden_activation": "relu"})


def test_hidden_activations_that_are_well() -> None:
    for well in (deep("relu", 9), deep("tanh", 4), built(*MLP, op("sigmoid")), built(*MLP, op("softmax"))):
        assert found("GL219", well) == []
    gate = [seen("last", Spread(0, 1, -3, 3), A)]  # x * sigmoid(x) is not between 0 and 1
    assert found("GL219", deep("sigmoid", 1, layers=gate)) == found("GL219", deep("softmax", 1, layers=gate)) == []
    assert len(found("GL219", deep("softmax", 1, layers=[seen("last", Spread(1 / 32, 0.02, 0, 0.3), A)]))) == 1
    attention = built(*(linear(32, 32, name) for name in "qkv"), op("softmax"), linear(32, 32, "out"), linear(32, 3))
    assert found("GL219", attention) == []


def test_a_fading_gradient_makes_sigmoids_likelier() -> None:
    layers = [
        LayerVitals(0, str(i), "Linear", grad_norm=norm, weight_norm=1.0, input=Spread(0.5, 0.1, 0.2, 0.8))
        for i, norm in enumerate((1e-5, 1e-3, 1e-1, 1.0))
    ]
    assert one("GL219", deep("sigmoid", 3, layers=layers)).prior == 0.85


def test_an_unstable_loss() -> None:
    sick = told("log", "softmax", unstable=True)
    assert (one("GL223", sick).sure, one("GL223", sick).change) == (False, TO_CLASSES)
    sick.birth = BirthFacts(7, "the loss")
    assert one("GL223", sick).sure
    sick.birth = BirthFacts(7, "the inputs")
    assert not one("GL223", sick).sure
    yes = told("bce", "sigmoid", "binary", unstable=True)
    yes.steps = moving(math.inf)
    assert one("GL223", yes).sure and one("GL223", yes).change == TO_LOGITS
    assert found("GL223", told("log", "softmax")) == found("GL223", told("mse", unstable=True)) == []


@pytest.mark.parametrize("code", sorted(CHECKS))
def test_nothing_is_said_where_nothing_is_known(code: str) -> None:
    empty = Chart(
        losses=[LossFacts("unknown")],
        models=[ModelFacts("Net", operations=(OperationFacts("linear"), OperationFacts("relu")))],
        optimizers=[OptimizerFacts("SGD")],
        labels=[LabelFacts("train")],
        loop=LoopFacts(),
        steps=[StepVitals(0)],
        layers=[LayerVitals(0, "", "Linear")],
    )
    assert found(code, Chart()) == found(code, empty) == []
    module = next(m for m in modules() if m.RULE.code == code)
    assert importlib.import_module(module.__name__).__doc__.startswith(f"{module.RULE.name} ({code})\n")


# Real programs.

X = torch.randn(128, 8, generator=torch.Generator().manual_seed(1))
Y = (X @ torch.randn(8, 3, generator=torch.Generator().manual_seed(2))).argmax(1)
VALUE = X[:, :1] * 2 + 1


def net(outputs: int = 3, *more: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), *more, nn.Linear(16, outputs))


def run(
    model: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    y: Tensor = Y,
    order: str = "zero backward step",
    evaluate: str = "",
) -> Chart:
    """Thirty steps in the given order, with a look at held-out rows in the given mode."""
    with glia.listen() as chart:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for step in range(30):
            rows = torch.arange(step * 32, step * 32 + 32) % 96
            scalar = loss(model(X[rows]), y[rows])
            for act in order.split():
                {"zero": optimizer.zero_grad, "backward": scalar.backward, "step": optimizer.step}[act]()
        if evaluate:
            model.train(evaluate == "train")
            with torch.no_grad():
                loss(model(X[96:]), y[96:])
    assert chart.notes == [], chart.notes
    return chart


class Residual(nn.Module):
    """Two layers that add to what they are given, then a norm; and an answer for each of four positions."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.a, self.b, self.last = (nn.Linear(n, m) for n, m in ((2, 16), (16, 16), (16, 16), (16, 3)))
        self.norm, self.other, self.drop = nn.LayerNorm(16), nn.LayerNorm(16), nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x.reshape(len(x), 4, 2)))
        x = self.norm(x + self.drop(self.a(x)))
        x = self.other(x + F.dropout(self.b(x), 0.1, self.training))
        return self.last(x).transpose(1, 2)


class Cut(nn.Module):
    """The layers before the last one are not told anything."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = net()[:-1], net()[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).detach())


SICK: dict[str, tuple[str, Callable[[], Chart]]] = {
    "no step": ("GL201", lambda: run(net(), order="zero backward")),
    "minus": ("GL202", lambda: run(net(), lambda o, y: -F.cross_entropy(o, y))),
    "softmax twice": ("GL203", lambda: run(net(), lambda o, y: F.cross_entropy(o.softmax(1), y))),
    "raw to nll": ("GL203", lambda: run(net(), F.nll_loss)),
    "never cleared": ("GL207", lambda: run(net(), order="backward step")),
    "cut": ("GL211", lambda: run(Cut())),
    "no backward": ("GL211", lambda: run(net(), order="zero step")),
    "stretched": ("GL212", lambda: run(net(1), F.mse_loss, VALUE[:, 0])),
    "summed": ("GL213", lambda: run(net(), lambda o, y: F.cross_entropy(o, y, reduction="sum") / 1)),
    "bare": ("GL218", lambda: run(nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 3)))),
    "squares": ("GL221", lambda: run(net(), lambda o, y: F.mse_loss(o, F.one_hot(y, 3).float()))),
    "cleared late": ("GL222", lambda: run(net(), order="backward zero step")),
}
WELL: dict[str, Callable[[], Chart]] = {
    "classes": lambda: run(net(3, nn.Dropout(0.2)), evaluate="eval"),
    "log_softmax": lambda: run(nn.Sequential(net(), nn.LogSoftmax(1)), F.nll_loss),
    "numbers": lambda: run(net(1), F.mse_loss, VALUE),
    "yes or no": lambda: run(nn.Sequential(net(1), nn.Sigmoid()), F.binary_cross_entropy, (VALUE > 0).float()),
    "positions": lambda: run(Residual(), y=(X.reshape(128, 4, 2).sum(2) > 0).long()),
    "cleared after": lambda: run(net(), order="backward step zero"),
}


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", SICK)
def test_a_sick_program(name: str) -> None:
    code, program = SICK[name]
    chart = program()
    assert [f.code for f in found(code, chart) if f.alarms] == [code]


@pytest.mark.parametrize("name", WELL)
def test_a_healthy_program(name: str) -> None:
    chart = WELL[name]()
    assert {code: found(code, chart) for code in CHECKS if found(code, chart)} == {}


def test_a_bare_layer_is_where_the_cure_puts_its_activation() -> None:
    chart = SICK["bare"][1]()
    said = one("GL218", chart).evidence["layers_without_activation"]
    assert said == len(bare_layers(chart.bench.steps)) == 2

"""Every rule finds its fault in a real program, and is silent on one that looks like it and is well."""

import importlib
import pkgutil

import pytest
from fault_pairs import PAIRS, Plain, accumulating, frozen_body, simple, sparse_cnn
from modes_and_clocks import FAINT, NOTES

from glia.catalog.entry import names
from glia.doctor import checks
from glia.doctor.examine import STAGES, examine, rules, suspect
from glia.doctor.finding import Finding
from glia.doctor.learning import learning
from glia.vitals.chart import BatchFacts, Chart, EpochVitals, LayerVitals, LossFacts, ParameterFacts, Spread, StepVitals


def alarms(chart: Chart) -> list[Finding]:
    return [finding for finding in examine(chart) if finding.alarms]


def codes(chart: Chart) -> list[str]:
    return [finding.code for finding in alarms(chart)]


def test_every_pair_is_of_a_rule():
    assert set(PAIRS) <= {rule.code for rule in rules()}


@pytest.mark.parametrize("code", PAIRS)
def test_the_fault_is_found(code):
    chart = PAIRS[code][0]()
    found = next(finding for finding in suspect(chart) if finding.code == code)
    assert found.alarms == (code not in NOTES)
    assert all((found.where, found.evidence, found.why, found.cure))
    assert found.cause in names("causes")
    assert 0 < found.prior <= 1
    assert alarms(chart) or code in NOTES | FAINT
    assert not chart.notes


@pytest.mark.parametrize("code", PAIRS)
def test_the_healthy_twin_is_left_in_peace(code):
    chart = PAIRS[code][1]()
    assert alarms(chart) == []
    assert code not in {finding.code for finding in examine(chart)}
    assert chart.steps or chart.epochs
    assert not chart.notes


def test_the_healthy_twins_do_show_the_symptom():
    relus = [layer for layer in sparse_cnn().layers if layer.kind == "ReLU"]
    assert max(layer.output.zeros for layer in relus) > 0.7
    assert max(step.backwards for step in accumulating().steps) == 4
    assert not all(p.trainable for p in frozen_body().models[0].parameters)


def test_a_relu_that_is_a_plain_function_is_seen_through_the_next_layer():
    assert ("GL303", "input of b (Linear)") in [(f.code, f.where) for f in alarms(simple(Plain(shift=30.0)))]
    assert codes(simple(Plain(shift=0.0))) == []


def test_every_rule_says_what_it_means():
    seen = []
    for stage in STAGES:
        room = importlib.import_module(f"{checks.__name__}.{stage}")
        for _, name, _ in pkgutil.iter_modules(room.__path__):
            module = importlib.import_module(f"{room.__name__}.{name}")
            seen.append(module.RULE)
            assert module.RULE.name == name.replace("_", "-")
            assert module.RULE.code.startswith(f"GL{STAGES.index(stage) + 1}")
            assert module.RULE.cause in names("causes")
            assert module.__doc__.startswith(f"{module.RULE.name} ({module.RULE.code})\n")
            for part in ("Finds:", "Hurts:", "Evidence:", "Cure:", "Not a fault when:", "Source:"):
                assert f"\n{part} " in module.__doc__, (module.__name__, part)
    assert set(seen) == set(rules())


# On charts made by hand: where the line is drawn.


def falling(first: float, last: float, steps: int = 200) -> list[StepVitals]:
    return [StepVitals(i, first + (last - first) * i / (steps - 1), lr=0.1) for i in range(steps)]


def test_large_inputs_are_no_fault_in_a_run_that_learns():
    layers = [LayerVitals(0, "0", "Linear", input=Spread(120.0, 70.0, 0.0, 255.0), weight_norm=1.0)]
    assert "GL101" in codes(Chart(steps=falling(2.3, 2.29), layers=layers))
    assert codes(Chart(steps=falling(2.3, 0.4), layers=layers)) == []


def test_zeros_that_move_are_not_dead_units():
    def layers(dead: float) -> list[LayerVitals]:
        return [LayerVitals(i, "1", "ReLU", Spread(zeros=0.9, dead=dead, rows=32)) for i in range(20)]

    assert codes(Chart(steps=falling(2.3, 2.3), layers=layers(0.95))) == ["GL303"]
    assert "GL303" not in codes(Chart(steps=falling(2.3, 2.3), layers=layers(0.1)))
    assert codes(Chart(steps=falling(2.3, 0.3), layers=layers(0.95))) == []


def test_a_loss_that_starts_at_its_end_because_it_was_trained_before_is_no_fault():
    trained = LossFacts("cross_entropy", value=0.2, total=0.2, classes=10, chance=2.3)
    assert codes(Chart(steps=falling(0.2, 0.199), losses=[trained])) == []
    fresh = LossFacts("cross_entropy", value=2.3, total=2.3, classes=10, chance=2.3)
    assert codes(Chart(steps=falling(2.3, 2.299), losses=[fresh])) == ["GL301"]


def test_summed_losses_are_compared_in_their_own_units():
    summed = LossFacts("cross_entropy", value=2.3, total=2.3 * 32, classes=10, chance=2.3)
    seen = learning(Chart(steps=falling(2.3 * 32, 1.15 * 32), losses=[summed]))
    assert seen is not None and seen.share == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("more", [{"losses": [LossFacts("unknown")]}, {"losses": [LossFacts("mse"), LossFacts("bce")]}])
def test_losses_that_need_not_fall_are_not_judged(more):
    assert learning(Chart(steps=falling(2.3, 2.3), **more)) is None
    assert codes(Chart(steps=falling(2.3, 2.3), **more)) == []


def test_a_loss_that_falls_below_zero_is_not_judged():
    assert learning(Chart(steps=falling(2.3, -50.0))) is None


def test_few_steps_say_nothing():
    assert codes(Chart(steps=falling(2.3, 2.3, steps=20))) == []


def test_one_infinite_step_that_was_skipped_is_no_fault():
    steps = falling(2.3, 0.3)
    steps[50] = StepVitals(50, loss=float("inf"))
    assert codes(Chart(steps=steps)) == []
    assert codes(Chart(steps=[*steps[:50], *(StepVitals(i, loss=float("nan")) for i in range(50, 90))])) == ["GL302"]


def test_a_layer_is_named_where_the_numbers_ended():
    layers = [LayerVitals(1, "a", "Linear"), LayerVitals(1, "b", "Linear", Spread(nonfinite=0.1))]
    steps = [StepVitals(0, 1.0), StepVitals(1, float("nan"))]
    assert examine(Chart(steps=steps, layers=layers))[0].where == "step 1, first in b (Linear)"


def test_missing_numbers_that_the_model_fills_are_no_fault():
    batches = [BatchFacts(0, inputs=Spread(nonfinite=0.2))]
    filled, bare = (
        [LayerVitals(0, "0", "Linear", input=Spread(0.0, 1.0, nonfinite=share), weight_norm=1.0)] for share in (0, 0.2)
    )
    assert codes(Chart(batches=batches, layers=filled)) == []
    assert codes(Chart(batches=batches, layers=bare)) == ["GL104"]
    assert codes(Chart(batches=batches, steps=falling(2.3, 0.3))) == []


def epochs(train: list[float], valid: list[float], **last: float) -> list[EpochVitals]:
    lines = [EpochVitals(i, figures={"train_loss": t, "valid_loss": v}) for i, (t, v) in enumerate(zip(train, valid))]
    return [*lines[:-1], EpochVitals(len(lines) - 1, figures={**lines[-1].figures, **last})]


def test_overfitting_needs_a_rise_and_a_gap():
    falls, rises = [1, 0.7, 0.5, 0.3, 0.1, 0.05], [1, 0.8, 0.7, 0.8, 1.0, 1.3]
    assert codes(Chart(epochs=epochs(falls, rises))) == ["GL401"]
    assert codes(Chart(epochs=epochs(falls, [1, 0.8, 0.7, 0.7, 0.71, 0.72]))) == []
    # Surer than it should be, but its answers are as good as on the training rows.
    assert codes(Chart(epochs=epochs(falls, rises, train_accuracy=0.95, valid_accuracy=0.93))) == []
    assert codes(Chart(epochs=epochs(falls, rises, train_accuracy=1.0, valid_accuracy=0.8))) == ["GL401"]


def test_a_parameter_of_an_unused_module_is_no_fault():
    from glia.vitals.chart import ModelFacts

    def chart(**facts: bool) -> Chart:
        parameters = (ParameterFacts("head.weight"), ParameterFacts("spare.weight", graded=0, **facts))
        return Chart(steps=falling(2.3, 2.29), models=[ModelFacts("Net", parameters=parameters, measured=20)])

    assert "GL206" in codes(chart())
    assert "GL206" not in codes(chart(called=False))
    assert "GL206" not in codes(chart(trainable=False))

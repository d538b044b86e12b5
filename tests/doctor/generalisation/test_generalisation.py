"""What the answers on both parts of the rows say, and in which mode they were asked."""

import pytest

from glia.doctor.checks.generalisation import (
    evaluation_in_train_mode,
    no_validation,
    overfitting,
    training_in_eval_mode,
    underfitting,
    valid_better_than_train,
)
from glia.doctor.course import apart
from glia.vitals.chart import (
    Chart,
    EpochVitals,
    LoopFacts,
    LossFacts,
    ModelFacts,
    OptimizerFacts,
    ParameterFacts,
    ScoreFacts,
    SplitFacts,
    StepVitals,
)


def scored(train: float, valid: float, rows: int = 1000, **more: object) -> Chart:
    scores = [ScoreFacts("accuracy", "train", train, 0.1, 5000), ScoreFacts("accuracy", "valid", valid, 0.1, rows)]
    return Chart(scores=scores, **more)


def network(weights: int, *modules: str) -> list[ModelFacts]:
    return [ModelFacts("Net", tuple((name, name) for name in modules), (ParameterFacts("w", weights),))]


def test_rows_known_by_heart_are_a_fault_however_the_losses_look():
    (found,) = overfitting.check(scored(1.0, 0.5))
    assert found.sure and found.alarms and found.cause == "overfit"
    assert not list(overfitting.check(scored(1.0, 0.8)))
    assert not list(overfitting.check(scored(0.7, 0.3)))  # training rows are not known either
    assert not list(overfitting.check(scored(1.0, 0.6, rows=12)))  # twelve rows cannot tell


def test_what_is_known_by_heart_and_does_no_harm_is_no_fault():
    """As of 6,920 sentences: every training row right, four of five others, and the validation loss at its lowest."""

    def course(*losses: float) -> list[EpochVitals]:
        falls = zip((0.66, 0.46, 0.34, 0.29, 0.27), losses)
        return [EpochVitals(i, figures={"train_loss": t, "valid_loss": v}) for i, (t, v) in enumerate(falls)]

    kept, rises = (0.525, 0.442, 0.423, 0.418, 0.420), (0.525, 0.442, 0.423, 0.48, 0.52)
    assert not list(overfitting.check(scored(0.996, 0.65, epochs=course(*kept))))
    assert list(overfitting.check(scored(0.996, 0.65, epochs=course(*rises))))
    assert list(overfitting.check(scored(0.996, 0.4, epochs=course(*kept))))  # held-out rows are mostly guessed
    assert list(overfitting.check(scored(0.996, 0.65, epochs=course(0.5, 0.5, 0.5, 0.5, 0.5))))  # it never fell


def test_the_doubt_of_few_rows_is_two_standard_errors():
    chart = scored(1.0, 0.5, rows=100)
    assert apart(chart) == pytest.approx(0.5 / 0.9 - 2 * (0.5 * 0.5 / 100) ** 0.5 / 0.9)
    assert apart(Chart()) == 0


def test_a_large_network_on_few_rows_lacks_regularisation_unless_it_has_some():
    few = LoopFacts(rows=200, epochs=5)
    bare = scored(1.0, 0.5, models=network(100_000), loop=few)
    assert [f.cause for f in overfitting.check(bare)] == ["missing_regularisation"]
    dropped = scored(1.0, 0.5, models=network(100_000, "Dropout"), loop=few)
    decayed = scored(
        1.0, 0.5, models=network(100_000), loop=few, optimizers=[OptimizerFacts("SGD", {"weight_decay": 0.1})]
    )
    assert [f.cause for chart in (dropped, decayed) for f in overfitting.check(chart)] == ["overfit"] * 2


def test_poor_answers_on_both_parts_ask_for_more_units_at_a_sound_rate_only():
    def flat(lr: float, train: float = 0.3, valid: float = 0.28) -> Chart:
        steps = [StepVitals(i, 2.0 + (i % 2) / 50, lr) for i in range(200)]
        loss = LossFacts("cross_entropy", value=2.3, total=2.3, classes=10, chance=2.3)
        return scored(train, valid, steps=steps, losses=[loss], optimizers=[OptimizerFacts("SGD")])

    (found,) = underfitting.check(flat(0.1))
    assert found.cause == "too_few_layers" and found.prior < 0.5  # no hidden layer was seen
    for chart in (flat(50.0), flat(0.1, train=0.9), flat(0.1, train=0.5, valid=0.15)):
        assert not list(underfitting.check(chart))


def test_better_held_out_answers_are_a_note_and_a_leak_where_rows_are_shared():
    (note,) = valid_better_than_train.check(scored(0.5, 0.9))
    (leak,) = valid_better_than_train.check(scored(0.5, 0.9, split=SplitFacts(shared=0.8)))
    assert (note.alarms, leak.alarms, leak.cause) == (False, True, "data_leak")
    assert not list(valid_better_than_train.check(scored(0.5, 0.9, models=network(9, "Dropout"))))
    assert not list(valid_better_than_train.check(scored(0.5, 0.9, split=SplitFacts(same=True))))
    assert not list(valid_better_than_train.check(scored(0.85, 0.9)))


def test_one_pass_over_the_rows_needs_no_validation():
    assert [f.severity for f in no_validation.check(Chart(loop=LoopFacts(5, 200)))] == ["note"]
    for loop in (None, LoopFacts(1, 200), LoopFacts(5, 200, validated=True), LoopFacts(5, 20)):
        assert not list(no_validation.check(Chart(loop=loop)))


@pytest.mark.parametrize(("share", "gain", "models", "severity"), [
    (1.0, float("nan"), 1, ["warning"]), (1.0, 0.4, 2, ["warning"]), (1.0, float("nan"), 2, ["note"]),
    (1.0, 0.0, 1, ["note"]), (0.5, float("nan"), 1, ["note"]), (0.0, float("nan"), 1, []), (float("nan"), 0.0, 1, []),
])  # fmt: skip
def test_evaluation_in_train_mode_counts_where_it_hurts(share, gain, models, severity):
    loop = LoopFacts(5, 200, evaluation_mode=share, mode_gain=gain, switches=True)
    chart = Chart(loop=loop, models=network(9) * models)
    assert [f.severity for f in evaluation_in_train_mode.check(chart)] == severity
    chart.loop = LoopFacts(5, 200, evaluation_mode=share, mode_gain=gain, switches=False)
    assert not list(evaluation_in_train_mode.check(chart))


def test_a_model_that_was_not_put_back_into_train_is_a_fault_and_one_held_in_eval_a_symptom():
    def chart(share: float, backwards: int = 200, trainable: bool = True) -> Chart:
        parameters = (ParameterFacts("a", trainable=trainable), ParameterFacts("b"))
        return Chart(
            loop=LoopFacts(5, 200, training_mode=share, switches=True),
            models=[ModelFacts("Net", parameters=parameters)],
            backwards=backwards,
        )

    def told(chart: Chart) -> list[tuple[str, bool]]:
        return [(f.severity, f.sure) for f in training_in_eval_mode.check(chart)]

    assert told(chart(0.2)) == [("warning", True)]
    assert told(chart(0.0)) == [("warning", False)]
    assert told(chart(0.1, backwards=1600)) == [("warning", False)]  # attacks need gradients of their own
    assert told(chart(0.0, trainable=False)) == [("note", False)]  # tuned with its norms held
    assert told(chart(1.0)) == told(chart(float("nan"))) == []

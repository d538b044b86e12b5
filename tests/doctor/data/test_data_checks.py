"""Every rule of the data stage finds its fault in measured data, and is silent on healthy data that looks like it."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn import datasets
from torch.nn import functional

from glia.doctor.checks import data
from glia.doctor.finding import Finding
from glia.vitals.chart import (
    BatchFacts,
    Chart,
    LayerVitals,
    LoopFacts,
    LossFacts,
    ModelFacts,
    OperationFacts,
    OptimizerFacts,
    RowsFacts,
    ScoreFacts,
    SplitFacts,
    Spread,
    StepVitals,
)
from glia.vitals.rows import label_facts, rows_facts, split_facts

CHECKS = [importlib.import_module(f"{data.__name__}.{each.name}") for each in pkgutil.iter_modules(data.__path__)]
Part = tuple[torch.Tensor, torch.Tensor]


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def order(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.randperm(rows, generator=torch.Generator().manual_seed(seed))


def measured(train: Part, valid: Part, outputs: int, loss: str = "cross_entropy", batch: int = 32) -> Chart:
    return Chart(
        rows=[rows_facts("train", train[0]), rows_facts("valid", valid[0])],
        labels=[label_facts("train", train[1], outputs), label_facts("valid", valid[1], outputs)],
        split=split_facts(*train, *valid),
        losses=[LossFacts(loss, outputs=outputs)],
        loop=LoopFacts(batch_size=batch),
    )


def halves(x: torch.Tensor, y: torch.Tensor, share: float = 0.7) -> tuple[Part, Part]:
    cut = int(share * len(x))
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


def set_of(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A data set that comes with scikit-learn, in an order of its own."""
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    mixed = order(len(x)).numpy()
    return torch.tensor(x[mixed], dtype=torch.float32), torch.tensor(y[mixed])


def scaled(x: torch.Tensor, share: float = 0.7) -> torch.Tensor:
    head = x[: int(share * len(x))]
    return (x - head.mean(0)) / head.std(0).clamp(min=1e-6)


def digits() -> tuple[Part, Part]:
    x, y = set_of("digits")
    return halves(x / 16, y)


def judged(chart: Chart) -> list[Finding]:
    return [finding for check in CHECKS for finding in check.check(chart)]


def codes(chart: Chart, notes: bool = True) -> set[str]:
    return {finding.code for finding in judged(chart) if notes or finding.alarms}


def only(chart: Chart, code: str) -> Finding:
    found = [finding for finding in judged(chart) if finding.code == code]
    assert len(found) == 1, judged(chart)
    assert all((found[0].where, found[0].evidence, found[0].why, found[0].cure))
    return found[0]


def blobs(rows: int = 600, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    y = torch.arange(rows) % classes
    y = y[order(rows)]
    return draw(rows, 6) + 2 * functional.one_hot(y, 6).float(), y


# Healthy data.


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "wine", "iris"])
def test_real_classes_scaled_on_the_training_rows(name: str) -> None:
    x, y = set_of(name)
    assert codes(measured(*halves(scaled(x), y), int(y.max()) + 1), notes=False) == set()


def test_real_numbers_to_predict() -> None:
    x, y = set_of("diabetes")
    y = ((y - y.mean()) / y.std()).float().unsqueeze(1)
    assert codes(measured(*halves(scaled(x), y), 1, "mse"), notes=False) == set()


@pytest.mark.parametrize("name", ["breast_cancer", "wine", "diabetes"])
def test_raw_tables_show_symptoms_and_nothing_sure(name: str) -> None:
    x, y = set_of(name)
    found = [finding for finding in judged(measured(*halves(x, y), 3)) if finding.alarms]
    assert not any(finding.sure for finding in found)
    assert {finding.code for finding in found} <= {"GL101", "GL102", "GL105"}


def sines() -> Chart:
    x = torch.linspace(-3, 3, 400)[order(400)].unsqueeze(1)
    return measured(*halves(x, x.sin()), 1, "mse")


def square_among_inputs() -> Chart:
    x = draw(400, 1)
    return measured(*halves(torch.cat([x, x**2], 1), x**2), 1, "mse")


def one_feature() -> Chart:
    x = draw(400, 1)
    return measured(*halves(x, 3 * x + 0.01 * draw(400, 1, seed=1)), 1, "mse")


def xor() -> Chart:
    x, y = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]), torch.tensor([[0.0], [1], [1], [0]])
    return measured((x, y), (x, y), 1, "bce")


def parity_of_bits() -> Chart:
    x = torch.randint(0, 2, (800, 6), generator=torch.Generator().manual_seed(0)).float()
    return measured(*halves(x, x.sum(1, keepdim=True) % 2), 1, "bce_logits")


def categories() -> Chart:
    values = torch.randint(0, 4, (600, 3), generator=torch.Generator().manual_seed(0))
    x = functional.one_hot(values, 4).flatten(1).float()
    return measured(*halves(x, (values[:, 0] > 1).long()), 2)


def sums_modulo() -> Chart:
    pairs = torch.cartesian_prod(torch.arange(23), torch.arange(23))[order(23 * 23)]
    return measured(*halves(pairs, pairs.sum(1) % 23), 23)


def words() -> Chart:
    text = torch.randint(0, 27, (3000,), generator=torch.Generator().manual_seed(0))
    windows = text.unfold(0, 4, 1)[order(2997)]
    return measured(*halves(windows[:, :3], windows[:, 3]), 27)


def series_split_in_time() -> Chart:
    series = (torch.arange(900) / 9).sin() + 0.1 * draw(900)
    windows = series.unfold(0, 20, 1)
    return measured(*halves(windows[:, :-1], windows[:, -1:]), 1, "mse")


def real_and_made_up_batches() -> Chart:
    y = (torch.arange(960) // 32 % 2).float().unsqueeze(1)
    return measured((draw(960, 4), y), (draw(100, 4, seed=1), y[:100]), 1, "bce_logits")


def sorted_in_one_batch() -> Chart:
    x, y = blobs()
    train, valid = halves(x, y)
    by_class = train[1].argsort(stable=True)
    return measured((train[0][by_class], train[1][by_class]), valid, 3, batch=420)


def autoencoder() -> Chart:
    (x, _), (v, _) = digits()
    return measured((x, x), (v, v), 64, "mse")


def many_labels() -> Chart:
    x = draw(400, 8)
    return measured(*halves(x, (x[:, :5] > 0).float()), 5, "bce_logits")


def soft_labels() -> Chart:
    x = draw(400, 8)
    return measured(*halves(x, x[:, :4].softmax(1)), 4)


def hard_task() -> Chart:
    x = draw(400, 8)
    return measured(*halves(x, torch.randint(0, 2, (400,), generator=torch.Generator().manual_seed(5))), 2)


HEALTHY: list[Callable[[], Chart]] = [
    sines, square_among_inputs, one_feature, xor, parity_of_bits, categories, sums_modulo, words, series_split_in_time,
    real_and_made_up_batches, sorted_in_one_batch, autoencoder, many_labels, soft_labels, hard_task,
]  # fmt: skip


@pytest.mark.parametrize("program", HEALTHY, ids=lambda program: program.__name__)
def test_healthy_data_is_left_in_peace(program: Callable[[], Chart]) -> None:
    assert codes(program(), notes=False) == set()


def test_an_empty_chart_says_nothing() -> None:
    assert judged(Chart()) == []
    bare = Chart(rows=[RowsFacts("train")], labels=[label_facts("train", torch.zeros(0), 1)], split=SplitFacts())
    assert judged(bare) == []


# Sick data, and what looks like it.


def layer(x: Spread, step: int = 0) -> LayerVitals:
    return LayerVitals(step, "0", "Linear", input=x, weight_norm=1.0)


def test_inputs_that_are_not_scaled() -> None:
    x, y = set_of("digits")
    train, valid = halves(16 * x, y)
    sick = measured(train, valid, 10)
    found = only(sick, "GL101")
    assert (found.cause, found.sure, dict(found.change)) == (
        "data_not_normalised",
        False,
        {"normalise_inputs": "standardize"},
    )
    assert found.prior >= 0.8
    norm_first = [OperationFacts("batch_norm"), OperationFacts("linear", fan_in=64)]
    healed = replace(sick, models=[ModelFacts("Net", operations=tuple(norm_first))])
    assert "GL101" not in codes(healed)
    behind_the_norm = replace(sick, layers=[layer(Spread(0.0, 1.0, -3.0, 3.0))])
    assert "GL101" not in codes(behind_the_norm)
    at_the_weights = replace(sick, layers=[layer(sick.rows[0].inputs)])
    assert "GL101" in codes(at_the_weights)
    tokens = torch.randint(0, 5000, (300, 20), generator=torch.Generator().manual_seed(0))
    assert codes(measured(*halves(tokens, torch.arange(300) % 2), 2)) == set()


def test_tiny_inputs_and_sparse_ones() -> None:
    x, y = blobs()
    assert only(measured(*halves(x * 1e-4, y), 3), "GL101").prior == 0.5
    sparse = 1e-3 * (torch.rand(600, 400, generator=torch.Generator().manual_seed(0)) < 0.05).float()
    assert "GL101" not in codes(measured(*halves(sparse, y), 3))


def test_columns_of_different_scales() -> None:
    x, y = blobs()
    sick = measured(*halves(x * torch.tensor([0.01, 1, 1, 1, 1, 9.0]), y), 3)
    assert only(sick, "GL102").cause == "data_not_normalised"
    assert "GL102" not in codes(measured(*halves(x * torch.tensor([0.01, 1, 1, 1, 1, 1]), y), 3))


def test_constant_and_equal_columns_are_notes() -> None:
    x, y = blobs()
    x[:, 1] = 4
    x[:, 3] = x[:, 2]
    found = [finding for finding in judged(measured(*halves(x, y), 3)) if finding.code == "GL103"]
    assert [finding.severity for finding in found] == ["note", "note"]
    assert found[0].evidence["first"] == [1]
    assert found[1].evidence["first"] == [[2, 3]]
    assert "GL103" not in codes(measured(*halves(draw(600, 6), y), 3))


def test_missing_numbers() -> None:
    x, y = blobs()
    x[5, 2] = float("nan")
    sick = measured(*halves(x, y), 3)
    broken = [StepVitals(i, float("nan")) for i in range(9)]
    found = only(replace(sick, steps=broken), "GL104")
    assert (found.cause, found.sure, found.severity, dict(found.change)) == (
        "nan_in_data",
        True,
        "error",
        {"impute": "mean"},
    )
    assert "GL104" not in codes(replace(sick, steps=[StepVitals(i, 1.0) for i in range(9)]))
    batch = BatchFacts(3, (32, 6), inputs=Spread(nonfinite=0.01))
    seen = replace(sick, batches=[batch], layers=[layer(Spread(0.0, 1.0, nonfinite=0.01), 3)])
    assert only(seen, "GL104").sure
    filled = replace(sick, steps=broken, batches=[batch], layers=[layer(Spread(0.0, 1.0), 3)])
    assert "GL104" not in codes(filled)


def test_missing_numbers_held_out_only() -> None:
    train, valid = halves(*blobs())
    valid[0][4, 1] = float("inf")
    assert not only(measured(train, valid, 3), "GL104").sure


def test_targets_of_another_scale() -> None:
    x, y = set_of("diabetes")
    train, valid = halves(scaled(x), y.unsqueeze(1).float())
    found = only(measured(train, valid, 1, "mse"), "GL105")
    assert (found.cause, found.sure, found.prior) == ("target_not_normalised", False, 0.8)
    chart = Chart(losses=[LossFacts("mse", targets=Spread(3.0, 8.0))])
    assert only(chart, "GL105").prior == 0.6
    assert codes(Chart(losses=[LossFacts("mse", targets=Spread(3.0, 2.0))])) == set()
    assert codes(Chart(losses=[LossFacts("cross_entropy", classes=300, targets=Spread(150.0, 80.0))])) == set()


@pytest.mark.parametrize(
    ("labels", "outputs", "cause"),
    [
        (torch.arange(300) % 3 + 1, 3, "labels_wrong_encoding"),
        (torch.arange(300) % 3 - 1, 3, "labels_wrong_encoding"),
        (torch.arange(300) % 5, 3, "wrong_output_units"),
    ],
)
def test_class_numbers_without_an_output(labels: torch.Tensor, outputs: int, cause: str) -> None:
    found = only(measured(*halves(draw(300, 4), labels), outputs), "GL106")
    assert (found.cause, found.sure, found.severity) == (cause, True, "error")


@pytest.mark.parametrize("loss", ["bce", "bce_logits"])
def test_labels_that_are_no_probabilities(loss: str) -> None:
    x = draw(300, 4)
    three = (torch.arange(300) % 3).float().unsqueeze(1)
    signs = (torch.arange(300) % 2 * 2 - 1).float().unsqueeze(1)
    assert only(measured(*halves(x, three), 1, loss), "GL106").cause == "wrong_output_units"
    assert only(measured(*halves(x, signs), 1, loss), "GL106").cause == "labels_wrong_encoding"
    assert "GL106" not in codes(measured(*halves(x, (three > 0).float()), 1, loss))
    assert "GL106" not in codes(measured(*halves(x, signs), 1, "hinge"))
    assert "GL106" not in codes(measured(*halves(x, three / 2), 1, loss))


def test_two_labels_that_a_sigmoid_cannot_answer() -> None:
    y = (torch.arange(300) % 2 * 255).float().unsqueeze(1)
    chart = measured(*halves(draw(300, 4), y), 1, "mse")
    assert only(replace(chart, models=[ModelFacts("Net", output="sigmoid")]), "GL106").prior > 0.5
    assert "GL106" not in codes(chart)


def test_one_class_only() -> None:
    chart = measured(*halves(draw(300, 4), torch.zeros(300, dtype=torch.long)), 2)
    assert not only(chart, "GL106").sure
    assert "GL106" not in codes(replace(chart, optimizers=[OptimizerFacts("Adam"), OptimizerFacts("Adam")]))


def test_a_rare_class() -> None:
    x, y = blobs(900)
    rare = (y != 0) | (torch.arange(900) % 20 == 0)
    found = only(measured(*halves(x[rare], y[rare]), 3), "GL107")
    assert (found.cause, found.sure) == ("class_imbalance", False)
    half = (y != 0) | (torch.arange(900) % 2 == 0)
    assert "GL107" not in codes(measured(*halves(x[half], y[half]), 3))
    assert "GL107" not in codes(measured(*halves(x[half], y[half]), 1000))


def test_rows_class_after_class() -> None:
    train, valid = digits()
    by_class = train[1].argsort(stable=True)
    sick = measured((train[0][by_class], train[1][by_class]), valid, 10)
    found = only(sick, "GL108")
    assert (found.cause, found.sure, dict(found.change)) == ("missing_shuffle", True, {"shuffle": True})
    assert "GL108" not in codes(replace(sick, loop=LoopFacts(batch_size=32, shuffled=True)))
    assert not only(replace(sick, loop=None), "GL108").sure


def test_a_column_that_is_the_answer_in_training_rows() -> None:
    train, valid = halves(*blobs())
    train[0][:, 4] = train[1].float()
    found = only(measured(train, valid, 3), "GL109")
    assert (found.cause, found.sure, found.severity) == ("data_leak", True, "error")
    assert found.evidence["column"] == 4
    valid[0][:, 4] = valid[1].float()
    assert only(measured(train, valid, 3), "GL109").severity == "note"
    assert "GL109" not in codes(measured(*halves(*blobs()), 3))


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_rows_in_both_parts(share: float) -> None:
    train, valid = digits()
    moved = int(share * len(valid[0]))
    both = torch.cat([train[0], valid[0][:moved]]), torch.cat([train[1], valid[1][:moved]])
    found = only(measured(both, valid, 10), "GL110")
    assert (found.cause, found.sure, found.severity) == ("data_leak", True, "warning")


def test_scoring_the_training_rows_is_a_note() -> None:
    train, _ = digits()
    assert [(f.code, f.severity) for f in judged(measured(train, train, 10)) if f.code == "GL110"] == [
        ("GL110", "note")
    ]


def test_pictures_in_two_versions() -> None:
    x = functional.interpolate(draw(500, 3, 6, 6), size=24, mode="bilinear")
    y = torch.arange(500) % 2
    train, valid = halves(x, y)
    assert "GL111" not in codes(measured(train, valid, 2))
    valid[0][:80] = train[0][:80] * 0.9 + 0.01 * draw(80, 3, 24, 24, seed=1)
    found = only(measured(train, valid, 2), "GL111")
    assert (found.cause, found.sure) == ("data_leak", True)


def test_texts_in_two_versions() -> None:
    tokens = torch.randint(0, 900, (500, 50), generator=torch.Generator().manual_seed(0))
    train, valid = halves(tokens, torch.arange(500) % 2)
    assert "GL111" not in codes(measured(train, valid, 2))
    valid[0][:80] = train[0][:80]
    valid[0][:80, 20] = 3
    assert only(measured(train, valid, 2), "GL111").sure


def test_scaled_before_the_split_is_a_note() -> None:
    x, y = set_of("wine")
    assert only(measured(*halves((x - x.mean(0)) / x.std(0), y), 3), "GL112").severity == "note"
    assert "GL112" not in codes(measured(*halves(scaled(x), y), 3))


@pytest.mark.parametrize("factor", [255.0, 1 / 255])
def test_held_out_rows_of_another_scale(factor: float) -> None:
    train, (x, y) = digits()
    chart = measured(train, (x * factor, y), 10)
    found = only(chart, "GL113")
    assert (found.cause, found.sure, found.severity) == ("val_preprocessing_mismatch", True, "error")


def test_another_scale_that_is_answered_well_is_a_note_unless_it_is_absurd() -> None:
    train, (x, y) = digits()
    good = [ScoreFacts("accuracy", "valid", 0.9, 0.1)]
    assert only(replace(measured(train, (x * 8, y), 10), scores=good), "GL113").severity == "note"
    assert only(replace(measured(train, (x * 255, y), 10), scores=good), "GL113").sure


def test_held_out_columns_in_another_order() -> None:
    train, (x, y) = digits()
    found = only(measured(train, (x[:, order(64)], y), 10), "GL113")
    assert found.cause == "val_preprocessing_mismatch"


def test_one_far_number_is_no_other_scale() -> None:
    train, valid = halves(*blobs())
    valid[0][0, 0] = 1e6
    assert "GL113" not in codes(measured(train, valid, 3))


@pytest.mark.parametrize("how", ["shifted", "shuffled"])
def test_training_labels_off_their_rows(how: str) -> None:
    (x, y), valid = digits()
    off = y.roll(7) if how == "shifted" else y[order(len(y), 3)]
    found = only(measured((x, off), valid, 10), "GL114")
    assert (found.cause, found.sure, found.where) == ("labels_corrupted", True, "the training labels")
    assert "GL114" not in codes(measured((x, y), valid, 10))


def test_half_the_training_labels_off_is_a_symptom() -> None:
    (x, y), valid = digits()
    off = torch.where(torch.rand(len(y), generator=torch.Generator().manual_seed(0)) < 0.6, y.roll(7), y)
    assert not only(measured((x, off), valid, 10), "GL114").sure


def test_held_out_labels_off_their_rows() -> None:
    train, (x, y) = digits()
    found = only(measured(train, (x, y.roll(7)), 10), "GL114")
    assert (found.where, found.sure) == ("the held-out labels", False)


def test_numbers_off_their_rows() -> None:
    x = draw(900, 2)
    train, valid = halves(x, x[:, :1] + x[:, 1:] ** 2)
    assert "GL114" not in codes(measured(train, valid, 1, "mse"))
    assert only(measured((train[0], train[1].roll(1)), valid, 1, "mse"), "GL114").sure


def test_windows_cut_out_of_the_training_series() -> None:
    windows = draw(800).cumsum(0).unfold(0, 12, 1)
    windows = (windows - windows.mean()) / windows.std()
    mixed = windows[order(len(windows))]
    sick = measured(*halves(mixed[:, :-1], mixed[:, -1:]), 1, "mse")
    assert only(sick, "GL115").severity == "note"
    assert "GL115" not in codes(measured(*halves(windows[:, :-1], windows[:, -1:]), 1, "mse"))


def test_every_rule_says_what_it_means() -> None:
    assert [check.RULE.code for check in sorted(CHECKS, key=lambda each: each.RULE.code)] == [
        f"GL{number}" for number in range(101, 118)
    ]
    for check in CHECKS:
        assert check.__doc__.startswith(f"{check.RULE.name} ({check.RULE.code})\n")
        assert check.__name__.rpartition(".")[2] == check.RULE.name.replace("-", "_")
        for part in ("Finds:", "Hurts:", "Evidence:", "Cure:", "Not a fault when:", "Source:"):
            assert f"\n{part} " in check.__doc__, (check.__name__, part)


def test_figures_are_plain_numbers() -> None:
    train, valid = digits()
    chart = measured((train[0] * 999, train[1].roll(7)), valid, 10)
    for finding in judged(chart):
        assert all(not isinstance(value, np.generic | torch.Tensor) for value in finding.evidence.values())


def test_held_out_rows_in_another_place() -> None:
    train, (x, y) = halves(*blobs())
    found = only(measured(train, (x * 0.5 + 5, y), 3), "GL113")
    assert (found.cause, found.sure) == ("val_preprocessing_mismatch", False)


def test_labels_of_sparse_rows_off_their_rows() -> None:
    y = torch.arange(1200) % 6
    likely = 0.03 + 0.1 * functional.one_hot(torch.arange(300) % 6, 6).T.float()
    x = torch.bernoulli(likely[y], generator=torch.Generator().manual_seed(0))
    mixed = order(1200)
    (rows, labels), valid = halves(x[mixed], y[mixed])
    assert codes(measured((rows, labels), valid, 6), notes=False) == set()
    assert only(measured((rows, labels.roll(1)), valid, 6), "GL114").cause == "labels_corrupted"

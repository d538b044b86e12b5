"""Answers: what labels are, from shapes and values; scores as scikit-learn has them; losses as torch has them."""

import math

import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, r2_score
from torch import Tensor
from torch.nn import functional as F

from glia.vitals.answers import IGNORED, Answers, by_row, fitting_loss, references, score, understood

GENERATOR = torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def anew() -> None:
    """The same draws whichever tests ran before."""
    GENERATOR.manual_seed(0)


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=GENERATOR)


def classes(count: int, *shape: int) -> Tensor:
    return torch.randint(0, count, shape, generator=GENERATOR)


TELLS: dict[str, tuple[Tensor, Tensor, tuple[str, int, int] | None]] = {
    "indices": (drawn(60, 3), classes(3, 60), ("classes", 3, 3)),
    "indices in a column": (drawn(60, 3), classes(3, 60, 1), ("classes", 3, 3)),
    "indices as floats": (drawn(60, 3), classes(3, 60).float(), ("classes", 3, 3)),
    "one-hot": (drawn(60, 3), F.one_hot(classes(3, 60), 3).float(), ("classes", 3, 3)),
    "one-hot, whole": (drawn(60, 3), F.one_hot(classes(3, 60), 3), ("classes", 3, 3)),
    "tokens": (drawn(8, 12, 9), classes(9, 8, 12), ("classes", 9, 9)),
    "tokens, flat": (drawn(96, 9), classes(9, 96), ("classes", 9, 9)),
    "pixels": (drawn(4, 5, 6, 6), classes(5, 4, 6, 6), ("classes", 5, 5)),
    "yes or no": (drawn(60), classes(2, 60).float(), ("binary", 1, 2)),
    "yes or no, a column": (drawn(60, 1), classes(2, 60, 1).float(), ("binary", 1, 2)),
    "yes or no, shapes apart": (drawn(60, 1), classes(2, 60).float(), ("binary", 1, 2)),
    "truth values": (drawn(60), classes(2, 60).bool(), ("binary", 1, 2)),
    "several yes or no": (drawn(60, 4), classes(2, 60, 4).float(), ("multilabel", 4, 2)),
    "numbers": (drawn(60, 1), drawn(60, 1), ("numbers", 1, 0)),
    "numbers, shapes apart": (drawn(60, 1), drawn(60), ("numbers", 1, 0)),
    "several numbers": (drawn(60, 4), drawn(60, 4), ("numbers", 4, 0)),
    "pictures": (drawn(6, 1, 8, 8), drawn(6, 1, 8, 8), ("numbers", 1, 0)),
    "one column for three classes": (drawn(60, 1), classes(3, 60, 1), ("classes", 1, 3)),
    "of other rows": (drawn(60, 3), drawn(17), None),
    "a scalar": (drawn(60, 3), torch.tensor(1.0), None),
    "whole outputs": (classes(3, 60, 3), classes(3, 60), None),
}


@pytest.mark.parametrize("name", TELLS)
def test_what_labels_are(name):
    outputs, labels, wanted = TELLS[name]
    found = understood(outputs, labels)
    assert (None if found is None else (found.kind, found.outputs, found.classes)) == wanted


def test_counts_are_numbers_of_many_values():
    counts = torch.poisson(torch.full((200, 1), 40.0), generator=GENERATOR)
    assert understood(drawn(200, 1), counts).kind == "numbers"


def scored(outputs: Tensor, labels: Tensor, **options: float) -> tuple[float, float]:
    answers = understood(outputs, labels)
    assert answers is not None
    found = score(answers, outputs, labels, **options)
    return found.value, found.chance


def test_accuracy_is_scikit_learns():
    outputs, labels = drawn(200, 4), classes(4, 200)
    for form in (labels, labels.unsqueeze(1), labels.float(), F.one_hot(labels, 4).float()):
        value, chance = scored(outputs, form)
        assert value == pytest.approx(accuracy_score(labels, outputs.argmax(1)))
        assert chance == pytest.approx(labels.bincount().max().item() / 200)


def test_tokens_and_pixels_count_one_by_one():
    outputs, labels = drawn(8, 12, 9), classes(9, 8, 12)
    assert scored(outputs, labels)[0] == pytest.approx(accuracy_score(labels.flatten(), outputs.argmax(2).flatten()))
    labels[:, ::2] = IGNORED
    counted = labels != IGNORED
    assert scored(outputs, labels)[0] == pytest.approx(accuracy_score(labels[counted], outputs.argmax(2)[counted]))
    pixels, right = drawn(4, 5, 6, 6), classes(5, 4, 6, 6)
    assert scored(pixels, right)[0] == pytest.approx(accuracy_score(right.flatten(), pixels.argmax(1).flatten()))


def test_yes_or_no_goes_by_the_threshold():
    outputs, labels = drawn(100, 1), classes(2, 100).float()
    for threshold in (0.0, 0.5):
        said = (outputs[:, 0] > threshold).float()
        assert scored(outputs, labels, threshold=threshold)[0] == pytest.approx(accuracy_score(labels, said))


def test_several_yes_or_no_are_averaged():
    outputs, labels = drawn(100, 4), classes(2, 100, 4).float()
    wanted = sum(accuracy_score(labels[:, i], outputs[:, i] > 0.5) for i in range(4)) / 4
    assert scored(outputs, labels)[0] == pytest.approx(wanted)


def test_uneven_classes_are_judged_by_their_recalls_where_that_shows_more_skill():
    labels = torch.cat([torch.zeros(190), torch.ones(10)]).long()
    said = labels.clone()
    said[:60] = 1  # all of the rare ones, and false alarms
    outputs = F.one_hot(said, 2).float()
    value, chance = scored(outputs, labels)
    assert (value, chance) == (pytest.approx(balanced_accuracy_score(labels, said)), 0.5)
    always = F.one_hot(torch.zeros(200).long(), 2).float()
    value, chance = scored(always, labels)
    assert (value, chance) == (pytest.approx(0.95), pytest.approx(0.95))


def test_r2_is_scikit_learns():
    labels = drawn(100, 1) * 7 + 30
    outputs = labels + drawn(100, 1)
    assert scored(outputs, labels) == (pytest.approx(r2_score(labels, outputs), abs=1e-6), 0.0)
    assert scored(outputs, labels[:, 0])[0] == pytest.approx(r2_score(labels, outputs), abs=1e-6)
    many = drawn(100, 3) * torch.tensor([1.0, 5.0, 0.2])
    said = many + 0.3 * drawn(100, 3)
    assert scored(said, many)[0] == pytest.approx(r2_score(many, said, multioutput="variance_weighted"), abs=1e-6)
    assert scored(outputs * 0 + labels.mean(), labels)[0] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_answers_that_are_not_finite_have_no_skill(bad):
    for outputs, labels in ((drawn(20, 3), classes(3, 20)), (drawn(20, 1), drawn(20, 1)), (drawn(20), classes(2, 20))):
        outputs[3] = bad
        found = score(understood(outputs, labels), outputs, labels)
        assert math.isnan(found.value) and found.skill == 0.0


def test_the_fitting_loss_is_torchs():
    outputs, labels = drawn(30, 4), classes(4, 30)
    name, loss = fitting_loss(understood(outputs, labels))
    assert name == "CrossEntropyLoss" and loss(outputs, labels) == F.cross_entropy(outputs, labels)
    onehot = F.one_hot(labels, 4).float()
    assert fitting_loss(understood(outputs, onehot))[1](outputs, onehot) == F.cross_entropy(outputs, labels)
    numbers = drawn(30)
    name, loss = fitting_loss(understood(outputs[:, :1], numbers))
    assert name == "MSELoss" and loss(outputs[:, :1], numbers) == F.mse_loss(outputs[:, 0], numbers)
    yes = classes(2, 30).float()
    name, loss = fitting_loss(understood(outputs[:, :1], yes))
    assert name == "BCEWithLogitsLoss"
    assert loss(outputs[:, :1], yes) == F.binary_cross_entropy_with_logits(outputs[:, 0], yes)
    pixels, right = drawn(2, 4, 3, 3), classes(4, 2, 3, 3)
    assert fitting_loss(understood(pixels, right))[1](pixels, right) == pytest.approx(
        F.cross_entropy(pixels, right).item()
    )


def test_references_are_means_as_torch_has_them():
    outputs, labels = drawn(30, 4).softmax(1), classes(4, 30)
    known = dict(references(understood(outputs, labels)))
    onehot = F.one_hot(labels, 4).float()
    assert known["cross_entropy"](outputs, labels) == F.cross_entropy(outputs, labels)
    assert known["nll"](outputs, labels) == pytest.approx(F.nll_loss(outputs, labels).item())
    assert known["log"](outputs, labels) == pytest.approx(F.nll_loss(outputs.log(), labels).item())
    assert known["mse"](outputs, labels) == F.mse_loss(outputs, onehot)
    assert known["bce"](outputs, labels) == F.binary_cross_entropy(outputs, onehot)
    single = dict(references(Answers("numbers", 1, 0, "raw")))
    x, y = drawn(30, 1), drawn(30)
    assert single["mse"](x, y) == F.mse_loss(x[:, 0], y) and single["l1"](x, y) == F.l1_loss(x[:, 0], y)
    assert single["root_mse"](x, y) == F.mse_loss(x[:, 0], y).sqrt()


def test_rows_of_tokens_and_pixels():
    tokens, pixels = by_row(drawn(8, 12, 9), classes(9, 8, 12)), by_row(drawn(4, 5, 6, 6), classes(5, 4, 6, 6))
    assert tokens[0].shape == (96, 9) and tokens[1].shape == (96,)
    assert pixels[0].shape == (144, 5) and pixels[1].shape == (144,)
    assert by_row(drawn(60, 1), classes(2, 60)) is None and by_row(drawn(60), classes(2, 60)) is None

"""Dice against counts of places."""

import pytest
import torch
from torch.nn import functional as F

from glia.errors import GliaError
from glia.nn.dice import dice, dice_rows


def test_hard_masks_are_counted() -> None:
    """Two masks of 4 and 6 places share 3: Dice 6 / 10. Logits far out make the shares 0 or 1."""
    truth, seen = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    truth.flatten()[:4] = 1
    seen.flatten()[1:7] = 1
    assert dice((seen * 2 - 1) * 100, truth, smooth=1e-9).item() == pytest.approx(1 - 6 / 10)
    assert dice((seen * 2 - 1) * 100, truth, smooth=1.0).item() == pytest.approx(1 - 7 / 11)


def test_classes_are_areas_that_do_not_overlap() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 5, 5, generator=generator)
    labels = torch.randint(3, (2, 5, 5), generator=generator)
    expected = torch.zeros(2)
    for row in range(2):
        shares = logits[row].softmax(0)
        for number in range(3):
            p, t = shares[number], (labels[row] == number).float()
            expected[row] += (1 - (2 * (p * t).sum() + 1) / (p.square().sum() + t.sum() + 1)) / 3
    torch.testing.assert_close(dice_rows(logits, labels), expected)
    perfect = F.one_hot(labels, 3).movedim(-1, 1) * 1000.0
    assert dice(perfect, labels).item() == pytest.approx(0, abs=1e-6)


def test_a_class_that_is_neither_there_nor_seen_costs_nothing() -> None:
    logits, nothing = torch.full((1, 1, 8), -100.0), torch.zeros(1, 1, 8)
    assert dice(logits, nothing).item() == 0
    assert dice(-logits, nothing).item() == pytest.approx(1 - 1 / 9)


def test_shapes_that_do_not_fit() -> None:
    for targets in (torch.zeros(2, 5), torch.zeros(2, 3, 5, dtype=torch.long), torch.zeros(2, 4, dtype=torch.long)):
        with pytest.raises(GliaError, match=r"dice; got logits \(2, 3, 5\)"):
            dice(torch.zeros(2, 3, 5), targets)
    with pytest.raises(GliaError, match="dice"):
        dice(torch.zeros(2, 3), torch.zeros(2, dtype=torch.long))

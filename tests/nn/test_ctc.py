"""CTC against every path written out, and against torch's own."""

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from glia.errors import GliaError
from glia.nn.ctc import ctc, ctc_rows


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2


def spelled(path: tuple[int, ...], blank: int) -> list[int]:
    """Repeats become one, then blanks go: the function B of section 3.1 of the paper."""
    return [symbol for symbol, _ in itertools.groupby(path) if symbol != blank]


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("target", [[1], [1, 1], [], "ab"])
def test_is_the_sum_over_all_paths_that_spell_the_target(target: list[int] | str, blank: int) -> None:
    wanted = [symbol for symbol in range(3) if symbol != blank] if target == "ab" else list(target)
    logits = draw(1, 4, 3)
    shares = logits[0].softmax(1)
    total = sum(
        math.prod(shares[frame, symbol].item() for frame, symbol in enumerate(path))
        for path in itertools.product(range(3), repeat=4)
        if spelled(path, blank) == wanted
    )
    targets = torch.tensor([wanted + [-1] * (3 - len(wanted))])
    assert ctc(logits, targets, blank=blank).item() == pytest.approx(-math.log(total) / max(len(wanted), 1))


def test_is_torchs_with_frames_and_targets_of_different_lengths() -> None:
    logits, lengths = draw(4, 9, 5), torch.tensor([9, 4, 7, 2])
    targets = torch.tensor([[1, 2, 2, 4], [3, 1, -1, -1], [4, -1, -1, -1], [1, 4, -1, -1]])
    theirs = F.ctc_loss(logits.log_softmax(2).transpose(0, 1), targets.clamp_min(0), lengths, (targets > 0).sum(1))
    torch.testing.assert_close(ctc(logits, targets, lengths), theirs)
    moved = logits.clone()
    moved[1, 4:] = 50.0  # past the end of its frames
    torch.testing.assert_close(ctc_rows(moved, targets, lengths), ctc_rows(logits, targets, lengths))


def test_a_target_that_does_not_fit_moves_nothing() -> None:
    logits = draw(2, 2, 3).requires_grad_()
    targets = torch.tensor([[1, 1], [1, 2]])  # two alike need a blank between them: three frames
    rows = ctc_rows(logits, targets)
    rows.sum().backward()
    assert rows[0] == 0 and rows[1] > 0
    assert logits.grad is not None and (logits.grad[0] == 0).all() and logits.grad[1].abs().sum() > 0


def test_what_is_refused() -> None:
    with pytest.raises(GliaError, match="targets of ctc; got 3; expected classes below 3 but not the blank 0"):
        ctc(draw(1, 4, 3), torch.tensor([[1, 3]]))
    with pytest.raises(GliaError, match="targets of ctc; got 0"):
        ctc(draw(1, 4, 3), torch.tensor([[1, 0]]))
    with pytest.raises(GliaError, match="blank of ctc"):
        ctc(draw(1, 4, 3), torch.tensor([[1, 1]]), blank=3)
    with pytest.raises(GliaError, match=r"ctc; got logits \(1, 4, 3\), targets \(2, 1\)"):
        ctc(draw(1, 4, 3), torch.tensor([[1], [1]]))

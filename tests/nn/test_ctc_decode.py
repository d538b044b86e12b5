"""Decoding against all paths, one by one; edit distances against hand values and the textbook's table."""

import itertools
import random
from collections import defaultdict

import pytest
import torch

from glia.nn.ctc import ctc_rows, ended, frames
from glia.nn.ctc_decode import beam, greedy
from glia.nn.edits import aligned, edit_distance
from glia.training.transcribe import padded


def spelling(path: tuple[int, ...]) -> tuple[int, ...]:
    """Repeats as one, then the blanks (0) out."""
    return tuple(sign for sign, _ in itertools.groupby(path) if sign)


def by_all_paths(logits: torch.Tensor) -> dict[tuple[int, ...], float]:
    """The share of every spelling: the sum over all paths of it."""
    shares = logits.double().softmax(1)
    found: dict[tuple[int, ...], float] = defaultdict(float)
    for path in itertools.product(range(shares.shape[1]), repeat=len(shares)):
        found[spelling(path)] += torch.stack([shares[t, s] for t, s in enumerate(path)]).prod().item()
    return found


@pytest.mark.parametrize("seed", range(6))
def test_the_beam_finds_the_best_of_all_spellings(seed: int) -> None:
    logits = 1.5 * torch.randn(1, 5, 3, generator=torch.Generator().manual_seed(seed))
    every = by_all_paths(logits[0])
    best = max(every, key=lambda one: every[one])
    assert tuple(beam(logits, width=1000, least=0)[0].symbols) == best
    assert sum(every.values()) == pytest.approx(1)


def test_the_beam_sees_what_the_best_path_does_not() -> None:
    """At two frames blank 0.6, a 0.4: the best path is empty (0.36), but "a" has 0.64 (Graves 2006, figure 2)."""
    logits = torch.tensor([[[0.6, 0.4], [0.6, 0.4]]]).log()
    assert greedy(logits)[0].symbols == [] and beam(logits)[0].symbols == [1]


def test_greedy_merges_repeats_and_says_where() -> None:
    path = [0, 1, 1, 0, 1, 2, 2, 0]
    logits = 9.0 * torch.nn.functional.one_hot(torch.tensor([path]), 3)
    for found in (greedy(logits)[0], beam(logits)[0]):
        assert found.symbols == [1, 1, 2] and found.at == [1, 4, 5]


def test_a_row_that_has_ended_costs_and_reads_the_same() -> None:
    generator = torch.Generator().manual_seed(3)
    logits, targets = torch.randn(2, 9, 4, generator=generator), torch.tensor([[1, 2, -1], [3, 3, 1]])
    lengths = torch.tensor([5, 9])
    closed = ended(logits, lengths)
    assert frames(closed).tolist() == [5, 9]
    theirs = torch.nn.functional.ctc_loss(
        logits.log_softmax(2).transpose(0, 1), targets.clamp_min(0), lengths, torch.tensor([2, 3]), reduction="none"
    )
    torch.testing.assert_close(ctc_rows(closed, targets, frames(closed)) * torch.tensor([2, 3]), theirs)
    torch.testing.assert_close(ctc_rows(closed, targets), ctc_rows(closed, targets, lengths))
    assert greedy(closed)[0] == greedy(logits[:1, :5])[0] and beam(closed)[0] == beam(logits[:1, :5])[0]


def by_table(told: str, said: str) -> int:
    """Wagner and Fischer 1974, cell by cell."""
    cost = [[i + j if not i * j else 0 for j in range(len(said) + 1)] for i in range(len(told) + 1)]
    for i, j in itertools.product(range(1, len(told) + 1), range(1, len(said) + 1)):
        swap = cost[i - 1][j - 1] + (told[i - 1] != said[j - 1])
        cost[i][j] = min(cost[i - 1][j] + 1, cost[i][j - 1] + 1, swap)
    return cost[-1][-1]


def distances(pairs: list[tuple[str, str]]) -> list[int]:
    told, said = (padded([[ord(sign) for sign in pair[side]] for pair in pairs]) for side in (0, 1))
    return edit_distance(told, said).tolist()


def test_edit_distances() -> None:
    """kitten to sitting is 3, Saturday to Sunday 3, by the textbooks."""
    assert distances([("kitten", "sitting"), ("Saturday", "Sunday"), ("", "abc"), ("abc", ""), ("same", "same")]) == [
        3, 3, 3, 3, 0,
    ]  # fmt: skip
    draw = random.Random(0)
    pairs = [tuple("".join(draw.choices("abc", k=draw.randrange(8))) for _ in range(2)) for _ in range(200)]
    assert distances(pairs) == [by_table(*pair) for pair in pairs]  # type: ignore[arg-type, misc]


def test_alignments_have_the_fewest_differences() -> None:
    draw = random.Random(1)
    for _ in range(50):
        told, said = ("".join(draw.choices("abc", k=draw.randrange(8))) for _ in range(2))
        pairs = aligned(told, said)
        assert "".join(t for t, _ in pairs) == told and "".join(s for _, s in pairs) == said
        assert sum(t != s for t, s in pairs) == by_table(told, said)

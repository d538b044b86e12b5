"""The step of language models: losses by hand, each kind of batch, and that a small one learns."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from glia.data.batches import Batch
from glia.data.facts import TextFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.build import build
from glia.training.language import next_token
from glia.training.loop import fit
from glia.training.steps import Outcome

ROWS = torch.tensor([[1, 2, 3, 0], [3, 1, 0, 0]])


class Fixed(nn.Module):
    """The same shares at every place, whatever it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.shares = nn.Parameter(torch.tensor([0.1, 0.2, 0.3, 0.4]).log())
        self.read: tuple[Tensor, ...] = ()

    def forward(self, *read: Tensor) -> Tensor:
        self.read = read
        return self.shares.expand(*read[-1].shape, 4)


def call(net: nn.Module, batch: object, pad: int | None = None) -> Outcome:
    outcome = next_token(pad)(net, batch)
    assert isinstance(outcome, Outcome)
    return outcome


def test_the_loss_is_that_of_the_tokens_told() -> None:
    net = Fixed()
    outcome = call(net, ROWS)
    shares = [0.3, 0.4, 0.1, 0.2, 0.1, 0.1]
    expected = -sum(map(math.log, shares)) / 6
    assert outcome.loss.item() == pytest.approx(expected)
    assert outcome.rows == 2 and outcome.metric is not None
    assert outcome.metric.item() / 2 == pytest.approx(expected / math.log(2))
    assert torch.equal(net.read[0], ROWS[:, :3])


def test_pads_do_not_count() -> None:
    expected = -sum(map(math.log, [0.3, 0.4, 0.2])) / 3
    assert call(Fixed(), ROWS, pad=0).loss.item() == pytest.approx(expected)
    assert call(Fixed(), torch.zeros(2, 4, dtype=torch.int64), pad=0).loss.item() == 0
    rows = next_token(0).metric.per_row(Fixed()(ROWS[:, 1:]), ROWS[:, 1:])  # type: ignore[attr-defined]
    assert rows.tolist() == pytest.approx([-math.log2(0.3 * 0.4) / 2, -math.log2(0.2)])


def test_pairs_and_batches_of_our_own_are_taken() -> None:
    net, source, loss = Fixed(), torch.ones(2, 5, dtype=torch.int64), call(Fixed(), ROWS).loss
    assert torch.equal(call(net, (source, ROWS)).loss, loss)
    assert torch.equal(net.read[0], source) and torch.equal(net.read[1], ROWS[:, :3])
    assert torch.equal(call(net, Batch(ROWS[:, :3], ROWS[:, 1:], torch.arange(2))).loss, loss)
    with pytest.raises(GliaError, match="a batch of texts; got SimpleNamespace"):
        call(net, SimpleNamespace(x=1))
    with pytest.raises(GliaError, match=r"logits of a language model; got \(2, 4\); expected \(2, 3, vocabulary\)"):
        call(nn.Sequential(nn.Embedding(4, 4), nn.Flatten(), nn.Linear(12, 4)), ROWS)


def test_a_small_gpt_learns_to_count() -> None:
    """Each row counts on from a random number, modulo 11: nothing is left to chance but the first token."""
    start = torch.randint(0, 11, (32, 16, 1), generator=torch.Generator().manual_seed(0))
    batches = list((start + torch.arange(9)) % 11)
    task = Task("language", ("next",), tuple(map(str, range(11))))
    net = build("gpt", TextFacts(11, 8, -1, 0), task, width=16, layers=1, heads=2)
    moments = list(fit(net, (batches, batches[:4]), step=next_token(), epochs=3, lr=1e-2))
    assert moments[-1].figures["valid_loss"] < 0.05
    assert moments[-1].figures["valid_bits"] == pytest.approx(moments[-1].figures["valid_loss"] / math.log(2))

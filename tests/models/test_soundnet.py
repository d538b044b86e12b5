"""Networks for sounds: a row is answered as if it were alone, however far its batch is filled up."""

from typing import Any

import pytest
import torch

from glia.data.facts import SoundFacts, TextFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.build import build, example
from glia.models.sound import Bands, standardised

FACTS = SoundFacts(8000, 6000, (-3.0,) * 40, (2.0,) * 40, False, 100)
TASK = Task("classify", ("word",), ("yes", "no", "stop"))
NETWORKS: list[tuple[str, dict[str, Any]]] = [("soundnet", {"width": 4}), ("gru", {"width": 8, "bidirectional": True})]


def waves(*lengths: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    rows = torch.full((len(lengths), max(lengths)), torch.nan)
    for row, length in zip(rows, lengths, strict=True):
        row[:length] = 0.1 * torch.randn(length, generator=generator)
    return rows


@pytest.mark.parametrize(("name", "options"), NETWORKS)
def test_a_row_is_as_if_alone(name: str, options: dict[str, Any]) -> None:
    net = build(name, FACTS, TASK, **options)
    net(waves(3000, 4000))  # running figures of the norms, other than 0 and 1
    net.eval()
    lengths = (1, 790, 1441, 3333, 6000)
    rows = waves(*lengths)
    together = net(rows)
    alone = torch.cat([net(row[None, :length]) for row, length in zip(rows, lengths, strict=True)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    assert (together[1:] - together[0]).abs().amin(1).max() > 1e-6


def test_painting_is_for_training_alone_and_follows_the_generator() -> None:
    facts = SoundFacts(8000, 6000, (0.0,) * 40, (1.0,) * 40, True, 100)
    front, rows = Bands(facts), waves(4000, 6000)
    plain = front.eval()(rows)[0]
    torch.testing.assert_close(plain, front(rows)[0])
    front.train()
    torch.manual_seed(1)
    first = front(rows)[0]
    torch.manual_seed(1)
    torch.testing.assert_close(first, front(rows)[0], rtol=0, atol=0)
    assert 0 < (first != plain).float().mean() < 0.5 and not torch.equal(first, front(rows)[0])


def test_rows_standardised_by_their_own_figures() -> None:
    x = 3 + 2 * torch.randn(2, 200, 4, generator=torch.Generator().manual_seed(0))
    there = torch.ones(2, 200, 1, dtype=torch.bool)
    there[1, 50:] = False
    out = standardised(x, there)
    torch.testing.assert_close(out[1, :50].mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(out[1, :50].std(0, unbiased=False), torch.ones(4), atol=1e-5, rtol=0)


def test_other_data_is_refused() -> None:
    with pytest.raises(GliaError, match="soundnet takes sounds; got text data"):
        build("soundnet", TextFacts(10, 20, 0, 5), TASK)
    with pytest.raises(GliaError, match="an mlp takes rows of numbers; got sound data"):
        build("mlp", FACTS, TASK)
    assert example(FACTS).shape == (2, 6000)


def test_a_network_without_memory_takes_the_weights_of_one_that_has_it() -> None:
    """As runs are opened: all that forward needs is among the weights."""
    net = build("soundnet", FACTS, TASK, width=4).eval()
    with torch.device("meta"):
        empty = build("soundnet", FACTS, TASK, width=4).eval()
    empty.load_state_dict(net.state_dict(), assign=True)
    torch.testing.assert_close(empty(waves(900, 2000)), net(waves(900, 2000)))

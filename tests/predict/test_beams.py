"""Beam search against every sequence there is, and against a plain greedy loop over whole forward passes."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from glia.data.facts import PairFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.build import build
from glia.predict.beams import search, writer

VOCABULARY, BEGIN, END = 6, 2, 3
FACTS = PairFacts(VOCABULARY, 16, 0, 100, VOCABULARY, True, BEGIN, END)
TASK = Task("translate", ("de",))
NETWORKS = {
    "transformer-tiny": {"width": 16},
    "seq2seq": {"width": 16, "embedding": 8},
    "t5-tiny": {"width": 16, "layers": 2, "heads": 2, "key": 8},
}


def network(name: str, seed: int = 0) -> nn.Module:
    net = build(name, FACTS, TASK, seed=seed, **NETWORKS[name])
    with torch.no_grad():
        for weight in net.parameters():  # far from even shares
            weight.mul_(2.0)
    return net.eval()


def sources(rows: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    source = torch.randint(4, VOCABULARY, (rows, 6), generator=generator)
    for row in range(rows):
        source[row, 2 + row % 4] = END
        source[row, 3 + row % 4 :] = 0
    return source


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.5])
@torch.no_grad()
def test_a_wide_beam_finds_the_best_of_all_sequences(name: str, penalty: float) -> None:
    longest, net, source = 4, network(name), sources(3)
    others = [token for token in range(VOCABULARY) if token != END]
    every = [[*some, END] for length in range(longest) for some in itertools.product(others, repeat=length)]
    found = search(writer(net, source), torch.full((3,), longest), BEGIN, END, beam=VOCABULARY**3, penalty=penalty)
    for row, (tokens, score) in enumerate(found):
        scores = []
        for length, group in itertools.groupby(every, key=len):
            rows = torch.tensor(list(group))
            given = torch.cat((torch.full((len(rows), 1), BEGIN), rows[:, :-1]), 1)
            shares = net(source[row : row + 1].expand(len(rows), -1), given).float().log_softmax(2)
            logs = shares.gather(2, rows[:, :, None]).sum((1, 2))
            scores += (logs / ((5 + length) / 6) ** penalty).tolist()
        best = max(range(len(every)), key=lambda i: scores[i])
        assert score == pytest.approx(scores[best], abs=1e-4)
        assert tokens == every[best][:-1]


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_one_beam_is_greedy_and_rows_do_not_depend_on_their_batch(name: str) -> None:
    for seed in range(3):
        net, source, limits = network(name, seed), sources(), torch.tensor([3, 8, 8, 5, 8])
        found = search(writer(net, source), limits, BEGIN, END, beam=1)
        for row, limit in enumerate(limits.tolist()):
            alone = source[row : row + 1, : int((source[row] != 0).sum())]
            written = [BEGIN]
            while len(written) <= limit and written[-1] != END:
                written.append(int(net(alone, torch.tensor([written]))[0, -1].argmax()))
            assert found[row][0] == [token for token in written[1:] if token != END]
        wide = search(writer(net, source), limits, BEGIN, END, beam=3)
        for row in range(len(source)):
            single = search(writer(net, source[row : row + 1]), limits[row : row + 1], BEGIN, END, beam=3)
            assert single[0][0] == wide[row][0] and single[0][1] == pytest.approx(wide[row][1], abs=1e-4)


def test_beams_and_networks_that_cannot_be() -> None:
    net = network("transformer-tiny")
    with pytest.raises(GliaError, match="beams of a search"):
        search(writer(net, sources()), torch.full((5,), 4), BEGIN, END, beam=0)
    with pytest.raises(GliaError, match="token by token"):
        writer(nn.Linear(2, 2), sources())


@pytest.mark.parametrize("name", ["transformer-tiny", "seq2seq"])
@torch.no_grad()
def test_attention_of_each_step_is_a_share_of_the_source(name: str) -> None:
    net, source = network(name), sources()
    weights = net.weights(source, torch.full((5, 4), 4))  # type: ignore[operator]
    assert weights.shape == (5, 4, 6)
    torch.testing.assert_close(weights.sum(2), torch.ones(5, 4))
    assert (weights[source[:, None].expand(-1, 4, -1) == 0] == 0).all()


@torch.no_grad()
def test_attention_of_the_transformer_is_that_of_torch() -> None:
    """What is shown, put together with the values, is what the layer gives."""
    net = network("transformer-tiny")
    layer, generator = net.decoder[-1].encoder_attn, torch.Generator().manual_seed(0)  # type: ignore[index, union-attr]
    x, context = (torch.randn(2, size, 16, generator=generator) for size in (3, 5))
    values = layer.v_proj(context).unflatten(2, (layer.heads, -1)).transpose(1, 2)
    mixed = (layer.weights(x, context) @ values).transpose(1, 2).flatten(2)
    torch.testing.assert_close(layer.out_proj(mixed), layer(x, context))

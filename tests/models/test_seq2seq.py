"""Encoder and decoder with attention: the paper's equations by hand, padding, decoding step by step, reversing."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from glia.data.task import Task
from glia.errors import GliaError
from glia.models.build import build
from glia.models.seq2seq import Seq2Seq
from glia.nn.stages import stages
from tests.models import zoo

WORDS = Task("language", ("next",), tuple(str(number) for number in range(12)))
FACTS = zoo.text_facts(vocabulary=12, length=8)


def made(width: int = 6, embedding: int = 4, **options: float) -> Seq2Seq:
    net = build("seq2seq", FACTS, WORDS, width=width, embedding=embedding, **options)
    assert isinstance(net, Seq2Seq)
    return net


def gru(x: Tensor, h: Tensor, weights: list[Tensor]) -> Tensor:
    """torch's form: n = tanh(W_n x + b_n + r (U_n h + c_n)), h' = (1 - z) n + z h."""
    w_ih, w_hh, b_ih, b_hh = weights
    (xr, xz, xn), (hr, hz, hn) = (w_ih @ x + b_ih).chunk(3), (w_hh @ h + b_hh).chunk(3)
    r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
    return (1 - z) * torch.tanh(xn + r * hn) + z * h


def equations(net: Seq2Seq, source: Tensor, target: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Bahdanau 2015, appendix A, for one text without padding: (logits, weights) of each step."""
    weight = dict(net.named_parameters())
    ways = [[weight[f"encoder.{name}_l0{way}"] for name in GRU] for way in ("", "_reverse")]
    xs, h = [net.source.weight[token] for token in source], torch.zeros(6)
    forward, backward = [h := gru(x, h, ways[0]) for x in xs], []
    h = torch.zeros(6)
    for x in reversed(xs):
        backward.insert(0, h := gru(x, h, ways[1]))
    annotations = [torch.cat(pair) for pair in zip(forward, backward)]
    s = torch.tanh(weight["begin.weight"] @ backward[0] + weight["begin.bias"])
    v, w_a, u_a = weight["attention.score.weight"][0], weight["attention.query.weight"], weight["attention.key.weight"]
    for token in target:
        e = torch.stack([v @ torch.tanh(w_a @ s + weight["attention.query.bias"] + u_a @ h_j) for h_j in annotations])
        alpha = torch.exp(e) / torch.exp(e).sum()
        c = torch.stack([a * h_j for a, h_j in zip(alpha, annotations)]).sum(0)
        y = net.target.weight[token]
        s = gru(torch.cat([y, c]), s, [weight[f"decoder.{name}_l0"] for name in GRU])
        t = weight["maxout.weight"] @ torch.cat([s, y, c]) + weight["maxout.bias"]
        t = torch.stack([torch.maximum(t[2 * j], t[2 * j + 1]) for j in range(len(t) // 2)])
        yield weight["head.weight"] @ t + weight["head.bias"], alpha


GRU = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def ragged() -> tuple[Tensor, Tensor]:
    source, target = zoo.tokens(4, 7, 12), zoo.tokens(4, 5, 12)
    for row, length in zip(source, (7, 1, 4, 2)):
        row[length:] = 0
    return source, target


def test_it_is_the_papers_equations_and_padding_is_not_looked_at() -> None:
    net, (source, target) = made().eval(), ragged()
    with torch.no_grad():
        for parameter in net.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.3, generator=zoo.generator(7))  # biases too
        net.source.weight[0] = 0
        out, weights = net(source, target), net.weights(source, target)
        for row, length in enumerate((7, 1, 4, 2)):
            told, shares = map(torch.stack, zip(*equations(net, source[row, :length], target[row])))
            assert zoo.greatest_difference(out[row], told) < 1e-5
            assert zoo.greatest_difference(weights[row, :, :length], shares) < 1e-5
            assert not weights[row, :, length:].any()


def test_parameters_by_the_formula() -> None:
    n, m, k = 6, 4, 12  # units, embedding, words
    encoder = 2 * 3 * (n * (m + n) + 2 * n)
    decoder = 3 * (n * (m + 2 * n + n) + 2 * n)
    attention = n * n + n + 2 * n * n + n
    output = (3 * n + m + 1) * 2 * m + (m + 1) * k
    assert zoo.parameters(made()) == 2 * k * m + encoder + n * n + n + attention + decoder + output


def test_steps_one_by_one_are_the_whole() -> None:
    net, (source, target) = made().eval(), ragged()
    with torch.no_grad():
        memory, state = net.encode(source)
        for place in range(target.shape[1]):
            logits, state, weights = net.step(target[:, place], state, memory)
            assert zoo.greatest_difference(logits, net(source, target)[:, place]) < 1e-5
            assert zoo.greatest_difference(weights, net.weights(source, target)[:, place]) < 1e-5


def test_a_step_sees_no_later_token_and_an_empty_source_gives_finite_numbers() -> None:
    net, (source, target) = made().eval(), ragged()
    other = target.clone()
    other[:, 3:] = 1
    with torch.no_grad():
        assert torch.equal(net(source, target)[:, :3], net(source, other)[:, :3])
        assert net(torch.zeros_like(source), target).isfinite().all()


def test_it_learns_to_reverse() -> None:
    """Fresh rows of 2 to 4 letters at each step; then most rows it never saw are written backwards without help."""
    pad, start, end, longest = 0, 1, 2, 4
    draws = zoo.generator(5)

    def rows(count: int) -> tuple[Tensor, Tensor]:
        letters = torch.randint(3, 12, (count, longest), generator=draws)
        source = torch.zeros(count, longest + 1, dtype=torch.int64)
        target = torch.full((count, longest + 2), pad)
        for row, size in enumerate(torch.randint(2, longest + 1, (count,), generator=draws).tolist()):
            source[row, :size] = letters[row, :size]
            target[row, : size + 2] = torch.tensor([start, *letters[row, :size].flip(0).tolist(), end])
        return source, target

    net = made(width=32, embedding=16)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(200):
        source, target = rows(48)
        logits = net(source, target[:, :-1])
        optimizer.zero_grad()
        F.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten(), ignore_index=pad).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()

    source, target = rows(200)
    net.eval()
    with torch.no_grad():
        memory, state = net.encode(source)
        token, right = target[:, 0], torch.ones(200, dtype=torch.bool)
        for place in range(1, target.shape[1]):
            logits, state, _ = net.step(token, state, memory)
            token = logits.argmax(1)
            right &= (token == target[:, place]) | (target[:, place] == pad)
        looks = net.weights(source, target[:, :-1])
    assert right.float().mean() > 0.9
    full = target[:, -1] == end  # rows of four letters: the first step looks at the last letter
    assert looks[full, 0].argmax(1).float().mean() > 2


def test_what_every_network_bears() -> None:
    net, pair = made(), ragged()
    zoo.assert_runs_in_bfloat16(net, pair)
    short = (pair[0][:, :3], pair[1][:, :2])
    zoo.assert_exports(net, short)
    with torch._dynamo.config.patch(allow_rnn=True):  # without it torch leaves such layers out of its graphs
        zoo.assert_compiles(net, short)
    told = stages(net)
    assert told[0] == ["source"] and told[-1] == ["maxout", "head"]


def test_bad_input_is_refused() -> None:
    with pytest.raises(GliaError, match="seq2seq takes texts; got series data"):
        build("seq2seq", zoo.series_facts(), WORDS)
    with pytest.raises(GliaError, match="seq2seq writes texts; got the task 'classify'; expected 'language'"):
        build("seq2seq", FACTS, zoo.classes(3))
    with pytest.raises(GliaError, match="size of seq2seq; got width 0"):
        made(width=0)

"""Recurrent networks: sizes by the formula, torch's own layers row by row, and that padding is never seen."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from glia.data.facts import SeriesFacts, TensorFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.build import build
from glia.models.recurrent import AttentionPool, Recurrent, recurrent
from glia.nn.stages import stages
from tests.models import zoo

CELLS = ("rnn", "lstm", "gru")
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
LENGTHS = (7, 1, 4, 9, 2)
FACTS = SeriesFacts(3, 9, (0.5, -1.0, 2.0), (2.0, 0.0, 0.5), 100)  # the second never varies
SHAPES = [(False, 1), (True, 1), (False, 3), (True, 2)]


def ragged_tokens() -> Tensor:
    x = zoo.tokens(len(LENGTHS), max(LENGTHS))
    for row, length in zip(x, LENGTHS):
        row[length:] = 0
    return x


def ragged_series() -> Tensor:
    x = zoo.series(len(LENGTHS), max(LENGTHS), 3)
    for row, length in zip(x, LENGTHS):
        row[length:] = float("nan")
    return x


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("bidirectional", "depth"), SHAPES)
def test_parameters_by_the_formula(cell: str, bidirectional: bool, depth: int) -> None:
    """A layer has gates x (h (inputs + h) + 2 h) in each direction; torch keeps two biases."""
    ways, h = 1 + bidirectional, 6
    layers = sum(
        ways * GATES[cell] * (h * ((h if layer == 0 else ways * h) + h) + 2 * h)
        for layer in range(depth)
    )  # fmt: skip
    net = build(cell, zoo.text_facts(), zoo.classes(4), width=h, depth=depth, bidirectional=bidirectional)
    assert zoo.parameters(net) == 50 * h + layers + (ways * h + 1) * 4
    steps = build(cell, FACTS, zoo.classes(4), width=h, depth=1, bidirectional=bidirectional, pooling="attention")
    wide = ways * h
    assert zoo.parameters(steps) == ways * GATES[cell] * (h * (3 + h) + 2 * h) + (wide + 1) * wide + wide + wide * 4 + 4


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("bidirectional", "depth"), SHAPES)
def test_a_padded_batch_is_its_rows_one_by_one(cell: str, bidirectional: bool, depth: int, pooling: str) -> None:
    options = {"width": 5, "depth": depth, "bidirectional": bidirectional, "pooling": pooling}
    for facts, x in ((zoo.text_facts(), ragged_tokens()), (FACTS, ragged_series())):
        net = build(cell, facts, zoo.classes(4), **options).eval()
        assert isinstance(net, Recurrent)
        with torch.no_grad():
            together = net(x)
            alone = torch.cat([net(row[None, :length]) for row, length in zip(x, LENGTHS)])
            theirs = torch.cat([by_hand(net, row[None, :length]) for row, length in zip(x, LENGTHS)])
        assert zoo.greatest_difference(together, alone) < 1e-5
        assert zoo.greatest_difference(together, theirs) < 1e-5


def by_hand(net: Recurrent, row: Tensor) -> Tensor:
    """One row without padding through torch's own layer, pooled by the definitions."""
    if row.ndim == 2:
        vectors = F.embedding(row, net.front.embedding.weight)  # type: ignore[union-attr, operator, arg-type]
    else:
        vectors = (row - torch.tensor([0.5, -1.0, 2.0])) / torch.tensor([2.0, 1.0, 0.5])
    outputs, state = net.rnn(vectors)
    state = state[0] if isinstance(state, tuple) else state  # (layers x ways, 1, h)
    ways = 2 if net.rnn.bidirectional else 1
    if net.pooling == "last":
        pooled = torch.cat(list(state[-ways:]), 1)
    elif net.pooling == "mean":
        pooled = outputs.mean(1)
    elif net.pooling == "max":
        pooled = outputs.max(1).values
    else:
        assert net.pool is not None
        u = torch.tanh(outputs @ net.pool.project.weight.T + net.pool.project.bias)
        share = torch.exp(u @ net.pool.score.weight[0])
        pooled = (share[..., None] * outputs).sum(1) / share.sum()
    return pooled @ net.head.weight.T + net.head.bias


def test_the_weights_of_the_pool_sum_to_one_over_what_is_there() -> None:
    pool, x = AttentionPool(4), torch.randn(3, 5, 4, generator=zoo.generator())
    there = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]]).bool()
    weights = pool.weights(x, there)
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    assert not weights[~there].any() and weights[1, 0] == 1


@pytest.mark.parametrize("cell", CELLS)
def test_the_next_token_is_told_from_the_left_alone(cell: str) -> None:
    net = build(cell, zoo.text_facts(), Task("language", ("next",), tuple(map(str, range(50)))), width=8, depth=2)
    x = ragged_tokens()
    other = x.clone()
    other[:, 3:] = 7
    net.eval()
    with torch.no_grad():
        out, changed = net(x), net(other)
    assert out.shape == (5, 9, 50)
    assert torch.equal(out[3, :3], changed[3, :3]) and not torch.allclose(out[3, 3], changed[3, 3])
    with pytest.raises(GliaError, match=f"{cell} for the next token; got bidirectional=True; expected one direction"):
        build(cell, zoo.text_facts(), Task("language", ("next",), ("a", "b")), bidirectional=True)


def test_what_each_task_gives() -> None:
    labels, numbers = Task("multilabel", ("a", "b", "c")), Task("regress", ("a", "b"))
    x = ragged_series()
    for task, pooling in ((zoo.classes(7), "mean"), (labels, "mean"), (numbers, "last")):
        net = build("gru", FACTS, task, width=4)
        assert net.pooling == pooling and net(x).shape == (5, task.outputs)
    assert build("lstm", TensorFacts((9, 3), 100), numbers, width=4)(zoo.series(2, 9, 3)).shape == (2, 2)


def test_gaps_count_as_the_mean_and_an_empty_row_gives_finite_numbers() -> None:
    net = build("gru", FACTS, zoo.classes(3), width=4, bidirectional=True, pooling="attention")
    x = zoo.series(2, 9, 3)
    gap, filled = x.clone(), x.clone()
    gap[0, 4, 0], filled[0, 4, 0] = float("nan"), 0.5
    torch.testing.assert_close(net(gap), net(filled))
    for pooling in ("last", "mean", "max", "attention"):
        texts = build("lstm", zoo.text_facts(), zoo.classes(3), width=4, bidirectional=True, pooling=pooling)
        assert texts(torch.zeros(2, 5, dtype=torch.int64)).isfinite().all()


def test_dropout_lies_between_layers_and_is_off_in_evaluation() -> None:
    net = build("gru", zoo.text_facts(), zoo.classes(3), width=16, depth=2, dropout=0.5)
    x = ragged_tokens()
    assert isinstance(net, Recurrent) and net.rnn.dropout == 0.5
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))
    build("gru", FACTS, zoo.classes(3), depth=1, dropout=0.5)  # torch would warn


@pytest.mark.parametrize("cell", CELLS)
def test_stages(cell: str) -> None:
    net = build(cell, zoo.text_facts(), zoo.classes(3), width=4, depth=2, bidirectional=True, pooling="attention")
    told = stages(net)
    assert told[0] == ["front"] and told[-1] == ["pool", "head"] and len(told) == 4
    assert len(told[1]) == len(told[2]) == 8  # two matrices and two biases in each direction


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_it_runs_in_bfloat16(cell: str, bidirectional: bool) -> None:
    options = {"width": 8, "depth": 2, "bidirectional": bidirectional, "pooling": "attention"}
    for facts, x in ((zoo.text_facts(), ragged_tokens()), (FACTS, ragged_series())):
        zoo.assert_runs_in_bfloat16(build(cell, facts, zoo.classes(4), **options), x)


@pytest.mark.parametrize(("cell", "bidirectional"), [("rnn", False), ("gru", False), ("lstm", True)])
def test_it_exports(cell: str, bidirectional: bool) -> None:
    facts, x = (zoo.text_facts(), ragged_tokens()) if bidirectional else (FACTS, ragged_series())
    zoo.assert_exports(build(cell, facts, zoo.classes(4), width=4, depth=1 + bidirectional), x)


def test_it_compiles() -> None:
    with torch._dynamo.config.patch(allow_rnn=True):  # without it torch leaves such layers out of its graphs
        zoo.assert_compiles(build("gru", zoo.text_facts(), zoo.classes(4), width=4), ragged_tokens()[:, :3])


@pytest.mark.parametrize("cell", CELLS)
def test_it_learns_32_rows_by_heart(cell: str) -> None:
    labels = torch.randint(0, 4, (32,), generator=zoo.generator(2))
    zoo.assert_overfits(build(cell, zoo.text_facts(), zoo.classes(4), width=32), zoo.tokens(32, 8), labels, lr=1e-2)
    series = build(cell, zoo.series_facts(), zoo.classes(4), width=32, bidirectional=True)
    zoo.assert_overfits(series, zoo.series(32, 8, 3), labels, lr=1e-2)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_gates_remember_a_first_token_over_ten_steps(cell: str) -> None:
    """The class is the first token: what gates are for (Hochreiter and Schmidhuber 1997, section 5)."""
    net = recurrent(zoo.text_facts(length=10), zoo.classes(2), zoo.generator(), cell=cell, width=24, pooling="last")  # type: ignore[arg-type]
    optimizer, draws = torch.optim.Adam(net.parameters(), 1e-2), zoo.generator(3)
    labels = torch.arange(64) % 2
    for _ in range(150):
        x = torch.randint(3, 50, (64, 10), generator=draws)  # new ones each time: nothing to learn by heart
        x[:, 0] = labels + 1
        out = net(x)
        optimizer.zero_grad()
        F.cross_entropy(out, labels).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    assert (out.argmax(1) == labels).float().mean() > 0.95


def test_bad_input_is_refused() -> None:
    with pytest.raises(GliaError, match="lstm takes texts, series and sounds; got image data"):
        build("lstm", zoo.image_facts(1, 8, 8), zoo.classes(2))
    with pytest.raises(GliaError, match=r"gru takes texts, series and sounds; got tensor data of shape \(4,\)"):
        build("gru", TensorFacts((4,), 10), zoo.classes(2))
    with pytest.raises(GliaError, match="unknown pooling of gru 'men'.*'mean'"):
        build("gru", FACTS, zoo.classes(2), pooling="men")
    with pytest.raises(GliaError, match="size of gru; got width 0, depth 1"):
        build("gru", FACTS, zoo.classes(2), width=0)

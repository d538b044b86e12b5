"""The perceptron: Rosenblatt's rule by hand and as gradient descent, Novikoff's bound, XOR, and real data."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Perceptron as Theirs
from torch import Tensor, nn

import glia
from glia.catalog.entry import find
from glia.data.facts import TensorFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.build import build
from glia.models.perceptron import Perceptron, perceptron
from tests.models import zoo

LABEL = Task("multilabel", ("yes",))
PLANE = TensorFacts((2,), 100)
CORNERS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


def apart(count: int = 60, margin: float = 0.1) -> tuple[Tensor, Tensor]:
    """Points on both sides of a line, none nearer than `margin` to it; 1 on the one side, 0 on the other."""
    points = torch.rand(4 * count, 2, generator=zoo.generator(3)) * 2 - 1
    side = points @ torch.tensor([0.6, 0.8]) - 0.1
    kept = side.abs() > margin
    return points[kept][:count], (side[kept][:count] > 0).long()


def test_the_rule_by_hand() -> None:
    """Three rows from zero weights: (1, 2) is a yes, said no: w = (1, 2), b = 1; (3, -1) a no, 2 > 0, said yes:
    w = (-2, 3), b = 0; (0, 1) a yes, 3 > 0, right."""
    net = build("perceptron", PLANE, LABEL)
    assert isinstance(net, Perceptron)
    x, y = torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.0, 1.0]]), torch.tensor([[1.0], [0.0], [1.0]])
    assert net.fit(x, y, epochs=1) == [2]
    assert net.output.weight.tolist() == [[-2.0, 3.0]] and net.output.bias.tolist() == [0.0]


@pytest.mark.parametrize("task", [LABEL, zoo.classes(2), zoo.classes(3)], ids=["unit", "two", "three"])
def test_sgd_on_single_rows_is_the_rule(task: Task) -> None:
    x = torch.randn(40, 2, generator=zoo.generator())
    y = torch.randint(0, max(task.outputs, 2), (40,), generator=zoo.generator(1))
    answers = y[:, None].float() if task.kind == "multilabel" else y
    rule, loop = build("perceptron", PLANE, task), build("perceptron", PLANE, task)
    assert isinstance(rule, Perceptron)
    rule.fit(x, answers, epochs=2)
    batches = [(row[None], answer[None]) for row, answer in zip(x, answers)]
    step, sgd = glia.supervised(task.loss), torch.optim.SGD(loop.parameters(), lr=1.0)
    list(glia.fit(loop, batches, step=step, optimizer=sgd, epochs=2, valid_every=2))
    for ours, theirs in zip(loop.parameters(), rule.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    assert rule.output.weight.abs().max() > 1


@pytest.mark.parametrize("task", [LABEL, zoo.classes(2)], ids=["unit", "two"])
def test_it_converges_within_novikoffs_bound(task: Task) -> None:
    x, y = apart()
    net = build("perceptron", PLANE, task)
    assert isinstance(net, Perceptron)
    mistakes = net.fit(x, y[:, None] if task is LABEL else y, epochs=1000)
    with_one = torch.cat([x, torch.ones(len(x), 1)], 1)
    best = torch.tensor([0.6, 0.8, -0.1])
    gamma = (with_one @ best * (2 * y - 1)).min() / best.norm()
    assert gamma > 0 and mistakes[-1] == 0
    assert 0 < sum(mistakes) <= with_one.square().sum(1).max() / gamma**2
    said = net(x)
    assert bool(((said[:, 0] > 0) == (y > 0)).all() if task is LABEL else (said.argmax(1) == y).all())


def test_it_never_learns_xor_and_its_weights_go_in_a_circle() -> None:
    net = build("perceptron", PLANE, LABEL)
    assert isinstance(net, Perceptron)
    y, seen = torch.tensor([[0.0], [1.0], [1.0], [0.0]]), []
    for _ in range(60):
        assert net.fit(CORNERS, y, epochs=1)[0] > 0
        assert not ((net(CORNERS) > 0) == (y > 0)).all()
        seen.append((*net.output.weight.flatten().tolist(), net.output.bias.item()))
    assert len(set(seen)) < 10  # a finite circle (Block and Levin 1970), not a slow way to somewhere


def test_several_classes_against_scikit_learn() -> None:
    """Both rules find a way through rows that three classes share out cleanly."""
    centres = torch.tensor([[3.0, 0.0], [-2.0, 3.0], [-2.0, -3.0]])
    y = torch.arange(90) % 3
    x = centres[y] + 0.4 * torch.randn(90, 2, generator=zoo.generator())
    net = build("perceptron", PLANE, zoo.classes(3))
    assert isinstance(net, Perceptron)
    assert net.fit(x, y)[-1] == 0
    theirs = Theirs().fit(x.numpy(), y.numpy())
    new = centres[y] + 0.4 * torch.randn(90, 2, generator=zoo.generator(1))
    assert np.array_equal(net(new).argmax(1).numpy(), theirs.predict(new.numpy()))


def test_an_answer_is_a_yes_or_a_no() -> None:
    net = build("perceptron", zoo.image_facts(1, 8, 8), zoo.classes(3))
    shares = net(zoo.pictures(5, 1, 8, 8)).softmax(1)
    torch.testing.assert_close(shares, torch.tensor([[1.0, 0.0, 0.0]]).expand(5, 3))
    assert zoo.parameters(net) == 65 * 3 and not any(p.any() for p in net.parameters())
    assert net.stages() == [["output"]]  # type: ignore[operator]


def test_what_every_network_bears() -> None:
    net, x = build("perceptron", PLANE, zoo.classes(3)), torch.randn(8, 2, generator=zoo.generator())
    nn.init.normal_(net.output.weight, generator=zoo.generator())  # type: ignore[union-attr, arg-type]
    zoo.assert_runs_in_bfloat16(net, x)
    zoo.assert_exports(net, x)
    zoo.assert_compiles(net, x)


def test_bad_input_is_refused() -> None:
    with pytest.raises(GliaError, match="a perceptron says yes or no; got the task 'regress'"):
        perceptron(PLANE, Task("regress", ("y",)), zoo.generator())
    net = build("perceptron", PLANE, LABEL)
    assert isinstance(net, Perceptron)
    with pytest.raises(GliaError, match=r"the perceptron rule; got rows \(4, 2\), answers \(3, 1\), epochs 100"):
        net.fit(CORNERS, torch.zeros(3, 1))
    assert find("models", "perceptron").name == "perceptron"

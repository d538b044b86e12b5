"""The networks for tables: shapes, honesty between members, answers of the ensemble, odd input, export."""

import numpy as np
import pytest
import torch
from sklearn.preprocessing import OneHotEncoder
from torch import nn
from torch.nn import functional as F

from glia.data.facts import TableFacts
from glia.data.task import Task
from glia.models.tabular import ByteDropout, TableFeatures, combine, folds, tabm

NAN = float("nan")
EDGES = tuple(np.linspace(-3, 3, 9))
# Two numbers (the second with gaps), three levels (code 0 included), twenty levels.
FACTS = TableFacts(
    names=("a", "b", "few", "many"),
    levels=(0, 0, 4, 21),
    median=(0.0, 0.0, 0.0, 0.0),
    scale=(1.3, 1.3, 1.0, 1.0),
    low=(-3.0, -3.0, 0.0, 0.0),
    high=(3.0, 3.0, 0.0, 0.0),
    gaps=(False, True, False, False),
    edges=(EDGES, EDGES, (), ()),
    rows=300,
)
ONLY_CATEGORIES = TableFacts(("k",), (3,), (0.0,), (1.0,), (0.0,), (0.0,), (False,), ((),), 50)
CLASSIFY = Task("classify", ("y",), classes=("no", "maybe", "yes"))
TASKS = [
    CLASSIFY,
    Task("multilabel", ("u", "v")),
    Task("regress", ("s", "t"), center=(0.0, 0.0), scale=(1.0, 1.0)),
]
BUILDERS = [tabm, folds]


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def table(rows: int = 40) -> torch.Tensor:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(rows, 2))
    numbers[::7, 1] = NAN
    codes = np.stack([rng.integers(0, 4, rows), rng.integers(0, 21, rows)], 1)
    return torch.tensor(np.concatenate([numbers, codes], 1), dtype=torch.float32)


def shaken(net: nn.Module) -> nn.Module:
    """The network with random weights everywhere, so that nothing hides behind a zero."""
    generator = seeded(9)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.1, generator=generator))
    return net


def test_features_are_what_scikit_learn_makes_of_the_columns():
    x = table()
    features = TableFeatures(FACTS)
    out = features(x)
    assert out.shape == (40, features.width) == (40, 2 + 1 + 3 + 8)
    z = x[:, :2].nan_to_num(0) / 1.3
    torch.testing.assert_close(out[:, :2], z / (1 + (z / 3) ** 2).sqrt())
    assert out[:, 2].tolist() == x[:, 1].isnan().float().tolist()
    hot = OneHotEncoder(categories=[[0, 1, 2, 3]], sparse_output=False).fit_transform(x[:, 2:3].numpy())
    np.testing.assert_array_equal(out[:, 3:6].detach().numpy(), hot[:, 1:])


def test_a_higher_limit_makes_every_level_a_column():
    x = table()
    features = TableFeatures(FACTS, one_hot=32)
    hot = OneHotEncoder(categories=[list(range(21))], sparse_output=False).fit_transform(x[:, 3:].numpy())
    np.testing.assert_array_equal(features(x)[:, -20:].numpy(), hot[:, 1:])
    assert list(features.parameters()) == []


@pytest.mark.parametrize("code", [NAN, 21.0, 500.0, -1.0])
def test_codes_that_cannot_be_count_as_never_seen(code):
    x = table()
    strange = x.clone()
    x[:, 2:], strange[:, 2:] = 0.0, code
    features = TableFeatures(FACTS)
    torch.testing.assert_close(features(strange), features(x))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
@pytest.mark.parametrize("build", BUILDERS)
def test_training_shows_the_members_and_eval_their_answer(build, task):
    net = shaken(build(FACTS, task, seeded()))
    count = 8 if build is tabm else 10
    assert net.train()(table()).shape == (40, count, task.outputs)
    net.eval()
    members = net.members(table())
    assert members.shape == (40, count, task.outputs)
    assert members.std(1).min() > 0  # they differ
    torch.testing.assert_close(task.decode(net(table())), task.decode(members).mean(1))


def test_combine_counts_only_the_members_of_the_mask():
    outputs = torch.randn(6, 4, 3, generator=seeded(), dtype=torch.float64) * 30
    mask = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 0], [1, 1, 1, 1]] * 2).bool()
    for kind, decode in (
        ("classify", lambda o: o.softmax(-1)),
        ("multilabel", torch.sigmoid),
        ("regress", lambda o: o),
    ):
        combined = combine(outputs, kind, mask)
        for row in range(6):
            expected = decode(outputs[row, mask[row]]).mean(0)
            torch.testing.assert_close(decode(combined[row]), expected, rtol=1e-9, atol=1e-12)
        assert combine(outputs, kind).isfinite().all()


@pytest.mark.parametrize("build", BUILDERS)
def test_the_generator_alone_decides_the_weights(build):
    before = torch.get_rng_state()
    first, again, other = (build(FACTS, CLASSIFY, seeded(n)).state_dict() for n in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_folds_share_nothing_that_learns():
    net = shaken(folds(FACTS, CLASSIFY, seeded(), members=5)).eval()
    x = table()
    before = net.members(x)
    loss = F.cross_entropy(before[:, 2], torch.arange(40) % 3)
    loss.backward()
    with torch.no_grad():
        for parameter in net.parameters():
            assert parameter.grad is not None
            parameter.sub_(parameter.grad)
    after = net.members(x)
    others = [0, 1, 3, 4]
    assert torch.equal(after[:, others], before[:, others])
    assert not torch.allclose(after[:, 2], before[:, 2])


def test_folds_start_at_the_mean_and_name_their_skip():
    net = folds(FACTS, CLASSIFY, seeded())
    assert net(table()).abs().max() == 0
    assert net.folds == 5
    prefix = next(iter(net.param_lr))
    assert [name for name, _ in net.named_parameters() if name.startswith(prefix)] == ["skip.weight"]


def test_the_linear_path_of_folds_stops_at_the_training_range():
    net = folds(FACTS, CLASSIFY, seeded()).eval()
    with torch.no_grad():
        net.skip.weight.normal_(generator=seeded())
    edge, far = table(1), table(1)
    edge[0, 0], far[0, 0] = 3.0, 1e9
    torch.testing.assert_close(net(far), net(edge))


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("facts", [FACTS, ONLY_CATEGORIES], ids=["mixed", "categories"])
def test_any_row_gets_a_finite_answer(build, facts):
    net = shaken(build(facts, CLASSIFY, seeded())).eval()
    odd = torch.tensor([NAN, float("inf"), float("-inf"), 1e38, -1.0, 0.0]).unsqueeze(1).expand(-1, len(facts.names))
    out = net(odd)
    assert out.isfinite().all()
    assert net(odd[:1]).shape == (1, 3)


@pytest.mark.parametrize("build", BUILDERS)
def test_rows_do_not_depend_on_their_neighbours(build):
    net = shaken(build(FACTS, CLASSIFY, seeded())).eval()
    x = table()
    torch.testing.assert_close(net(x)[5:9], net(x[5:9]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("build", BUILDERS)
def test_it_exports_with_any_number_of_rows(build):
    net = shaken(build(FACTS, CLASSIFY, seeded())).eval()
    rows = {0: torch.export.Dim.DYNAMIC}
    program = torch.export.export(net, (table(6),), dynamic_shapes=(rows,)).module()
    torch.testing.assert_close(program(table(40)), net(table(40)))


@pytest.mark.parametrize("build", BUILDERS)
def test_it_learns_what_no_linear_model_can(build):
    x = torch.zeros(600, 4)
    x[:, :2] = torch.empty(600, 2).uniform_(-2, 2, generator=seeded(3))
    y = ((x[:, 0] * x[:, 1]) > 0).long()
    net = build(FACTS, Task("classify", ("y",), classes=("no", "yes")), seeded(), width=32).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(120):
            out = net(x[:400])
            loss = F.cross_entropy(out.flatten(0, 1), y[:400].repeat_interleave(out.shape[1]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    right = (net.eval()(x[400:]).argmax(1) == y[400:]).float().mean()
    assert right > 0.9


def test_byte_dropout_keeps_the_mean_and_drops_its_share():
    layer = ByteDropout(0.3)
    x = torch.ones(1000, 1003)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = layer(x), layer(x)
        torch.manual_seed(0)
        again = layer(x)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert (first == 0).float().mean().item() == pytest.approx(0.3, abs=0.003)
    assert first.mean().item() == pytest.approx(1.0, abs=0.005)
    assert first[:, ::8].ne(0).float().mean().item() == pytest.approx(0.7, abs=0.005)  # every byte of a word is fair
    assert torch.equal(layer.eval()(x), x)

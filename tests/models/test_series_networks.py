"""Networks for whole series against torch's own layers, the paper's sizes and rows taken alone."""

import pytest
import torch
from torch import nn

import glia
from glia.data.facts import SeriesFacts
from glia.data.task import Task
from glia.models.build import build
from glia.models.choose_series import PASSES, choose_series
from glia.models.convolved_series import MaskedNorm, SettledNorm

FACTS = SeriesFacts(3, 40, (1.0, 2.0, 3.0), (2.0, 1.0, 0.5), 100)
TASK = Task("classify", ("y",), ("a", "b", "c", "d"))


def ragged(lengths: tuple[int, ...] = (40, 9, 23, 31, 2)) -> torch.Tensor:
    x = torch.full((len(lengths), max(lengths), 3), float("nan"))
    for i, length in enumerate(lengths):
        x[i, :length] = torch.randn(length, 3, generator=torch.Generator().manual_seed(i))
    return x


@pytest.mark.parametrize("name", ["fcn", "resnet1d", "rocket", "lstm", "gru"])
def test_a_row_is_answered_the_same_alone_and_among_longer_ones(name: str) -> None:
    net, x = build(name, FACTS, TASK, width=16), ragged()
    with torch.no_grad():
        net.head.weight.normal_(generator=torch.Generator().manual_seed(0))  # type: ignore[union-attr, operator]
        net.train()(x)  # the running figures are no longer 0 and 1
        net.eval()
        whole = net(x)
        for i, length in enumerate((40, 9, 23, 31, 2)):
            torch.testing.assert_close(net(x[i : i + 1, :length])[0], whole[i], rtol=1e-4, atol=1e-5)
            assert whole[i].isfinite().all()


def test_masked_norm_is_torchs_over_what_is_there() -> None:
    x = torch.randn(4, 5, 11, generator=torch.Generator().manual_seed(1), requires_grad=True)
    there = torch.arange(11) < torch.tensor([11, 4, 7, 1])[:, None]
    ours, theirs = MaskedNorm(5), nn.BatchNorm1d(5)
    got = ours(x, there).transpose(1, 2)[there]
    flat = x.transpose(1, 2)[there]
    torch.testing.assert_close(got, theirs(flat), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    a, b = (
        torch.autograd.grad(out.square().sum() + out[:3].sum(), x, retain_graph=True)[0] for out in (got, theirs(flat))
    )
    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_masked_norm_of_bfloat16_keeps_its_figures_in_float32() -> None:
    x = (3 + torch.randn(32, 4, 50, generator=torch.Generator().manual_seed(2)) / 5).bfloat16()
    there = (torch.arange(50) < 40).expand(32, 50)
    ours, theirs = MaskedNorm(4), nn.BatchNorm1d(4)
    got, true = ours(x, there)[:, :, :40], theirs(x[:, :, :40].float())
    torch.testing.assert_close(got.float(), true, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)


def test_sizes_are_those_of_the_paper() -> None:
    """Channels 128, 256, 128 and three blocks of 64, 128, 128 with kernels of 8, 5, 3; no biases before a norm."""
    one = SeriesFacts(1, 50, (0.0,), (1.0,), 10)
    two = Task("classify", ("y",), ("a", "b"))

    def size(name: str) -> int:
        return sum(p.numel() for p in build(name, one, two).parameters())

    fcn = 8 * 128 + 2 * 128 + 5 * 128 * 256 + 2 * 256 + 3 * 256 * 128 + 2 * 128 + 2 * 128 + 2
    assert size("fcn") == fcn

    def block(inputs: int, outputs: int) -> int:
        convs = outputs * (8 * inputs + 5 * outputs + 3 * outputs) + 4 * 2 * outputs
        return convs + (inputs * outputs if inputs != outputs else 0)

    assert size("resnet1d") == block(1, 64) + block(64, 128) + block(128, 128) + 2 * 128 + 2


def test_random_convolutions_are_frozen_and_give_what_torch_gives() -> None:
    net = build("rocket", FACTS, TASK, width=60)
    assert [name for name, _ in net.named_parameters()] == ["head.weight", "head.bias"]
    weights, half = net.weights, 30  # type: ignore[union-attr]
    assert float(weights.sum(2).abs().max()) < 1e-4 and bool((weights != 0).any(2).any(1).all())
    x = ragged((17,))
    z, lengths = net.front(x)  # type: ignore[operator]
    found = net._figures(z.transpose(1, 2), lengths, None)  # type: ignore[operator]
    apart = torch.diff(z[0], dim=0, prepend=z[0, :1])
    apart = apart / apart.square().mean().sqrt()
    first = half // len(net.dilations)  # type: ignore[arg-type]
    for start, place, series in ((0, 0, z[0]), (half, 2 * half, apart)):
        for kernel in range(first):  # by hand: the first kernels of each half have dilation 1
            rows = torch.nn.functional.pad(series, (0, 0, 4, 4)).unfold(0, 9, 1)  # (17, 3, 9)
            values = (rows * weights[start + kernel]).sum((1, 2)) + net.biases[start + kernel]  # type: ignore[index]
            torch.testing.assert_close(found[0, place + kernel], values.max())
            torch.testing.assert_close(found[0, place + first + kernel], (values > 0).float().mean())


def test_settled_norm_is_the_mean_and_variance_of_all_rows_so_far() -> None:
    x = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(2)) * 3 + 1
    norm = SettledNorm(5, affine=False)
    for count in range(1, 5):
        seen = x[:count]
        variance = seen.var(1).mean(0)
        want = (x[count - 1] - seen.mean((0, 1))) / (variance + norm.eps).sqrt()
        torch.testing.assert_close(norm(x[count - 1]), want)
    before = norm.eval()(x[0])
    norm.train()(x[0, :1])  # one row alone: nothing is learnt
    torch.testing.assert_close(norm.eval()(x[0]), before)


def test_the_default_keeps_to_its_time() -> None:
    for rows, length in (
        (30, 24),
        (99, 427),
        (99, 10**5),
        (200, 427),
        (5000, 100),
        (5000, 500),
        (50_000, 500),
        (10**6, 1000),
    ):
        facts = SeriesFacts(1, length, (0.0,), (1.0,), rows)
        name, options, train, _ = choose_series(facts, rows, TASK)
        assert name == ("rocket" if rows < 100 and length < 10**4 else "fcn")
        work = rows * length * train["epochs"] * (options.get("width", 128) / 128) ** 2
        assert work <= 1.6 * PASSES or options["width"] == 16


def test_series_are_asked_for() -> None:
    with pytest.raises(glia.GliaError, match="fcn takes series"):
        build("fcn", glia.prepare("digits", limit_rows=50).facts, TASK)

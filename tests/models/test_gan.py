"""Adversarial pairs of fully connected layers: shapes, units, samples, and what else every network must bear."""

import pytest
import torch
from torch import nn

from glia.catalog.entry import find
from glia.data.facts import TensorFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.build import build
from glia.models.gan import GAN, gan
from tests.models import zoo

ASK = Task("multilabel", ("real",))
GREY, POINTS = zoo.image_facts(1, 8, 8), TensorFacts((3, 2), 100)


def test_parameters_by_the_formula() -> None:
    net = gan(zoo.image_facts(1, 28, 28), ASK, zoo.generator(), latent=100, hidden=(1200, 1200))
    maker = 101 * 1200 + 1201 * 1200 + 1201 * 784
    judge = 785 * 1200 + 1201 * 1200 + 1201
    assert (zoo.parameters(net.generator), zoo.parameters(net.discriminator)) == (maker, judge)


@pytest.mark.parametrize(("facts", "dtype"), [(GREY, torch.uint8), (POINTS, torch.float32)])
def test_samples_look_like_rows(facts: object, dtype: torch.dtype) -> None:
    net = build("gan", facts, ASK, latent=5, hidden=(16,))  # type: ignore[arg-type]
    assert isinstance(net, GAN)
    rows = net.sample(7, zoo.generator(), batch_size=3)
    assert rows.shape == (7, *facts.shape) and rows.dtype == dtype  # type: ignore[attr-defined]
    assert net(rows).shape == (7, 1)
    torch.testing.assert_close(rows, net.sample(7, zoo.generator()))  # whatever the size of a batch
    assert not torch.equal(rows, net.sample(7, zoo.generator(1), batch_size=3))
    assert net.training and rows.unique(dim=0).shape[0] > 1
    with pytest.raises(GliaError, match="sample; got 0; expected a number of rows"):
        net.sample(0)


def test_pictures_and_the_networks_units_are_one_another() -> None:
    net = gan(GREY, ASK, zoo.generator())
    every = torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8)
    assert net.real(every).min() == -1 and net.real(every).max() == 1
    assert torch.equal(net.raw(net.real(every)), every)


def test_sampling_does_not_touch_the_batch_norms() -> None:
    maker = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))
    net = GAN(maker, nn.Linear(2, 1), 4)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    together, alone = (net.sample(5, zoo.generator(), batch_size=size) for size in (5, 1))
    torch.testing.assert_close(together, alone)  # a row does not see its batch
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items()) and net.training


def test_stages_cover_all_and_end_with_the_judges_last_layer() -> None:
    net = gan(GREY, ASK, zoo.generator(), hidden=(16, 16))
    stages = net.stages()
    flat = [prefix for stage in stages for prefix in stage]
    assert all(any(name.startswith(f"{prefix}.") for prefix in flat) for name, _ in net.named_parameters())
    assert len(stages) == 6 and stages[-1] == ["discriminator.5"]


def test_only_the_discriminator_has_its_own_rate() -> None:
    from glia.optim import build as optim

    net = gan(POINTS, ASK, zoo.generator(), discriminator_lr=2.0)
    groups = optim.build("adam", net, lr=0.1).param_groups
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert {rates[id(p)] for p in net.generator.parameters()} == {0.1}
    assert {rates[id(p)] for p in net.discriminator.parameters()} == {0.2}


def test_the_seed_is_all_that_the_weights_depend_on() -> None:
    one, same, other = (build("gan", POINTS, ASK, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["generator.0.weight"], other["generator.0.weight"])


def test_what_every_network_bears() -> None:
    net = gan(GREY, ASK, zoo.generator(), latent=6, hidden=(16, 16))
    noise, rows = torch.randn(4, 6, generator=zoo.generator()), zoo.pictures(4, 1, 8, 8)
    zoo.assert_runs_in_bfloat16(net.generator, noise)
    zoo.assert_runs_in_bfloat16(net.discriminator, net.real(rows))
    zoo.assert_exports(net, rows)
    zoo.assert_exports(net.generator, noise)
    zoo.assert_compiles(net.generator, noise)


def test_bad_input_is_refused() -> None:
    with pytest.raises(GliaError, match="gan takes images or plain numbers; got text data"):
        gan(zoo.text_facts(), ASK, zoo.generator())
    with pytest.raises(GliaError, match="size of a gan; got latent 0"):
        gan(POINTS, ASK, zoo.generator(), latent=0)
    assert find("models", "gan").facts["inputs"] == ("image", "tensor")

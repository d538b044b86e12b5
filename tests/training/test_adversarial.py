"""Adversarial training: each player's gradient is its own textbook loss's, and rings and pictures are learnt."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import glia
from glia.data.facts import TensorFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.build import build
from glia.models.gan import GAN
from glia.optim import build as optim
from glia.training.adversarial import adversarial
from glia.training.steps import Outcome

ASK = Task("multilabel", ("real",))


def pair() -> GAN:
    """With batch norm in both, whose running figures are the difficulty."""
    torch.manual_seed(0)
    maker = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    judge = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
    return GAN(maker, judge, 3)


def gradients(net: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


OPTIONS = {"wasserstein": {"penalty": 0.0}}


@pytest.mark.parametrize("loss", ["non_saturating", "minimax", "wasserstein"])
def test_one_backward_is_the_textbooks_two(loss: str) -> None:
    """Goodfellow 2014, algorithm 1, each player by its own optimiser: BCE against ones and zeros, detach, two calls."""
    x = torch.randn(16, 2, generator=torch.Generator().manual_seed(1))
    ours, theirs = pair(), pair()
    torch.manual_seed(5)
    outcome = adversarial(loss, **OPTIONS.get(loss, {}))(ours, (x, torch.zeros(16)))
    assert isinstance(outcome, Outcome)
    outcome.loss.backward()

    torch.manual_seed(5)
    made = theirs.generator(torch.randn(16, 3))
    seen, fooled = theirs.discriminator(x), theirs.discriminator(made.detach())
    ones, zeros = torch.ones(16, 1), torch.zeros(16, 1)
    bce = F.binary_cross_entropy_with_logits
    d_loss = bce(seen, ones) + bce(fooled, zeros) if loss != "wasserstein" else fooled.mean() - seen.mean()
    d_grad = torch.autograd.grad(d_loss, list(theirs.discriminator.parameters()))
    figures = {name: value.clone() for name, value in theirs.state_dict().items() if "running" in name}
    tempting = theirs.discriminator(made)
    g_losses = {
        "non_saturating": bce(tempting, ones),
        "minimax": -bce(tempting, zeros),
        "wasserstein": -tempting.mean(),
    }
    g_loss = g_losses[loss]
    g_grad = torch.autograd.grad(g_loss, list(theirs.generator.parameters()))

    for p, wanted in zip(ours.discriminator.parameters(), d_grad, strict=True):
        torch.testing.assert_close(p.grad, wanted)
    for p, wanted in zip(ours.generator.parameters(), g_grad, strict=True):
        torch.testing.assert_close(p.grad, wanted)
    assert outcome.loss.item() == pytest.approx(d_loss.item(), rel=1e-5)
    assert outcome.metric is not None and outcome.metric.item() / 16 == pytest.approx(g_loss.item(), rel=1e-5)
    mine = ours.state_dict()
    for name, wanted in figures.items():  # true and made rows are counted once each, not the made ones twice
        torch.testing.assert_close(mine[name], wanted)


def test_the_penalty_is_that_of_a_slope_known_by_hand() -> None:
    """D(x) = 3 x_0 + 4 x_1 has the slope 5 everywhere: penalty 10 (5 - 1)^2 = 160; its gradient along w is 80 w / 5."""
    judge = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        judge.weight.copy_(torch.tensor([[3.0, 4.0]]))
    net, x = GAN(nn.Linear(3, 2), judge, 3), torch.randn(8, 2)
    found = {}
    for penalty in (0.0, 10.0):
        torch.manual_seed(0)
        net.zero_grad()
        outcome = adversarial("wasserstein", penalty=penalty)(net, x)
        assert isinstance(outcome, Outcome)
        outcome.loss.backward()
        found[penalty] = outcome.loss.item(), gradients(net)
    assert found[10.0][0] - found[0.0][0] == pytest.approx(160, rel=1e-4)
    more = found[10.0][1]["discriminator.weight"] - found[0.0][1]["discriminator.weight"]
    torch.testing.assert_close(more, 10 * 2 * (5 - 1) * judge.weight.detach() / 5, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[10.0][1]["generator.weight"], found[0.0][1]["generator.weight"])


def ring(count: int) -> Tensor:
    """Eight blobs of standard deviation 0.1 on a circle of radius 1.5."""
    draws = torch.Generator().manual_seed(0)
    return CENTRES[torch.randint(0, 8, (count,), generator=draws)] + 0.1 * torch.randn(count, 2, generator=draws)


ANGLES = torch.arange(8) * (math.pi / 4)
CENTRES = 1.5 * torch.stack([ANGLES.cos(), ANGLES.sin()], 1)


@pytest.mark.parametrize(
    ("loss", "hidden", "lr", "share", "epochs", "near"),
    [("non_saturating", (64, 64), 3e-3, 2.0, 12, 1400), ("wasserstein", (64, 64), 1e-3, 4.0, 10, 700)],
)
def test_it_learns_a_ring_of_eight_blobs(
    loss: str, hidden: tuple[int, ...], lr: float, share: float, epochs: int, near: int
) -> None:
    """Of 2,000 made points at least `near` lie within three standard deviations of a blob, and every blob has some."""
    net = build("gan", TensorFacts((2,), 25_600), ASK, latent=4, hidden=hidden, discriminator_lr=share)
    assert isinstance(net, GAN)
    assert on_blobs(net).sum() < 400  # before: 8 x 0.3^2 pi of the circle's area, about
    adam = optim.build("adam", net, lr=lr, weight_decay=0.0, momentum=0.5)
    step = adversarial(loss, **({"penalty": 1.0} if loss == "wasserstein" else {}))
    moments = list(
        glia.fit(net, list(ring(25_600).split(128)), step=step, optimizer=adam, epochs=epochs, valid_every=epochs)
    )
    assert moments[-1].figures.keys() == {"train_loss", "train_generator_loss"}
    assert on_blobs(net).sum() > near and on_blobs(net).min() > 40  # an eighth of the points is 250


def on_blobs(net: GAN) -> Tensor:
    distance, blob = torch.cdist(net.sample(2000, torch.Generator().manual_seed(1)), CENTRES).min(1)
    return blob[distance < 0.3].bincount(minlength=8)


def test_validation_reports_both_losses_and_changes_nothing() -> None:
    net, x = pair(), torch.randn(64, 2, generator=torch.Generator().manual_seed(1))
    moment = list(glia.fit(net, ([x], [x]), step=adversarial("wasserstein"), lr=0.0))[-1]
    assert moment.figures.keys() == {"train_loss", "train_generator_loss", "valid_loss", "valid_generator_loss"}
    net.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    torch.manual_seed(3)
    with torch.inference_mode():
        outcome = adversarial()(net, x)
        torch.manual_seed(3)
        made = net.generator(torch.randn(64, 3))
        wanted = F.softplus(-net.discriminator(x)).mean() + F.softplus(net.discriminator(made)).mean()
    assert isinstance(outcome, Outcome)
    torch.testing.assert_close(outcome.loss, wanted)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_the_noise_of_a_step_is_a_function_of_the_seed() -> None:
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(1))
    runs = []
    for seed in (0, 0, 1):
        net = pair()
        torch.manual_seed(seed + len(runs))  # whatever was drawn before
        list(glia.fit(net, list(x.split(16)), step=adversarial(), epochs=2, seed=seed))
        runs.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


def test_bad_input_is_refused() -> None:
    with pytest.raises(GliaError, match="unknown loss 'gan_hinged'.*'gan_hinge'"):
        adversarial("hinged")
    with pytest.raises(GliaError, match="penalty of gan_wasserstein; got -1"):
        adversarial("wasserstein", penalty=-1)
    with pytest.raises(GliaError, match="adversarial training; got Linear; expected a GAN"):
        adversarial()(nn.Linear(2, 2), torch.zeros(4, 2))

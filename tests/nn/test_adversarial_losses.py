"""Losses of two players against the papers' formulas, and a game whose end is known."""

import math

import pytest
import torch
from torch import Tensor, nn

from glia.catalog.entry import entries
from glia.errors import GliaError
from glia.nn.adversarial import build, gradient_penalty

REAL, MADE = torch.tensor([[0.3], [-1.2], [2.0]]).double(), torch.tensor([[-0.5], [1.1], [0.0]]).double()
NAMES = [entry.name for entry in entries("losses") if entry.facts["form"] == "players"]


def test_the_papers_formulas() -> None:
    d_real, d_made = REAL.sigmoid(), MADE.sigmoid()
    judged = -(d_real.log().mean() + (1 - d_made).log().mean())
    for name in ("gan_minimax", "gan"):
        torch.testing.assert_close(build(name).discriminator(REAL, MADE), judged)
    torch.testing.assert_close(build("minimax").generator(MADE), (1 - d_made).log().mean())
    torch.testing.assert_close(build("gan").generator(MADE), -d_made.log().mean())
    assert build("wgan-gp").discriminator(REAL, MADE).item() == pytest.approx(0.2 - 1.1 / 3)
    assert build("gan_hinge").discriminator(REAL, MADE).item() == pytest.approx((0.7 + 2.2) / 3 + (0.5 + 2.1 + 1) / 3)
    for name in ("wasserstein", "gan_hinge"):
        assert build(name).generator(MADE).item() == pytest.approx(-0.2)


def test_the_minimax_generator_starves_while_it_is_seen_through() -> None:
    """Section 3 of the paper: at D(G(z)) near 0 the first loss is flat, the second is not."""
    slopes = {}
    for name in ("gan_minimax", "gan"):
        score = torch.tensor([-20.0], requires_grad=True)
        build(name).generator(score).backward()
        assert score.grad is not None and score.grad.item() < 0  # both want a higher score
        slopes[name] = abs(score.grad.item())
    assert slopes["gan_minimax"] < 1e-8 and slopes["gan"] == pytest.approx(1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_finite_however_far_out(name: str, size: float) -> None:
    for dtype in (torch.float32, torch.float16):
        real, made = (torch.full((3, 1), value, dtype=dtype, requires_grad=True) for value in (size, -size))
        value = build(name).discriminator(real, made) + build(name).generator(made)
        value.backward()
        assert value.isfinite() and value.dtype == torch.float32
        for scores in (real, made):
            assert scores.grad is not None and scores.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_differences(name: str) -> None:
    loss = build(name)
    scores = (REAL.clone().requires_grad_(), MADE.clone().requires_grad_())
    assert torch.autograd.gradcheck(loss.discriminator, scores)
    assert torch.autograd.gradcheck(loss.generator, scores[1:])


def test_the_penalty_is_the_slope_of_the_critic() -> None:
    """A linear critic has the same slope everywhere: (|w| - 1)^2, whose gradient is 2 (|w| - 1) w / |w|."""
    critic = nn.Linear(3, 1).double()
    real, made = torch.randn(5, 3).double(), torch.randn(5, 3).double()
    penalty = gradient_penalty(critic, real, made)
    length = critic.weight.detach().norm()
    torch.testing.assert_close(penalty.detach(), (length - 1) ** 2)
    penalty.backward()
    assert critic.weight.grad is not None
    torch.testing.assert_close(critic.weight.grad, 2 * (length - 1) * critic.weight.detach() / length)
    with pytest.raises(GliaError, match="gradient_penalty"):
        gradient_penalty(critic, real, made[:3])


def test_the_penalty_looks_between_the_rows_and_draws_from_the_generator() -> None:
    seen: list[Tensor] = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.square().sum(1)

    real, made = torch.zeros(64, 2), torch.tensor([4.0, -2.0]).expand(64, 2)
    first, second = (gradient_penalty(critic, real, made, torch.Generator().manual_seed(3)) for _ in range(2))
    assert first == second and torch.equal(seen[0], seen[1])
    share = seen[0][:, 0] / 4
    torch.testing.assert_close(seen[0], share[:, None] * made)
    assert 0 <= share.min() < 0.1 and 0.9 < share.max() <= 1
    torch.testing.assert_close(first, (2 * seen[0].norm(dim=1) - 1).square().mean())


def test_a_wasserstein_critic_tells_how_far_the_made_rows_are() -> None:
    """Two spreads of one form, 3 apart, are 3 apart in Wasserstein's distance (the penalty lets slopes exceed 1)."""
    torch.manual_seed(0)
    loss, critic = build("wasserstein"), nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
    judge = torch.optim.Adam(critic.parameters(), 0.02, (0.5, 0.9))
    for _ in range(250):
        real, made = torch.randn(64, 1) + 3, torch.randn(64, 1)
        judge.zero_grad()
        penalty = loss.penalty * gradient_penalty(critic, real, made)  # type: ignore[attr-defined]
        (loss.discriminator(critic(real), critic(made)) + penalty).backward()
        judge.step()
    made = torch.randn(4000, 1)
    assert -loss.discriminator(critic(made + 3), critic(made)).item() == pytest.approx(3, abs=0.4)


@pytest.mark.parametrize("name", ["gan", "gan_hinge"])
def test_a_generator_of_one_number_finds_the_place_of_the_data(name: str) -> None:
    """Data at 3 with a spread of 1; the generator moves a normal. Both players take turns."""
    torch.manual_seed(0)
    loss, place, critic = (
        build(name),
        nn.Parameter(torch.zeros(1)),
        nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1)),
    )
    judge, maker = torch.optim.Adam(critic.parameters(), 0.02, (0.5, 0.9)), torch.optim.SGD([place], 0.2)
    path = []
    for _ in range(120):
        for _ in range(5):
            real, made = torch.randn(64, 1) + 3, (torch.randn(64, 1) + place).detach()
            judge.zero_grad()
            loss.discriminator(critic(real), critic(made)).backward()
            judge.step()
        maker.zero_grad()
        loss.generator(critic(torch.randn(64, 1) + place)).backward()
        maker.step()
        path.append(place.item())
    assert sum(path[-60:]) / 60 == pytest.approx(3, abs=0.5)


def test_what_is_refused() -> None:
    with pytest.raises(GliaError, match="penalty of gan_wasserstein; got nan"):
        build("gan_wasserstein", penalty=math.nan)
    with pytest.raises(GliaError, match="gan_hinge takes no options"):
        build("gan_hinge", penalty=1.0)
    with pytest.raises(GliaError, match="mse is no loss of two networks"):
        build("mse")

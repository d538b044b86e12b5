"""Losses of embeddings against plain loops and torch's own triplets."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from glia.errors import GliaError
from glia.nn import losses
from glia.nn.embedding_losses import contrastive, supervised_contrastive, triplet

Z = torch.randn(7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.tensor([0, 1, 0, 2, 1, 0, 5])
EVERY = (contrastive, triplet, supervised_contrastive)


def test_contrastive_is_the_mean_over_pairs() -> None:
    values = []
    for i in range(7):
        for j in range(i):
            d = (Z[i] - Z[j]).norm().item()
            values.append(d**2 / 2 if LABELS[i] == LABELS[j] else max(0.0, 2.5 - d) ** 2 / 2)
    assert contrastive(Z, LABELS, margin=2.5).item() == pytest.approx(sum(values) / len(values))


def test_triplet_is_torchs_on_the_hardest_rows() -> None:
    values = []
    for i in range(7):
        own = [j for j in range(7) if j != i and LABELS[j] == LABELS[i]]
        if not own:
            continue
        others = [j for j in range(7) if LABELS[j] != LABELS[i]]
        far = max(own, key=lambda j: (Z[i] - Z[j]).norm().item())
        near = min(others, key=lambda j: (Z[i] - Z[j]).norm().item())
        values.append(F.triplet_margin_loss(Z[i], Z[far], Z[near], margin=0.7, eps=0.0).item())
    assert len(values) == 5 and triplet(Z, LABELS, margin=0.7).item() == pytest.approx(sum(values) / 5)


def test_supervised_contrastive_is_the_formula() -> None:
    unit, values = Z / Z.norm(dim=1, keepdim=True), []
    for i in range(7):
        own = [j for j in range(7) if j != i and LABELS[j] == LABELS[i]]
        score = {j: (unit[i] @ unit[j] / 0.3).exp().item() for j in range(7) if j != i}
        if own:
            values.append(-sum(torch.tensor(score[j] / sum(score.values())).log().item() for j in own) / len(own))
    assert supervised_contrastive(Z, LABELS, temperature=0.3).item() == pytest.approx(
        sum(values) / len(values), rel=1e-6
    )


def test_two_views_of_each_row_give_simclr() -> None:
    """NT-Xent as a cross-entropy: row i of 2 n is to find row i + n among all but itself."""
    unit = F.normalize(Z[:6], dim=1)
    logits = (unit @ unit.T / 0.5).fill_diagonal_(float("-inf"))
    theirs = F.cross_entropy(logits, (torch.arange(6) + 3) % 6)
    torch.testing.assert_close(supervised_contrastive(Z[:6], torch.arange(3).repeat(2), temperature=0.5), theirs)


@pytest.mark.parametrize("loss", EVERY)
def test_gradients_are_finite_differences(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert torch.autograd.gradcheck(lambda z: loss(z, LABELS), Z.clone().requires_grad_())


@pytest.mark.parametrize("loss", EVERY)
@pytest.mark.parametrize("size", [1e4, 0.0])
def test_far_out_all_alike_and_nothing_to_compare(loss: Callable[[Tensor, Tensor], Tensor], size: float) -> None:
    for labels in (LABELS, torch.arange(7), torch.zeros(7, dtype=torch.long)):
        z = (Z.float() * size).requires_grad_()
        value = loss(z, labels)
        value.backward()
        assert value.isfinite() and z.grad is not None and z.grad.isfinite().all()
    alone = Z[:1].clone().requires_grad_()
    value = loss(alone, LABELS[:1])
    value.backward()
    assert value == 0 and alone.grad is not None and (alone.grad == 0).all()


def test_they_draw_labels_together() -> None:
    """Two labels that begin mixed up are apart after some steps: nearest neighbours are of one's own label."""
    labels = torch.arange(12) % 2
    for name in ("contrastive", "triplet", "supcon"):
        z = torch.randn(12, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
        loss = losses.build(name)
        for _ in range(80):
            (slope,) = torch.autograd.grad(loss(z, labels), z)
            z = (z - 0.5 * slope).detach().requires_grad_()
        unit = F.normalize(z.detach(), dim=1)
        nearest = torch.cdist(unit, unit).fill_diagonal_(9.0).argmin(1)
        assert (labels[nearest] == labels).all(), name


def test_what_is_refused() -> None:
    for loss in EVERY:
        with pytest.raises(GliaError, match=r"a loss of embeddings; got embeddings \(7, 4\), labels \(6,\)"):
            loss(Z, LABELS[:6])
        with pytest.raises(GliaError, match="whole numbers"):
            loss(Z, LABELS.float())
    with pytest.raises(GliaError, match="temperature of supervised_contrastive"):
        losses.build("supcon", temperature=0.0)

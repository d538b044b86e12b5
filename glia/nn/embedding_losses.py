"""Losses of embeddings: rows of one label near each other, rows of different labels apart. For faces, voices, search.

All take (embeddings (N, D), labels (N,)) and compare the rows of a batch with each other, so a row has no loss of its
own. A batch without anything to compare costs 0.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from glia.errors import GliaError
from glia.nn.precision import exact


def contrastive(embeddings: Tensor, labels: Tensor, margin: float = 1.0) -> Tensor:
    """d^2 / 2 for a pair of one label, max(0, margin - d)^2 / 2 for others; the mean over all pairs of the batch.

    d: Euclidean distance. Hadsell et al. 2006, CVPR, equation 4.
    """
    embeddings, same = _checked(embeddings, labels)
    one, other = torch.triu_indices(len(same), len(same), offset=1, device=same.device)
    distance = _distances(embeddings)[one, other]
    each = torch.where(same[one, other], distance, (margin - distance).clamp_min(0)).square() / 2
    return each.sum() / max(len(each), 1)


def triplet(embeddings: Tensor, labels: Tensor, margin: float = 0.2) -> Tensor:
    """max(0, margin + furthest of the own label - nearest of another), by Euclidean distance.

    The mean over the rows that have both. Hermans et al. 2017, arXiv 1703.07737, equation 5 ("batch hard"); the loss of
    Schroff et al. 2015 (arXiv 1503.03832), whose embeddings have length 1 and whose distances are squared.
    """
    embeddings, same = _checked(embeddings, labels)
    distance = _distances(embeddings)
    own = same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
    furthest = distance.masked_fill(~own, 0.0).amax(1)
    nearest = distance.masked_fill(same, torch.inf).amin(1)
    whole = own.any(1) & ~same.all(1)
    each = (margin + furthest - nearest.masked_fill(~whole, 0.0)).clamp_min(0) * whole
    return each.sum() / whole.sum().clamp_min(1)


def supervised_contrastive(embeddings: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """Cross-entropy of finding the rows of one's own label among all others, by the cosine over `temperature`.

    The mean over the rows that have another of their label. Khosla et al. 2020, arXiv 2004.11362, equation 2. Two views
    of each row under a label of its own give the loss of SimCLR (Chen et al. 2020, arXiv 2002.05709, equation 1).
    """
    embeddings, same = _checked(embeddings, labels)
    directions = F.normalize(embeddings, dim=1)
    self = torch.eye(len(same), dtype=torch.bool, device=same.device)
    # far below every cosine, and finite: a batch of one row has nothing else to be a share of
    likeness = (directions @ directions.T / temperature).masked_fill(self, -1e9)
    log_share = likeness.log_softmax(1)
    own = same & ~self
    each = -(log_share * own).sum(1) / own.sum(1).clamp_min(1)
    return each.sum() / own.any(1).sum().clamp_min(1)


def _distances(embeddings: Tensor) -> Tensor:
    """(N, N); the gradient at distance 0 is 0. The short cut by matrix products would lose small distances."""
    return torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")


def _checked(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Embeddings in full precision, and which rows are of one label: bool (N, N)."""
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1] or labels.is_floating_point():
        raise GliaError(
            "a loss of embeddings",
            got=f"embeddings {tuple(embeddings.shape)}, labels {tuple(labels.shape)} {labels.dtype}",
            expected="embeddings (N, D) and whole numbers (N,)",
        )
    return exact(embeddings), labels[:, None] == labels

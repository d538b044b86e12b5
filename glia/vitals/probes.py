"""Probes: how much of the answers one column alone says, and how much the nearest rows say."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

SPARSE = 0.85  # share of zeros from which rows are compared by direction
MOST_WIDE = 20.0  # a column that hardly varied in train does not say more than this
FEWEST = 20  # rows of a part, below which nothing is said
ROWS_OF_CLASS = 10  # training rows of a class, below which one column may fit it by chance
INDICATORS = 64  # classes that are looked at
NEIGHBOURS = 5
LITTLE = 0.2  # where neighbours tell less than this beyond chance, class means may tell more
TRAIN_ROWS, VALID_ROWS = 2000, 1000  # rows among which neighbours are sought
DIRECTIONS = 64  # columns that distances are taken in; more are projected
WIDE = 3.0  # standard deviations at which a column is cut off, for distances


def told(train: Tensor, y_train: Tensor, valid: Tensor, y_valid: Tensor, axes: int) -> dict[str, Any]:
    """Fields of SplitFacts, of matrices of inputs that had `axes` axes and their labels."""
    answers, classes = _answers(y_train, y_valid)
    if answers is None or len(train) < FEWEST or len(valid) < FEWEST:
        return {}
    ours, theirs = answers
    middle, width = _scale(train)
    scaled, held_out = _standard(train, middle, width), _standard(valid, middle, width)
    facts = _telltale(scaled, ours, held_out, theirs, classes) if axes == 2 and train.shape[1] > 1 else {}
    if (train == 0).double().mean().item() > SPARSE:
        # Among counts of words, distance says little, and direction much.
        scaled, held_out = (functional.normalize(torch.nan_to_num(x, posinf=0.0, neginf=0.0)) for x in (train, valid))
    return facts | _neighbours(scaled, ours, held_out, theirs, classes)


def moved(train: Tensor, valid: Tensor) -> tuple[float, float]:
    """How far the held-out columns lie from the training columns, and how wide they are."""
    if len(train) < FEWEST or len(valid) < FEWEST:
        return math.nan, math.nan
    (middle, width), (other, wide) = _scale(train), _scale(valid)
    varied = (width > 1e-6 * middle.abs()) & (width > 0)
    if not bool(varied.any()):
        return math.nan, math.nan
    ratios = (wide[varied] / width[varied]).double().square().clamp(max=MOST_WIDE**2)
    shift = ((other - middle)[varied] / width[varied]).abs().median().item()
    return shift, math.sqrt(ratios.mean().item())


def _answers(y_train: Tensor, y_valid: Tensor) -> tuple[tuple[Tensor, Tensor] | None, bool]:
    """Both as class numbers (N,) or as matrices of numbers (N, K); and whether they are classes."""
    both = []
    for y in (y_train, y_valid):
        y = y.reshape(len(y), -1).double()
        both.append(y)
    ours, theirs = both
    if not bool(ours.isfinite().all() and theirs.isfinite().all()):
        return None, False
    if ours.shape[1] > 1 and bool(((ours == 0) | (ours == 1)).all()) and bool((ours.sum(1) == 1).all()):
        ours = ours.argmax(1, keepdim=True).double()
    if theirs.shape[1] > 1 and bool(((theirs == 0) | (theirs == 1)).all()) and bool((theirs.sum(1) == 1).all()):
        theirs = theirs.argmax(1, keepdim=True).double()
    if ours.shape[1] != theirs.shape[1] or ours.shape[1] > INDICATORS:
        return None, False
    whole = ours.shape[1] == 1 and bool((ours == ours.round()).all() and (theirs == theirs.round()).all())
    if whole and len(ours.unique()) <= max(2, min(INDICATORS, len(ours) // 5)):
        return (ours.flatten().long(), theirs.flatten().long()), True
    return (ours, theirs), False


def _scale(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each column over its finite numbers."""
    good = x.isfinite()
    if bool(good.all()):
        return x.mean(0), x.std(0)
    count = good.sum(0).clamp(min=1)
    kept = x.where(good, 0.0)
    middle = kept.sum(0) / count
    return middle, ((kept - middle).where(good, 0.0).square().sum(0) / count).sqrt()


def _standard(x: Tensor, middle: Tensor, width: Tensor) -> Tensor:
    scaled = (x - middle) / width.where(width > 1e-6 * middle.abs().clamp(min=1e-30), math.inf)
    return torch.nan_to_num(scaled, nan=0.0, posinf=0.0, neginf=0.0)


def _telltale(train: Tensor, ours: Tensor, valid: Tensor, theirs: Tensor, classes: bool) -> dict[str, Any]:
    """The column that says most of the training answers, and how much it says in both parts."""
    targets, held_out = _targets(ours, theirs) if classes else (ours.float(), theirs.float())
    if not targets.shape[1]:
        return {}
    in_train = _correlations(train, targets).abs()
    best = int(in_train.argmax())
    column, target = divmod(best, targets.shape[1])
    return {
        "telltale": column,
        "telltale_train": in_train.flatten()[best].item(),
        "telltale_valid": _held_out(train[:, column], targets[:, target], valid[:, column], held_out[:, target]),
    }


def _held_out(train: Tensor, ours: Tensor, valid: Tensor, theirs: Tensor) -> float:
    """Correlation in the held-out rows, or how well the line of the training rows holds there, if that is more:
    held-out rows of a narrow range have a low correlation though the line holds.
    """
    correlation = _correlations(valid.unsqueeze(1), theirs.unsqueeze(1)).abs().item()
    x, y = train - train.mean(), ours - ours.mean()
    slope = (x @ y / (x @ x)).item() if bool(x @ x > 0) else 0.0
    wrong = (theirs - ours.mean() - slope * (valid - train.mean())).square().mean()
    kept = 1 - (wrong / y.square().mean()).item() if bool(y.square().mean() > 0) else 0.0
    return max(correlation, math.sqrt(max(0.0, kept)))


def _targets(ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """The class number, and an indicator of each class with enough rows."""
    values, counts = ours.unique(return_counts=True)
    enough = counts >= max(ROWS_OF_CLASS, 0.02 * len(ours))
    held_out = torch.stack([(theirs == value).sum() for value in values]) >= ROWS_OF_CLASS // 2
    kept = values[enough & held_out & (counts <= len(ours) - ROWS_OF_CLASS)]
    if len(kept) < 1:
        return ours.new_zeros(len(ours), 0).float(), theirs.new_zeros(len(theirs), 0).float()
    columns, others = [ours], [theirs]
    columns += [(ours == value) for value in kept]
    others += [(theirs == value) for value in kept]
    return torch.stack(columns, 1).float(), torch.stack(others, 1).float()


def _correlations(x: Tensor, y: Tensor) -> Tensor:
    """Of each column of x with each of y; 0 where one does not vary."""
    x, y = x - x.mean(0), y - y.mean(0)
    lengths = x.norm(dim=0).unsqueeze(1) * y.norm(dim=0)
    return (x.T @ y / lengths.where(lengths > 1e-6, math.inf)).clamp(-1, 1)


def _neighbours(train: Tensor, ours: Tensor, valid: Tensor, theirs: Tensor, classes: bool) -> dict[str, float]:
    train, ours = _every(train, ours, TRAIN_ROWS)
    valid, theirs = _every(valid, theirs, VALID_ROWS)
    train, valid = train.clamp(-WIDE, WIDE), valid.clamp(-WIDE, WIDE)
    by_means = _by_means(train, ours, valid, theirs) if classes else None
    if train.shape[1] > DIRECTIONS:
        directions = _widest(train)
        train, valid = train @ directions, valid @ directions
    among = _nearest(train, train, itself=False)
    across = _nearest(valid, train)
    within = _nearest(valid, valid, itself=False)
    score = _hits if classes else _explained
    found = score(ours[among], ours), score(ours[across], theirs), score(theirs[within], theirs)
    if by_means is not None and max(found) < LITTLE:
        found = by_means
    return dict(zip(("neighbours_train", "neighbours_valid", "neighbours_within"), found, strict=True))


def _by_means(train: Tensor, ours: Tensor, valid: Tensor, theirs: Tensor) -> tuple[float, float, float]:
    """The same with the mean of each class as the neighbour, which tells more where columns are many and sparse.

    Within a part, one half of the rows is told by the other.
    """
    return (
        _nearest_mean(train[::2], ours[::2], train[1::2], ours[1::2]),
        _nearest_mean(train, ours, valid, theirs),
        _nearest_mean(valid[::2], theirs[::2], valid[1::2], theirs[1::2]),
    )


def _nearest_mean(x: Tensor, y: Tensor, others: Tensor, labels: Tensor) -> float:
    values, index, counts = y.unique(return_inverse=True, return_counts=True)
    means = functional.one_hot(index).to(x).T @ x / counts.unsqueeze(1)
    guess = values[(others @ means.T - means.square().sum(1) / 2).argmax(1)]
    return _hits(guess.unsqueeze(1), labels)


def _widest(x: Tensor) -> Tensor:
    """Nearly the directions in which the rows vary most (Halko, Martinsson, Tropp 2011)."""
    generator = torch.Generator().manual_seed(0)
    found = torch.randn(x.shape[1], DIRECTIONS, generator=generator)
    x = x[:: math.ceil(len(x) / 1000)]
    for _ in range(2):
        found = torch.linalg.qr(x.T @ (x @ found)).Q
    return found


def _every(x: Tensor, y: Tensor, most: int) -> tuple[Tensor, Tensor]:
    step = math.ceil(len(x) / most)
    return x[::step], y[::step]


def _nearest(some: Tensor, others: Tensor, itself: bool = True) -> Tensor:
    """Numbers of the nearest rows of `others`."""
    distances = others.square().sum(1) - 2 * some @ others.T
    if not itself:
        distances.fill_diagonal_(math.inf)
    return distances.topk(NEIGHBOURS, largest=False).indices


def _hits(votes: Tensor, labels: Tensor) -> float:
    """Share of rows whose label most of their neighbours have, less the share of the commonest label."""
    guess = votes.mode(1).values
    commonest = labels.unique(return_counts=True)[1].max().item() / len(labels)
    return (guess == labels).double().mean().item() - commonest


def _explained(votes: Tensor, labels: Tensor) -> float:
    """R2 of the neighbours' mean, over all columns of numbers that vary."""
    wrong = (votes.mean(1) - labels).square().sum(0)
    spread = (labels - labels.mean(0)).square().sum(0)
    varied = spread > 0
    return (1 - wrong[varied] / spread[varied]).mean().item() if bool(varied.any()) else math.nan

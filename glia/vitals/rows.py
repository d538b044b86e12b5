"""Rows: what the rows and the answers of each part look like, and how the parts lie to each other."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from glia.vitals import likeness, probes
from glia.vitals.chart import LabelFacts, RowsFacts, SplitFacts, Spread

NUMBERS = 2**22  # numbers of a part that are looked at, whole rows at even distances
HASHED, PROBED = 2**23, 2**20  # the same, to find shared rows, and to see how the parts lie to each other
LISTED = 1000  # constant columns, and pairs of equal columns, that are named
MOST_CLASSES = 4096
FEW_VALUES = 64  # whole numbers with no more values than this may be classes
IGNORED = -100  # torch's ignore_index
ROUNDING = 1e-6  # a column whose deviation is below this share of its largest number does not vary
EXACT = 2e-4  # how nearly mean 0 and deviation 1 hold where they were made to
WINDOW = 4  # fewest numbers in a window of a series


def rows_facts(part: str, x: Tensor) -> RowsFacts:
    """The inputs of a part. Columns are numbers of the flattened row."""
    shape, dtype = tuple(x.shape), str(x.dtype).removeprefix("torch.")
    if x.is_complex() or x.is_sparse or not x.numel():
        return RowsFacts(part, len(x) if x.ndim else 0, shape, dtype)
    looked_at = _even(x.detach().reshape(len(x) if x.ndim else 1, *x.shape[1:]))
    flat = likeness.plain(looked_at)
    table = torch.from_numpy(flat)
    numbers = table if table.is_floating_point() else table.float()
    facts, still = _spread(numbers, tuple(looked_at.shape))
    constant = still.nonzero().flatten()[:LISTED].tolist() if len(flat) > 1 else []
    same = _equal_columns(numbers, still) if len(flat) > 1 else ()
    return RowsFacts(
        part,
        len(flat),
        shape,
        dtype,
        facts,
        flat.shape[1],
        tuple(constant),
        same,
        likeness.repeated(likeness.keys(flat)),
    )


def _even(x: Tensor, most: int = NUMBERS) -> Tensor:
    """Rows at even distances, at most `most` numbers."""
    if x.numel() <= most:
        return x
    kept = max(2, most * len(x) // x.numel())
    return x[torch.linspace(0, len(x) - 1, min(kept, len(x)), device=x.device).long()]


def _spread(x: Tensor, shape: tuple[int, ...]) -> tuple[Spread, Tensor]:
    """The numbers of a matrix of floats, and which of its columns do not vary."""
    good = x.isfinite()
    bad = not bool(good.all())
    seen = x[good] if bad else x
    if not seen.numel():
        return Spread(nonfinite=1.0, rows=len(x)), torch.ones(x.shape[1], dtype=torch.bool)
    low, high = seen.aminmax()
    mean = seen.mean(dtype=torch.float64)
    std = (seen - mean).norm(dtype=torch.float64) / seen.numel() ** 0.5
    still = _still(x, good if bad else None)
    widths = _widths(x, good if bad else None, shape)
    facts = Spread(
        mean.item(), std.item(), low.item(), high.item(), (seen == 0).sum().item() / x.numel(),
        (x == 0).all(0).double().mean().item(), 1 - seen.numel() / x.numel(), len(x), *widths,
    )  # fmt: skip
    return facts, still


def _still(x: Tensor, good: Tensor | None) -> Tensor:
    """Columns with one value at most."""
    if good is None:
        return x.amax(0) == x.amin(0)
    return x.where(good, -math.inf).amax(0) <= x.where(good, math.inf).amin(0)


def _widths(x: Tensor, good: Tensor | None, shape: tuple[int, ...]) -> tuple[float, float]:
    """Smallest and largest standard deviation among the columns of a table, or the features of a series (N, T, F)."""
    if len(shape) not in (2, 3) or len(x) < 2:
        return math.nan, math.nan
    x, good = x.reshape(-1, shape[-1]), None if good is None else good.reshape(-1, shape[-1])
    if good is None:
        std, largest = x.std(0), x.abs().amax(0)
    else:
        count = good.sum(0).clamp(min=1)
        kept = x.where(good, 0.0)
        middle = kept.sum(0) / count
        std = ((kept - middle) ** 2).where(good, 0.0).sum(0).div((count - 1).clamp(min=1)).sqrt()
        largest = kept.abs().amax(0)
    std = std[std > ROUNDING * largest]
    return (std.min().item(), std.max().item()) if len(std) else (math.nan, math.nan)


def _equal_columns(x: Tensor, still: Tensor) -> tuple[tuple[int, int], ...]:
    """Pairs of columns with equal numbers in every row, each later one with the first of its kind."""
    weights = torch.linspace(0.5, 1.5, len(x), dtype=x.dtype).cos()
    sums = (weights @ torch.nan_to_num(x)).tolist()
    first: dict[float, int] = {}
    pairs: list[tuple[int, int]] = []
    for column, total in enumerate(sums):
        if still[column] or total == 0:
            continue
        other = first.setdefault(total, column)
        if other != column and torch.equal(torch.nan_to_num(x[:, other]), torch.nan_to_num(x[:, column])):
            pairs.append((other, column))
    return tuple(pairs[:LISTED])


def label_facts(
    part: str, y: Tensor, outputs: int, given_order: Tensor | None = None, data_order: Tensor | None = None
) -> LabelFacts:
    """The answers of a part, for a network with `outputs` numbers a row (0: not known).

    given_order, data_order: labels as they were given to the model, and as they stand in the data set, where that is
    another order than that of y.
    """
    if not y.numel() or y.is_complex() or y.is_sparse:
        return LabelFacts(part, rows=len(y) if y.ndim else 0)
    y = _squeezed(y)
    kept = y[y != IGNORED] if not y.is_floating_point() and y.dtype != torch.bool else y
    values, _ = _spread(kept.reshape(-1, 1).double(), (kept.numel(), 1)) if kept.numel() else (Spread(), None)
    finite = kept[kept.isfinite()] if kept.is_floating_point() else kept
    whole = bool(finite.numel()) and (not finite.is_floating_point() or bool((finite == finite.round()).all()))
    kind, form = _kind(y, kept, values, whole, outputs)
    classes, counts = _counts(y, kept, kind, form, outputs) if whole else (0, ())
    told = LabelFacts(part, kind, form, len(y), classes, counts, values, whole)
    if not classes or kind in ("tokens", "multilabel") or len(y) < 2:
        return told
    given = _indices(y if given_order is None else _squeezed(given_order))
    in_data = math.nan if data_order is None else _alike_neighbours(_indices(_squeezed(data_order)))
    of_each = given.unique(return_counts=True)[1].double()
    by_chance = (of_each * (of_each - 1)).sum().item() / max(1, len(given) * (len(given) - 1))
    return LabelFacts(
        part, kind, form, len(y), classes, counts, values, whole, _alike_neighbours(given), by_chance, in_data
    )


def _squeezed(y: Tensor) -> Tensor:
    """Without axes of length 1 behind the first."""
    y = y.detach().cpu()
    return y.reshape(len(y) if y.ndim else 1, *(size for size in y.shape[1:] if size != 1))


def _kind(y: Tensor, kept: Tensor, values: Spread, whole: bool, outputs: int) -> tuple[str, str]:
    bits = whole and values.low >= 0 and values.high <= 1
    number = y.is_floating_point()
    if not whole:
        return "numbers", "raw"
    if y.ndim == 1:
        if outputs > 1 or (outputs == 0 and not number and y.dtype != torch.bool):
            wild = number and values.high > 10 * outputs
            return ("numbers", "raw") if wild else ("classes", "index")
        return ("binary", "column") if bits else ("numbers", "raw")
    if y.ndim == 2 and bits and (number or y.dtype == torch.bool or y.shape[1] == outputs):
        single = bool(((y != 0).sum(1) == 1).all())
        return ("classes", "onehot") if single else ("multilabel", "raw")
    if not number and y.dtype != torch.bool:
        return "tokens", "index"
    return ("multilabel", "raw") if bits else ("numbers", "raw")


def _counts(y: Tensor, kept: Tensor, kind: str, form: str, outputs: int) -> tuple[int, tuple[int, ...]]:
    """Number of classes, and rows of each; of whole numbers that are not known as classes: of each value, rising."""
    if form == "onehot" or kind == "multilabel":
        of_each = (y != 0).reshape(len(y), y.shape[1], -1).any(-1).sum(0)
        return y.shape[1], tuple(of_each.tolist()[:MOST_CLASSES])
    whole = kept.reshape(-1).double()
    whole = whole[whole.isfinite()].long()
    if kind == "numbers":
        of_each = whole.unique(return_counts=True)[1]
        return (len(of_each), tuple(of_each.tolist())) if len(of_each) <= FEW_VALUES else (0, ())
    highest = int(whole.max())
    classes = 2 if kind == "binary" else outputs if outputs > 1 and kind == "classes" else max(1, highest + 1)
    listed = whole[(whole >= 0) & (whole < MOST_CLASSES)]
    return classes, tuple(torch.bincount(listed, minlength=min(classes, MOST_CLASSES)).tolist())


def _indices(y: Tensor) -> Tensor:
    """One number a row: the class."""
    return y if y.ndim == 1 else y.reshape(len(y), -1).double().argmax(1)


def _alike_neighbours(labels: Tensor) -> float:
    return (labels[1:] == labels[:-1]).double().mean().item() if len(labels) > 1 else math.nan


def split_facts(x_train: Tensor, y_train: Tensor | None, x_valid: Tensor, y_valid: Tensor | None) -> SplitFacts:
    """How the training rows and the held-out rows lie to each other. Labels may be unknown."""
    size, held_out = len(x_train), len(x_valid)
    if not x_train.numel() or not x_valid.numel() or x_train.is_complex() or x_train.shape[1:] != x_valid.shape[1:]:
        return SplitFacts(rows_train=size, rows_valid=held_out)
    x_train, x_valid = x_train.detach(), x_valid.detach()
    if x_train.dtype != x_valid.dtype:
        x_train, x_valid = x_train.float(), x_valid.float()
    shared, by_chance, same = _shared(_even(x_train, HASHED), _even(x_valid, HASHED))
    ids, ids_valid = _sampled(x_train), _sampled(x_valid)
    x_train, x_valid = x_train.cpu()[ids], x_valid.cpu()[ids_valid]
    train, valid = likeness.plain(x_train), likeness.plain(x_valid)
    near, within = (0.0, 0.0) if same else likeness.near(x_train, x_valid)
    facts = SplitFacts(
        shared=shared, shared_by_chance=by_chance, near=near, near_by_chance=within, same=same,
        rows_train=size, rows_valid=held_out,
    )  # fmt: skip
    if not x_train.is_floating_point():
        return facts
    ours, theirs = torch.from_numpy(train).float(), torch.from_numpy(valid).float()
    usual = _usual(ours)
    facts = replace(facts, scale=_usual(theirs) / usual if usual > 0 else math.nan)
    if not same:
        shift, width = probes.moved(ours, theirs)
        facts = replace(facts, shift=shift, width=width)
        table = x_train.ndim == 2
        between, before = _links(ours, theirs)
        before = before or (table and _time_column(ours, theirs))
        jointly = table and _jointly_scaled(ours, theirs)
        facts = replace(facts, between=between, ordered=before, jointly_scaled=jointly)
    if y_train is None or y_valid is None or len(y_train) != size or len(y_valid) != held_out:
        return facts
    y_train, y_valid = y_train.detach().cpu()[ids], y_valid.detach().cpu()[ids_valid]
    return replace(facts, **probes.told(ours, y_train, theirs, y_valid, x_train.ndim))


def _shared(train: Tensor, valid: Tensor) -> tuple[float, float, bool]:
    """Share of held-out rows that are training rows, what chance gives, and whether both are the same rows."""
    ours, theirs = likeness.plain(train), likeness.plain(valid)
    keys, others = likeness.keys(ours), likeness.keys(theirs)
    shared = likeness.shared(keys, others)
    if not shared:
        return 0.0, 0.0, False
    if ours.shape[1] == 1:  # one column cannot be mixed
        return shared, likeness.repeated(keys), shared == 1 and likeness.shared(others, keys) == 1
    ours, theirs = ours[:: math.ceil(ours.size / NUMBERS)], theirs[:: math.ceil(theirs.size / NUMBERS)]
    by_chance = likeness.shared(likeness.keys(likeness.mixed(ours)), likeness.keys(likeness.mixed(theirs)))
    return shared, by_chance, shared == 1 and likeness.shared(others, keys) == 1


def _sampled(x: Tensor) -> Tensor:
    """Numbers of rows at even distances."""
    kept = len(x) if x.numel() <= PROBED else max(2, PROBED * len(x) // x.numel())
    return torch.linspace(0, len(x) - 1, min(kept, len(x)), dtype=torch.float64).round().long()


def _usual(x: Tensor) -> float:
    """Root mean square of the numbers but for the largest of a hundred, so that no single one decides."""
    sizes = x.reshape(-1)[:: math.ceil(x.numel() / 2**17)].abs()
    sizes = sizes[sizes.isfinite()].sort().values
    kept = sizes[: math.ceil(0.99 * len(sizes))]
    return math.sqrt(kept.double().square().mean().item()) if len(kept) else math.nan


def _jointly_scaled(train: Tensor, valid: Tensor) -> bool:
    """Were the columns scaled with figures of both parts together?"""
    varied = ~_still(train, None)
    if varied.sum() < 2 or len(train) < 20 or not bool(train.isfinite().all() and valid.isfinite().all()):
        return False
    train, valid = train[:, varied].double(), valid[:, varied].double()
    both = torch.cat([train, valid])
    if bool(_standard(both).double().mean() >= 0.9) and bool(_standard(train).double().mean() < 0.5):
        return True
    exact = (both.amin(0).abs() < EXACT) & ((both.amax(0) - 1).abs() < EXACT)
    alone = (train.amin(0).abs() < EXACT) & ((train.amax(0) - 1).abs() < EXACT)
    return bool(exact.all()) and int((~alone).sum()) >= max(2, 0.1 * len(alone))


def _standard(x: Tensor) -> Tensor:
    """Columns whose mean is 0 and whose deviation is 1, counted with N or N - 1."""
    deviations = torch.stack([x.std(0, correction=0), x.std(0)])
    return (x.mean(0).abs() < EXACT) & ((deviations - 1).abs().amin(0) < EXACT)


def _time_column(train: Tensor, valid: Tensor) -> bool:
    """Is there a column of evenly spaced numbers, lower in all held-out rows than in any training row?"""
    lower = valid.amax(0) < train.amin(0)
    for column in lower.nonzero().flatten()[:8].tolist():
        gaps = torch.cat([valid[:, column], train[:, column]]).double().sort().values.diff()
        if len(gaps) >= 20 and bool(gaps.min() > 0.5 * gaps.median()) and bool(gaps.max() < 40 * gaps.median()):
            return True
    return False


def _links(train: Tensor, valid: Tensor) -> tuple[float, bool]:
    """Rows that are windows of one series: a window's successor is the window moved on by one number.

    Returns the share of held-out windows between two training windows, and whether all held-out windows come before.
    """
    if train.shape[1] < WINDOW or len(train) < 20 or not len(valid):
        return 0.0, False
    varied = valid[(valid[:, 1:-1].amax(1) > valid[:, 1:-1].amin(1))]
    if len(varied) < 5 or likeness.repeated(likeness.keys(likeness.plain(train))) > 0.05:
        return 0.0, False
    heads = set(likeness.keys(likeness.plain(train[:, :-1])))
    tails = set(likeness.keys(likeness.plain(train[:, 1:])))
    followed = [key in heads for key in likeness.keys(likeness.plain(varied[:, 1:]))]
    preceded = [key in tails for key in likeness.keys(likeness.plain(varied[:, :-1]))]
    between = sum(a and b for a, b in zip(followed, preceded, strict=True)) / len(varied)
    return between, any(followed) and not any(preceded)

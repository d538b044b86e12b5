"""Measuring: pure functions from tensors, and from a loss's autograd graph, to numbers. Nothing is drawn or changed."""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from glia.vitals.chart import LossFacts, Spread

SAMPLE = 2**18  # numbers of a tensor that are looked at, whole rows at a time
WIDEST_GRAPH = 256  # autograd nodes that are searched for the loss function
MOST_CLASSES = 4096

_LOSSES = {
    "NllLossBackward0": "nll",
    "NllLoss2DBackward0": "nll",
    "BinaryCrossEntropyBackward0": "bce",
    "BinaryCrossEntropyWithLogitsBackward0": "bce_logits",
    "MseLossBackward0": "mse",
    "SmoothL1LossBackward0": "smooth_l1",
    "HuberLossBackward0": "huber",
}
_OF_NUMBERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": functional.mse_loss,
    "bce": functional.binary_cross_entropy,
    "bce_logits": functional.binary_cross_entropy_with_logits,
    "smooth_l1": functional.smooth_l1_loss,
    "huber": functional.huber_loss,
}
_WEIGHTS = "torch::autograd::AccumulateGrad"


def spread(tensor: Tensor, columns: bool = False) -> Spread:
    """The numbers in a tensor (N, ...), of its first rows when large. columns: also how wide those of (N, F) are."""
    x = sample(tensor.detach())
    if not x.numel() or x.is_complex():
        return Spread(rows=len(x) if x.ndim else 1)
    x = x if x.is_floating_point() else x.float()
    total = x.sum().item()  # finite only when all are: the cheapest test there is
    good = None if total - total == 0 else x.isfinite()
    kept = x if good is None else x[good]
    bad = 1 - kept.numel() / x.numel()
    rows = len(x) if x.ndim else 1
    if not kept.numel():
        return Spread(nonfinite=1.0, rows=rows)
    kept = kept if kept.dtype == torch.float64 else kept.float()
    low, high = kept.aminmax()
    mean = kept.mean()
    std = (kept - mean).norm() / kept.numel() ** 0.5  # five times as fast as var_mean on a CPU
    middle, width, lowest, highest = torch.stack([mean, std, low, high]).tolist()
    zero = x == 0
    zeros = zero.count_nonzero().item() / x.numel()
    narrow, wide = _widths(x) if columns and x.ndim == 2 and rows > 1 and not bad else (math.nan, math.nan)
    dead = _dead(zero) if zeros else 0.0
    return Spread(middle, width, lowest, highest, zeros, dead, bad, rows, narrow, wide)


def sample(x: Tensor, most: int = SAMPLE) -> Tensor:
    """The first rows of a tensor, about `most` numbers."""
    return x if x.numel() <= most or not x.ndim else x[: max(1, most * len(x) // x.numel())]


def _dead(zero: Tensor) -> float:
    """Share of units that are 0 everywhere. Which axis of (N, A, B) holds them cannot be told: the lesser share."""
    if zero.ndim < 2:
        return 0.0
    axes = (1, 2) if zero.ndim == 3 else (1,)
    return min(zero.transpose(0, axis).flatten(1).all(1).float().mean().item() for axis in axes)


def _widths(x: Tensor) -> tuple[float, float]:
    """Smallest and largest standard deviation among the columns that vary."""
    x = x.double() if x.numel() < 2**14 else x.float()
    std = (x - x.mean(0)).square().sum(0).div(len(x) - 1).sqrt()
    std = std[std > 1e-6 * x.abs().amax(0)]  # below that it is rounding
    return (std.min().item(), std.max().item()) if len(std) else (math.nan, math.nan)


def row_hashes(x: Tensor) -> list[int]:
    """A number for each row, the same for the same numbers in the same format; of the first 4,096 of a row."""
    if not x.ndim or not x.numel():
        return []
    rows = x.detach().reshape(len(x), -1)[:, :4096].cpu()
    rows = rows.float() if rows.dtype == torch.bfloat16 else rows
    plain_rows = rows.contiguous().numpy()
    whole = plain_rows.view(f"V{plain_rows.itemsize * plain_rows.shape[1]}")  # one item a row
    return list(map(hash, whole.ravel().tolist()))


def norm(tensors: Iterable[Tensor]) -> float:
    """Euclidean norm of all their numbers together; NaN without any."""
    return norms([list(tensors)])[0]


def norms(groups: Sequence[Sequence[Tensor]]) -> list[float]:
    """The norm of each group; all are fetched together."""
    dense = [t.detach().coalesce().values() if t.is_sparse else t.detach() for group in groups for t in group]
    each = iter(scalars([torch.linalg.vector_norm(t) for t in dense]))
    return [math.hypot(*(next(each) for _ in group)) if group else math.nan for group in groups]


def first_tensor(value: Any) -> Tensor | None:
    """The first tensor in what a module takes or gives: itself, or within a tuple, list, dict or dataclass."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, tuple | list):
        value = list(vars(value).values()) if hasattr(value, "__dict__") else ()
    return next((item for item in value if isinstance(item, Tensor)), None)


def described(given: Any) -> tuple[tuple[int, ...], str, Spread] | None:
    """Shape, number format and spread of the first tensor in what a module takes."""
    x = first_tensor(given)
    return None if x is None else (tuple(x.shape), str(x.dtype).removeprefix("torch."), spread(x, columns=True))


def scalars(tensors: list[Tensor]) -> list[float]:
    """Their values; those on a GPU are fetched together."""
    if all(one.is_cpu for one in tensors):
        return [one.item() for one in tensors]
    return torch.stack([one.reshape(()).float() for one in tensors]).tolist()


@dataclass(slots=True)
class LossReading:
    """What one look at a loss's graph shows, and what the labels of further batches add to it."""

    facts: dict[str, Any]
    labels: Counter[int] = field(default_factory=Counter)
    means: list[list[float]] = field(default_factory=list)  # of each target column, a batch
    variances: list[float] = field(default_factory=list)  # about the column's mean, a batch

    def see(self, targets: Tensor | None) -> None:
        """Count the labels of a batch: class indices, or numbers (N, ...)."""
        if targets is None or len(self.means) >= 64:
            return
        x = sample(targets.detach())
        if not x.is_floating_point():
            if 0 < self.facts["classes"] <= MOST_CLASSES:
                self.labels.update(x[(x >= 0) & (x < self.facts["classes"])].tolist())
            return
        columns = x.double().flatten(1) if x.ndim > 1 else x.double().unsqueeze(1)
        var, mean = torch.var_mean(columns, 0, correction=0)
        self.means.append(mean.tolist())
        self.variances.append(var.mean().item())

    def done(self) -> LossFacts:
        """The facts, with the loss of the best constant answer on all labels seen."""
        return LossFacts(**self.facts, chance=self._chance())

    def _chance(self) -> float:
        kind, classes, seen = self.facts["kind"], self.facts["classes"], self.labels.total()
        if classes > 1 and seen < 10 * classes:  # too few labels to know their shares
            return math.log(classes)
        if classes > 1:
            return -sum(n / seen * math.log(n / seen) for n in self.labels.values())
        if kind == "mse" and self.variances:
            return sum(self.variances) / len(self.variances)
        if kind in ("bce", "bce_logits") and self.means and len({len(row) for row in self.means}) == 1:
            return sum(_entropy(sum(column) / len(column)) for column in zip(*self.means)) / len(self.means[0])
        return math.nan


def _entropy(p: float) -> float:
    """Of a yes that has probability p, in nats."""
    return -sum(q * math.log(q) for q in (p, 1 - p) if 0 < q < 1)


def read_loss(loss: Tensor, step: int) -> tuple[LossReading, Tensor | None]:
    """What the graph behind a scalar says of its loss function, and the targets it saved; to be called before backward.

    Raises RuntimeError where saved tensors were changed in place since.
    """
    node, kind, path = _loss_node(loss.grad_fn)
    before = tuple(_names_before(node)) if node is not None else ()
    given, targets = _saved(node) if kind not in ("unknown", "l1") else (None, None)
    if kind == "nll" and before[:1] == ("LogSoftmax",):
        kind = "cross_entropy"
    facts: dict[str, Any] = {"kind": kind, "step": step, "path": path, "before": before, "total": loss.item()}
    facts |= {"value": facts["total"], "outputs": 0, "classes": 0, "targets": Spread()}
    if given is not None and targets is not None:
        is_classes = kind in ("nll", "cross_entropy")
        width = given.shape[min(1, given.ndim - 1)] if is_classes else math.prod(given.shape[1:])
        facts |= {"outputs": width, "classes": width if is_classes else 0, "targets": spread(targets)}
        if path or getattr(node, "_saved_reduction", 1) != 1:
            facts["value"] = _own_mean(kind, given.detach(), targets.detach())
    return LossReading(facts), targets


def _saved(node: Any) -> tuple[Tensor | None, Tensor | None]:
    """(outputs, targets) that a loss function kept, whichever came first; None where both or neither were computed."""
    computed = [edge is not None for edge, _ in node.next_functions[:2]]
    kept = getattr(node, "_saved_self", None), getattr(node, "_saved_target", None)
    if computed in ([True], [True, False]):
        return kept
    return (kept[1], kept[0]) if computed == [False, True] else (None, None)


def _loss_node(root: Any) -> tuple[Any, str, tuple[str, ...]]:
    """(node of the loss function, its kind, operations from the scalar to it), breadth first; None and "unknown"."""
    waiting: deque[tuple[Any, tuple[str, ...]]] = deque([(root, ())] if root is not None else [])
    seen: set[Any] = set()
    while waiting and len(seen) < WIDEST_GRAPH:
        node, path = waiting.popleft()
        if node in seen:
            continue
        seen.add(node)
        if node.name() in _LOSSES:
            return node, _LOSSES[node.name()], path
        waiting.extend((child, (*path, plain(node))) for child in _children(node))
    chain = list(_line(root))
    names = [plain(node) for node in chain]
    for last, shape in (("l1", ["Abs", "Sub"]), ("cross_entropy", ["Neg", "Sum", "Mul", "LogSoftmax"])):
        at = next((i for i in range(len(names)) if names[i : i + len(shape)] == shape), None)
        if at is not None:
            return chain[at + len(shape) - 1], last, tuple(names[:at])
    return None, "unknown", ()


def _own_mean(kind: str, given: Tensor, targets: Tensor) -> float:
    """The mean of a loss function without weights, from what it saved."""
    given = given.float()
    if kind in ("nll", "cross_entropy"):
        rows = given.movedim(1, -1).flatten(0, -2) if given.ndim > 1 else given.unsqueeze(0)
        labels = targets.flatten()
        # Labels outside the classes are ignored ones; as an index they would end the whole process on a GPU.
        picked = -rows.gather(1, labels.clamp(0, rows.shape[1] - 1).unsqueeze(1)).squeeze(1)
        return picked[(labels >= 0) & (labels < rows.shape[1])].mean().item()
    return _OF_NUMBERS[kind](given, targets.float()).item()


def _children(node: Any) -> list[Any]:
    return [child for child, _ in node.next_functions if child is not None]


def _line(node: Any) -> Iterator[Any]:
    """The nodes from this one on, first input first, to the first that uses weights."""
    for _ in range(32):
        if node is None or any(child.name() == _WEIGHTS for child in _children(node)):
            return
        yield node
        node = next(iter(_children(node)), None)


def _names_before(node: Any) -> Iterator[str]:
    """What was done to the input of a loss function, from the last operation back to the first weights."""
    start = node if plain(node) == "LogSoftmax" else next(iter(_children(node)), None)
    for each in _line(start):
        yield plain(each)


def plain(node: Any) -> str:
    """An autograd node's operation: "SoftmaxBackward0" is "Softmax"."""
    return node.name().rpartition("Backward")[0] or node.name()

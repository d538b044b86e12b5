"""NaN and infinities: seen before they reach the weights, told where they were born, never kept."""

import math
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

SHOWN = 5  # rows that a message names; `NonFinite.rows` holds them all
HUGE = 1e19  # a square above float32's largest number, 3.4e38


class NonFinite(ArithmeticError):
    """A loss, a gradient or a weight is not a finite number. Exit code 1: the data and settings were well-formed.

    step, epoch: from 0. what, value: what was not finite, and its value ("the loss", nan). where: in words.
    rows: those of the batch that are to blame, as far as they are known; batch: all of it. Both count as the source
    does where the batches say so (`glia.data.batches.Batches.rows`), else from the beginning of the batch.
    """

    exit_code = 1

    def __init__(
        self,
        step: int,
        epoch: int,
        value: float,
        where: str,
        *,
        what: str = "the loss",
        rows: Sequence[int] = (),
        batch: Sequence[int] = (),
    ):
        self.step, self.epoch, self.value, self.where, self.what = step, epoch, value, where, what
        self.rows, self.batch = list(rows), list(batch)
        super().__init__(f"{what} became {value} at step {step} (epoch {epoch + 1}); {where}")

    def name_rows(self, numbers: Tensor) -> None:
        """Turn places among the training rows into the numbers (N,) that these have in their source."""
        if not self.batch:
            return
        placed = self.batch
        self.rows = [int(numbers[placed[row]]) for row in self.rows]
        self.batch = [int(numbers[place]) for place in placed]
        if self.rows:
            self.args = (f"{self.args[0]}; in the source: rows {self.rows[:SHOWN]}",)

    def to_dict(self) -> dict[str, Any]:
        """For status.json."""
        return {
            "what": self.what, "value": str(self.value), "step": self.step, "epoch": self.epoch + 1,
            "where": self.where, "rows": self.rows, "batch": self.batch,
        }  # fmt: skip


def all_finite(tensors: Sequence[Tensor]) -> bool:
    """Is every number of every tensor finite? One pass, one look by the host a device.

    The kernel is that of torch.amp's GradScaler, which takes a fifth of the time of measuring a norm.
    """
    if not tensors:
        return True
    plain = [_plain(t) for t in tensors] if any(t.is_sparse for t in tensors) else list(tensors)
    device = plain[0].device
    if any(t.device != device for t in plain):
        return all(all_finite([t for t in plain if t.device == one]) for one in {t.device for t in plain})
    found, same = _flag(device, threading.get_ident())
    torch._amp_foreach_non_finite_check_and_unscale_(plain, found, same)
    if not found.item():
        return True
    found.zero_()
    return False


@lru_cache(maxsize=16)
def _flag(device: torch.device, thread: int) -> tuple[Tensor, Tensor]:
    """Where the kernel notes what it found, and the factor 1; making them anew takes as long as the look itself."""
    with torch.inference_mode(mode=False):
        return torch.zeros(1, device=device), torch.ones(1, device=device)


def running_figures(model: nn.Module) -> dict[str, Tensor]:
    """What batch norms keep of the rows they saw: one infinity there stays for ever, and the loss need not show it."""
    kept = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
    return {
        f"{name}.{own}".lstrip("."): figure
        for name, module in model.named_modules()
        if isinstance(module, kept)
        for own, figure in module.named_buffers(recurse=False)
        if figure.is_floating_point()
    }


def bad_gradient(model: nn.Module) -> tuple[str, float, str] | None:
    """(what, value, where) of the gradients where they are not finite, or None."""
    held = [(name, _plain(p.grad)) for name, p in model.named_parameters() if p.grad is not None]
    for name, gradient in reversed(held):
        wrong = gradient[~torch.isfinite(gradient)]
        if len(wrong):
            where = f"{len(wrong)} of its {gradient.numel()} numbers; of such gradients it is the nearest to the output"
            return f"the gradient of {name}", wrong[0].item(), where
    if held and not math.isfinite(nn.utils.get_total_norm([gradient for _, gradient in held]).item()):
        name, largest = max(((n, g.abs().max().item()) for n, g in held if g.numel()), key=lambda pair: pair[1])
        return "the norm of all gradients", math.inf, f"they are up to {largest:.1e}, in {name}: clip them"
    return None


def locate(model: nn.Module, run: Callable[[], Any], inputs: tuple[Any, ...]) -> tuple[str, list[int]]:
    """Run a forward pass again; in words, the first place where something was not finite, and the rows to blame."""
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            return f"the weights of {name} are not finite already: lower the learning rate, or clip gradients", []
    born = _birth(model, run)
    where, rows = "every module's output was finite: it arose in the loss itself", []
    if born is not None:
        came = "from finite inputs" if born.from_finite else "from inputs that were not finite"
        where, rows = f"first in the output of {born.place}, {came}", _rows(~torch.isfinite(born.output), inputs)
    said, to_blame = blame([inputs], missing=born is not None and not born.from_finite)
    if to_blame:
        return f"{where}; {said}", to_blame
    return (f"{where}; in rows {rows[:SHOWN]} of the batch" if rows else where), rows


def blame(batches: Sequence[tuple[Any, ...]], *, missing: bool = False) -> tuple[str, list[int]]:
    """Rows of the inputs of some batches that hold numbers which no network bears; in words, and their places.

    missing: NaN counts too. Tables may hold it for a value that is missing, and a network of theirs bears that.
    """
    kinds: dict[str, Callable[[Tensor], Tensor]] = {"infinities": torch.isinf}
    kinds |= {"NaN": torch.isnan} if missing else {}
    kinds |= {f"numbers above {HUGE:g}": lambda given: given.abs() > HUGE}
    for held, test in kinds.items():
        rows, before = list[int](), 0
        for inputs in batches:
            floats = [x for x in inputs if isinstance(x, Tensor) and x.is_floating_point() and x.ndim > 1]
            rows += sorted({before + row for given in floats for row in _rows(test(given), inputs, every=True)})
            before += _count(inputs) or 0
        if rows:
            return f"rows {rows[:SHOWN]} of the batch hold {held}", rows
    return "", []


class _Birth(NamedTuple):
    """The first output that was not finite."""

    place: str
    from_finite: bool
    output: Tensor


def _birth(model: nn.Module, run: Callable[[], Any]) -> _Birth | None:
    born: list[_Birth] = []
    handles = []

    def watch(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            outputs = output if isinstance(output, tuple) else (output,)  # recurrent ones give their state too
            wrong = next((one for one in outputs if _unsound(one)), None)
            if not born and wrong is not None:
                place = f"module {name or 'the whole model'} ({type(module).__name__})"
                born.append(_Birth(place, not any(map(_unsound, args)), wrong))

        return hook

    try:
        handles += [module.register_forward_hook(watch(name)) for name, module in model.named_modules()]
        with torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return born[0] if born else None


def _unsound(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and not bool(torch.isfinite(value).all())


def _plain(gradient: Tensor) -> Tensor:
    return gradient._values() if gradient.is_sparse else gradient


def _count(inputs: tuple[Any, ...]) -> int | None:
    return next((len(given) for given in inputs if isinstance(given, Tensor) and given.ndim), None)


def _rows(wrong: Tensor, inputs: tuple[Any, ...], *, every: bool = False) -> list[int]:
    """Rows that `wrong` (rows, ...) marks. Where it marks all, that says nothing (unless `every`)."""
    count = _count(inputs)
    if not wrong.ndim or len(wrong) != count:
        return []
    marked: list[int] = wrong.reshape(count, -1).any(1).nonzero().flatten().tolist()
    return marked if every or len(marked) < count else []

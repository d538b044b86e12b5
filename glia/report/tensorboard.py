"""TensorBoard: the one place where its files are written, fed Moments as they come."""

import math
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from glia.errors import GliaError
from glia.training.loop import Moment


def tensorboard(folder: Path, rhythm: int, tell: Callable[[str], None]) -> Callable[[Moment], None]:
    """A watcher that writes scalars below ``folder/tensorboard``: every `rhythm` steps, and every epoch.

    A disk that refuses is told of once and never stops training. Raises GliaError when the package is missing.
    """
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        raise GliaError("tensorboard is not installed", hint='pip install "glia[tensorboard]"') from None
    try:
        writer: Any = SummaryWriter(str(folder / "tensorboard"))
    except OSError as error:
        tell(f"TensorBoard files are not written: {error}")
        return lambda moment: None

    def watch(moment: Moment) -> None:
        nonlocal writer
        if writer is None:
            return
        try:
            _write(writer, moment, rhythm)
        except OSError as error:
            tell(f"TensorBoard files are not written any more: {error}")
            writer = None
        if moment.last and writer is not None:
            _close(writer)

    # A writer has a thread and a file of its own; a run that is stopped or fails has no last Moment.
    weakref.finalize(watch, _close, writer)
    return watch


def _close(writer: Any) -> None:
    with suppress(OSError):  # told already
        writer.close()


def _write(writer: Any, moment: Moment, rhythm: int) -> None:
    scalar = writer.add_scalar
    if moment.kind == "step" and (moment.step - 1) % rhythm == 0:
        scalar("step/loss", moment.loss, moment.step)
        scalar("step/lr", moment.lr, moment.step)
        if not math.isnan(moment.grad_norm):
            scalar("step/grad_norm", moment.grad_norm, moment.step)
    if moment.kind == "epoch":
        for name, figure in moment.figures.items():
            part, _, measure = name.partition("_")
            scalar(f"{measure}/{part}", figure, moment.epoch + 1)
        writer.flush()

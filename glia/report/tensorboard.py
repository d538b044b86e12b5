"""TensorBoard: the one place where its files are made, fed Moments as they come."""

import io
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glia import disk
from glia.errors import DiskError, GliaError
from glia.training.loop import Moment


def tensorboard(folder: Path, rhythm: int, tell: Callable[[str], None]) -> Callable[[Moment], None]:
    """A watcher that writes scalars below ``folder/tensorboard``: every `rhythm` steps, and every epoch.

    A disk that refuses is told of once and never stops training. Raises GliaError when the package is missing.

    The package's own writer is a thread: of a full disk that one tells with a traceback, and it stays when a run ends
    early. Of the package only the form of the files is used.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError:
        raise GliaError("tensorboard is not installed", hint='pip install "glia[tensorboard]"') from None
    path = folder / "tensorboard" / f"events.out.tfevents.{time.time():010.0f}.glia.{os.getpid()}"
    refused = False

    def write(**event: Any) -> None:
        nonlocal refused
        record = io.BytesIO()
        RecordWriter(record).write(Event(wall_time=time.time(), **event).SerializeToString())
        try:
            disk.append(path, record.getvalue())
        except DiskError as error:
            refused = True
            tell(f"TensorBoard files are not written any more: {error}")

    def watch(moment: Moment) -> None:
        found = _scalars(moment, rhythm)
        if found and not refused:
            values = [Summary.Value(tag=tag, simple_value=value) for tag, value in found.items()]
            write(step=moment.epoch + 1 if moment.kind == "epoch" else moment.step, summary=Summary(value=values))

    write(file_version="brain.Event:2")
    return watch


def _scalars(moment: Moment, rhythm: int) -> dict[str, float]:
    if moment.kind == "step" and (moment.step - 1) % rhythm == 0:
        norm = {} if math.isnan(moment.grad_norm) else {"step/grad_norm": moment.grad_norm}
        return {"step/loss": moment.loss, "step/lr": moment.lr, **norm}
    if moment.kind == "epoch":
        parted = {name.partition("_"): figure for name, figure in moment.figures.items()}
        return {f"{measure}/{part}": figure for (part, _, measure), figure in parted.items()}
    return {}

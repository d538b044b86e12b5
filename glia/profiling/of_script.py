"""Of a script: it is run as it is, its steps are timed as they go by, and its step is put together again on copies."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from glia.errors import GliaError
from glia.profiling.work import NOTHING, Work, of_bench
from glia.vitals.assemble import runnable
from glia.vitals.attach import Attached, carried_out
from glia.vitals.timeline import Timeline


def run_script(
    script: Path, arguments: Sequence[str], steps: int | None, seconds: float | None
) -> tuple[Attached, Timeline]:
    """Run it, to its end or until so many steps or seconds. Raises GliaError where it never steps."""
    timeline, began = Timeline(), time.monotonic()
    if steps is not None or seconds is not None:
        timeline.enough = lambda done: (
            (steps is not None and done >= steps) or (seconds is not None and time.monotonic() - began >= seconds)
        )
    attached = carried_out(script, arguments, timeline.watching())
    if not timeline.count:
        raise GliaError(
            f"{script.name} never trains",
            got=attached.error or "no step of a torch optimiser",
            expected="a script that calls loss.backward() and optimizer.step()",
        )
    return attached, timeline


def work_of(timeline: Timeline) -> tuple[Work | None, str]:
    """The step that the script makes, or why it cannot be made again."""
    capturer = timeline.capturer
    if capturer is None:
        return None, "nothing was kept of it"
    capture = capturer.finish()
    bench = runnable(capture)
    if bench is None:
        why = capture.broken or ("its backward passes are of several kinds" if capture.mixed else "")
        return None, why or "how its loss comes from its model was not seen"
    accumulate = max(1, round(timeline.backwards / timeline.count))
    contexts: tuple[Callable[[], AbstractContextManager[Any]], ...] = ()
    anomaly = timeline.anomaly > timeline.backwards / 2
    if anomaly:
        contexts = (lambda: torch.autograd.set_detect_anomaly(True),)
    usual = replace(NOTHING, contexts=contexts, zero=timeline.cleared is False, item=timeline.reads > timeline.count)
    more: dict[str, Any] = {"accumulate": accumulate, "usual": usual, "anomaly": anomaly}
    if timeline.clips > timeline.count / 2:
        more["clipping"] = _clipping(timeline.clip)
    return of_bench(bench, **more), ""


def _clipping(limit: float) -> Callable[[Sequence[nn.Module]], Callable[[], Any]]:
    def of(models: Sequence[nn.Module]) -> Callable[[], Any]:
        weights = [p for model in models for p in model.parameters()]
        return lambda: nn.utils.clip_grad_norm_(weights, limit)

    return of

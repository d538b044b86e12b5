"""Attach: run a stranger's training script, unchanged, under a listener."""

import os
import runpy
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glia.errors import GliaError
from glia.vitals.chart import Chart
from glia.vitals.listen import Enough, Listener, listening
from glia.vitals.places import Places


@dataclass(slots=True)
class Attached:
    """A script that was run. code: its exit code; error: its last line where it failed; stopped: ended early by us."""

    script: Path
    charts: list[Chart] = field(default_factory=list)
    code: int = 0
    error: str = ""
    stopped: bool = False
    seconds: float = 0.0


def attach(
    script: Path, arguments: Sequence[str] = (), *, steps: int | None = None, seconds: float | None = None
) -> Attached:
    """Run `script` as `python script arguments` would, and watch it. steps, seconds: end it after so many.

    Its output shows, its results are what they would be. Raises GliaError where there is no such script.
    """
    began = time.monotonic()
    listener = Listener(Chart(), capture=True, turns=True)
    listener.places = places = Places(script.absolute().parent)
    if steps is not None or seconds is not None:
        listener.enough = lambda done: (
            (steps is not None and done >= steps) or (seconds is not None and time.monotonic() - began >= seconds)
        )

    @contextmanager
    def watching() -> Iterator[None]:
        with places.watch(), listening(listener):
            yield

    attached = carried_out(script, arguments, watching())
    attached.charts = [*(chart for chart, _, _ in listener.over), listener.chart]
    return attached


def carried_out(script: Path, arguments: Sequence[str], watching: AbstractContextManager[Any]) -> Attached:
    """Run `script` as `python script arguments` would, within `watching`; Enough, raised in it, ends it.

    Raises GliaError where there is no such script.
    """
    if not script.is_file():
        raise GliaError("there is no such script", got=str(script), expected="a Python file that trains a network")
    attached, began = Attached(script), time.monotonic()
    with _as_main(script, arguments), watching:
        _run(script, attached)
        attached.seconds = time.monotonic() - began
    return attached


def _run(script: Path, attached: Attached) -> None:
    """The script itself; whatever ends it is kept."""
    try:
        runpy.run_path(str(script.absolute()), run_name="__main__")
    except Enough:
        attached.stopped = True
    except SystemExit as end:
        attached.code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except KeyboardInterrupt:
        attached.stopped, attached.code = True, 130
    except BaseException as error:
        attached.code = 1
        attached.error = "".join(traceback.format_exception_only(error)).strip()
        _show(error, script)


def _show(error: BaseException, script: Path) -> None:
    """The script's own traceback, from its first line on."""
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename != str(script.absolute()):
        frame = frame.tb_next
    traceback.print_exception(type(error), error, frame or error.__traceback__)


@contextmanager
def _as_main(script: Path, arguments: Sequence[str]) -> Iterator[None]:
    """What Python sets for a script that it is asked to run, and what a script may leave changed."""
    argv, path, folder, main = sys.argv, list(sys.path), Path.cwd(), sys.modules.get("__main__")
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.resolve().parent))
    try:
        yield
    finally:
        sys.argv, sys.path[:] = argv, path
        if main is not None:
            sys.modules["__main__"] = main
        os.chdir(folder)
        sys.stdout.flush()

"""All experiments that can be made on a user's own run, one after the other, on a copy of it."""

import importlib
import pkgutil
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import glia.torture
from glia.errors import GliaError
from glia.runs.folder import RunFolder
from glia.torture.result import Result

FEW = 20
Experiment = Callable[[Path, Path, float, Callable[[str], None]], Result]
"""(copy of the run, empty folder, seconds, tell) -> Result. Raises GliaError where it does not fit the run."""


def experiments() -> dict[str, tuple[str, Experiment]]:
    """Every module of this package with a NAME, a PROMISE and `on_run`, or a `run` that counts its tries on a run."""
    names = sorted(found.name for found in pkgutil.iter_modules(glia.torture.__path__))
    modules = [importlib.import_module(f"glia.torture.{name}") for name in names]
    made = {m: m.on_run if hasattr(m, "on_run") else partial(_as_many, m) for m in modules if hasattr(m, "NAME")}
    return {module.NAME: (module.PROMISE, on_run) for module, on_run in made.items()}


def _as_many(module: Any, run: Path, folder: Path, seconds: float, tell: Callable[[str], None]) -> Result:
    """As many tries as `seconds` allow, judged by how long a few take."""
    few: Result = module.run(FEW, run, tell)
    more = int(FEW * (seconds - few.seconds) / max(few.seconds, 0.01))
    if few.failed or more <= FEW:
        return few
    many: Result = module.run(min(more, module.LARGE), run, tell)
    return many


def _named(tell: Callable[[str], None], name: str, line: str) -> None:
    tell(f"{name}: {line}")


def torture_run(run: Path, seconds: float, tell: Callable[[str], None]) -> list[Result]:
    """Make them all, each with its share of `seconds`; the run itself is only read.

    One that cannot be made on this run has tried nothing, and says why in its figures. Raises GliaError where `run` is
    no run, or none of them can be made.
    """
    folder, results = RunFolder.open(run), []
    if not seconds > 0:
        raise GliaError("the time for the experiments", got=f"{seconds:g} s", expected="more than 0")
    every, until = experiments(), time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="glia-torture-") as place:
        for number, (name, (promise, on_run)) in enumerate(every.items()):
            room = Path(place) / name
            room.mkdir()
            copy = Path(
                shutil.copytree(folder.path, room / folder.path.resolve().name, ignore=shutil.ignore_patterns(".lock"))
            )
            began, share = time.monotonic(), max(1.0, until - time.monotonic()) / (len(every) - number)
            tell(f"{name}, about {share:.0f} s")
            (room / ".work").mkdir()
            try:
                made = on_run(copy, room / ".work", share, partial(_named, tell, name))
            except GliaError as error:
                made = Result(name, promise, 0, figures={"not made": str(error)})
            results.append(replace(made, seconds=time.monotonic() - began))
            shutil.rmtree(room, ignore_errors=True)
    if not any(one.tried for one in results):
        raise GliaError(f"nothing could be tried on {run}", got=next(iter(results[0].figures.values())))
    return results

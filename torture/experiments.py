"""The experiments: every module of this package that has a NAME, a PROMISE, a SMALL and a LARGE count, and a `run`."""

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torture
from glia.torture.result import Result

Run = Callable[[int, Path, Callable[[str], None]], Result]
_PARTS = ("NAME", "PROMISE", "SMALL", "LARGE", "run")


class Experiment(NamedTuple):
    """name: as on the command line. small, large: how often it tries, by default and with N=large."""

    name: str
    promise: str
    small: int
    large: int
    run: Run


def experiments() -> list[Experiment]:
    """All of them, by the name of their file. A module without these parts is something that they share."""
    names = sorted(found.name for found in pkgutil.iter_modules(torture.__path__) if not found.name.startswith("__"))
    modules = [importlib.import_module(f"torture.{name}") for name in names]
    return [
        Experiment(module.NAME, module.PROMISE, module.SMALL, module.LARGE, module.run)
        for module in modules
        if all(hasattr(module, part) for part in _PARTS)
    ]

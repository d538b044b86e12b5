"""Places: the lines of a script at which its layers, optimisers, loaders and backward passes stand."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from weakref import ref

from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

DEEPEST = 40  # frames that are looked at
MOST = 100_000  # objects that are remembered


class Places:
    """Where things were made, for those made while `watch` is on; by the script's own lines, not the libraries'."""

    def __init__(self, root: Path):
        self.root = str(root.absolute())
        self.made: dict[int, tuple[ref[Any], str]] = {}  # by id: what a script makes may not be hashable yet

    def here(self) -> str:
        """The innermost line under the script's folder that led here, as "train.py:31"; "" where there is none."""
        frame: FrameType | None = sys._getframe(1)
        for _ in range(DEEPEST):
            if frame is None:
                break
            name = frame.f_code.co_filename
            if name.startswith(self.root) and "site-packages" not in name and name != __file__:
                return f"{Path(name).relative_to(self.root)}:{frame.f_lineno}"
            frame = frame.f_back
        return ""

    def of(self, thing: Any) -> str:
        """Where it was made."""
        thing_made, place = self.made.get(id(thing), (None, ""))
        return place if thing_made is not None and thing_made() is thing else ""

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Note where modules, optimisers and loaders are made."""
        originals = [(owner, owner.__init__) for owner in (nn.Module, Optimizer, DataLoader)]

        def noting(original: Any) -> Any:
            def init(thing: Any, *args: Any, **kwargs: Any) -> None:
                if len(self.made) < MOST and not self.of(thing):
                    place = self.here()
                    if place:
                        self.made[id(thing)] = ref(thing), place
                original(thing, *args, **kwargs)

            return init

        for owner, original in originals:
            owner.__init__ = noting(original)  # type: ignore[method-assign]
        try:
            yield
        finally:
            for owner, original in originals:
                owner.__init__ = original  # type: ignore[method-assign]

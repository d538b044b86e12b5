"""Imports of what is heavy, once a verb runs."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heavy() -> Iterator[None]:
    """Import torch and the rooms behind it inside the block, in a process that is the command line's own.

    What modules hold lives to the end. The collector of garbage would look through it again and again all the same:
    a quarter of a second of CPU until the first step, and some more in every long run.
    """
    if "glia.workbench.run" in sys.modules or not gc.isenabled():  # somebody else's process, or the second verb of one
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()

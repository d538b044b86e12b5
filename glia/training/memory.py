"""Memory that a step frees and the next one asks for again: whether it stays with the process in between."""

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

# Parameters of glibc's mallopt: free memory at the top of the heap that is given back, and the size of a block from
# which it is asked of the system by itself, and given back when it is freed.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
HELD = {MMAP_THRESHOLD: 1 << 30, TRIM_THRESHOLD: (1 << 31) - 1}
USUAL = {MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 64 << 20}  # where glibc's own rule ends after one large block
CHOSEN = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


@contextmanager
def settled() -> Iterator[None]:
    """Within, Python's collector of cycles does not go through what was there before: a tenth of a second each time."""
    if gc.get_freeze_count():  # somebody did so already, for longer
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def held() -> Iterator[None]:
    """Within, what is freed stays with this process; then the system gets it back. Elsewhere than with glibc nothing.
    And it is `settled`.

    What is freed later may stay, in blocks of up to 32 MB: glibc's rule that adapts itself cannot be switched on again.

    A step frees its activations, and the next one asks for as much. Where they go back to the system in between, each
    of their pages is cleared and mapped anew, every step: of a small convolutional network's a third at worst.
    """
    with settled():
        if any(name in os.environ for name in CHOSEN):  # somebody knows better
            yield
            return
        _set(HELD)
        try:
            yield
        finally:
            _set(USUAL)
            give_back()


def give_back() -> None:
    """Let the system have what glibc holds of freed memory; elsewhere nothing.

    Batches of ever other lengths leave holes that no later tensor fits: of what a run of translations held, half was
    such holes. Takes a tenth of a second a gigabyte.
    """
    trim = getattr(_libc(), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _set(options: dict[int, int]) -> None:
    mallopt = getattr(_libc(), "mallopt", None)
    if mallopt is not None:
        for option, value in options.items():
            mallopt(option, value)


@cache
def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None

"""What C libraries write on the error output, below Python, while they read a damaged file."""

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_turn = threading.Lock()  # the error output is the whole process's


@contextmanager
def held_back() -> Iterator[Callable[[], None]]:
    """Hold back what is written on the error output; it goes out at the end, unless what is yielded was called.

    libtiff tells of each bad code word, and polars of each panic, where the one line of an error says it all. Does
    nothing outside the main thread, and where there is no error output.
    """
    forgotten = False

    def forget() -> None:
        nonlocal forgotten
        forgotten = True

    kept = _copy_of_stderr() if threading.current_thread() is threading.main_thread() else None
    if kept is None or not _turn.acquire(blocking=False):
        yield forget
        return
    try:
        with tempfile.TemporaryFile() as said:
            os.dup2(said.fileno(), 2)
            try:
                yield forget
            finally:
                _flush()
                os.dup2(kept, 2)
                said.seek(0)
                while not forgotten and (block := said.read(1 << 16)):
                    os.write(2, block)
    finally:
        os.close(kept)
        _turn.release()


def _copy_of_stderr() -> int | None:
    try:
        _flush()
        return os.dup(2)
    except OSError:
        return None


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()

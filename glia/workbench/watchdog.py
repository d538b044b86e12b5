"""A run that has come to a stand: a worker that is frozen, a read that never returns, a computation without end."""

import faulthandler
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import thread as pool
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from glia import disk
from glia.errors import GliaError
from glia.training import stall
from glia.workbench.halt import Stop, end_now

STACKS = "stalled.txt"
LOOK_S = 0.25
FIRST_S = 60.0  # at least, until the first batch: imports and first compilations take their time
TELL_S = 0.5  # for the main thread to hear of it before its workers are ended, of which it would complain
LEAVE_S = 5.0  # for it to leave what it waits for
SLEPT_S = 1.0  # a look that is late by more comes from a process that was stopped, as by Ctrl-Z


class Stalled(GliaError):
    """Nothing came for too long. Exit code 75: the run can go on from its last checkpoint."""

    exit_code = 75


@contextmanager
def watched(folder: Path, timeout: float, stop: Stop) -> Iterator[None]:
    """Raises Stalled here when `timeout` seconds pass without a batch (0: never); ends the process where that is stuck.

    What all threads were doing goes to stalled.txt in `folder`. Workers that load data are killed, the frozen too.
    """
    over = threading.Event()
    if not timeout or threading.current_thread() is not threading.main_thread():
        yield
        return
    stall.restart()

    def watch() -> None:
        look, last = min(LOOK_S, timeout / 4), time.monotonic()
        while not over.wait(look):
            slept, last = time.monotonic() - last - look, time.monotonic()
            if slept > SLEPT_S:
                stall.forgive(slept)
            seconds, batches = stall.since()
            if seconds > (timeout if batches else max(timeout, FIRST_S)):
                _give_up(folder, timeout, batches, stop, over)
                return

    threading.Thread(target=watch, name="glia-watchdog", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _give_up(folder: Path, timeout: float, batches: int, stop: Stop, over: threading.Event) -> None:
    """Interrupt the main thread; if it does not come, say for it what happened, and end."""
    stop.error = error = Stalled(
        f"nothing came for {timeout:g} s after batch {batches}: {_who()}",
        hint=f"glia resume {folder} (stall_timeout=0 in its recipe waits for ever); {STACKS} there has all threads",
    )
    with suppress(GliaError, OSError), tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        disk.write_file(folder / STACKS, file.read())
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, signal.SIGINT)
    over.wait(TELL_S)
    # Always: Python waits at its end for workers, and one that is stopped does not hear that it is asked to go.
    for child in multiprocessing.active_children():
        child.kill()
    if not over.wait(LEAVE_S):
        os.write(2, f"glia: {error}\n".encode())
        end_now(Stalled.exit_code)


def _who() -> str:
    """Who is waited for: a worker that is stopped, workers that load, or a place in the program."""
    children = multiprocessing.active_children()
    states = {child.pid: _state(child.pid) for child in children if child.pid is not None}
    frozen = [f"worker {pid} is stopped" for pid, state in states.items() if state in ("T", "t")]
    if frozen:
        return ", ".join(frozen)
    if children:
        return f"workers {', '.join(str(pid) for pid in states)} give no batch"
    frames = sys._current_frames()
    loaders = [thread for thread in threading.enumerate() if thread.name.startswith("glia-loader")]
    stuck = [thread for thread in loaders if not _idle(frames.get(thread.ident or 0))]
    thread = stuck[0] if stuck else threading.main_thread()
    frame = frames.get(thread.ident or 0)
    place = f" at {frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name})" if frame else ""
    return f"thread {thread.name} is stuck{place}"


def _idle(frame: FrameType | None) -> bool:
    """Does a pool's thread wait for work? Then it is the network that takes so long, and not the rows."""
    return frame is not None and frame.f_code.co_filename == pool.__file__


def _state(pid: int) -> str:
    """R, S, D, T ... as the kernel has it; nothing where it does not say."""
    with suppress(OSError, IndexError):
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0]
    return ""

"""Signals that ask a run to end: Ctrl-C, SIGTERM, and SIGUSR1, which SLURM sends before a job's time is over.

A handler of Python's runs between two steps of the interpreter, so it does nothing here but set a mark or raise; what
is to be said or done even while the main thread is inside a long computation is done by a thread that listens.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch is not waited for here
    from glia.training.world import World

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))
RESUMABLE = 75  # EX_TEMPFAIL: whoever asked with SIGUSR1 may start it again
AT_ONCE_S = 2.0  # what the main thread is given to end by itself, when it is to end at once
AFTER_STEP = "stopping after this step; once more to stop at once"


class Stopped(KeyboardInterrupt):
    """Training was asked to stop, and did so in good order."""

    def __init__(self, folder: Path, signal: int):
        self.folder, self.signal, self.exit_code = folder, signal, exit_code(signal)
        super().__init__(f"stopped; everything so far is kept. To go on: glia resume {folder}")


class Halt(KeyboardInterrupt):
    """Asked to end; `again` for the second time, at once."""

    def __init__(self, number: int, *, again: bool = False):
        self.signal, self.again = number, again
        super().__init__(signal.strsignal(number))


def exit_code(number: int) -> int:
    """Of a process that ended because it was sent this signal: 130, 143, or 75 for SIGUSR1."""
    return RESUMABLE if number == getattr(signal, "SIGUSR1", None) else 128 + number


def end_now(code: int) -> None:
    """End this process, whatever its main thread does, and those that it started to load data."""
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(code)


@dataclass
class Stop:
    """Set by the first signal. patient: it is looked at soon, so nothing is interrupted; says: what people are told.

    error: what the main thread is to raise when it is interrupted by a thread of ours.
    """

    asked: bool = False
    signal: int = 0
    patient: bool = False
    says: str = ""
    error: Exception | None = None

    def agreed(self, world: "World") -> bool:
        """Is it to stop after this step? Of several processes all stop after the same one."""
        if world.many and world.stopping:
            self.asked, self.signal = True, world.stopping
        return bool(world.stopping) if world.many else self.asked

    @contextmanager
    def between_steps(self, says: str = AFTER_STEP) -> Iterator[None]:
        """Here a first signal only sets the mark; a second one still ends the process at once."""
        self.patient, self.says = True, says
        try:
            yield
        finally:
            self.patient, self.says = False, ""
            if self.asked:
                _workers_may_end()


@contextmanager
def stop_on_signal(tell: Callable[[str], None]) -> Iterator[Stop]:
    """The first signal asks for an orderly stop, the second ends at once by a Halt; the last checkpoint stays whole.

    Where nobody looks at the mark (`Stop.patient`) the first one raises too. Should the main thread not come to it,
    inside a computation that does not end, the process is ended for it.
    """
    stop, over = Stop(), threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.error is not None and not stop.asked:
            _workers_may_end()
            raise stop.error
        again, stop.asked = stop.asked, True
        stop.signal = stop.signal or number
        training = stop.patient and bool(stop.says) and not again
        _workers_may_end(once=training)  # a step that waits for their rows has to hear of it
        if again or not stop.patient:
            raise Halt(number, again=again)

    def heard(number: int, times: int) -> None:
        if times == 1:
            if stop.says and stop.error is None:
                tell(stop.says)
        elif not over.wait(AT_ONCE_S):
            end_now(exit_code(number))

    with _handled(ask, heard):
        try:
            yield stop
        finally:
            over.set()


@contextmanager
def one_line(line: str) -> Iterator[None]:
    """A signal ends the process with this line: for what has nothing to save yet, imports and preparation."""
    over, said = threading.Event(), threading.Lock()

    def say() -> None:
        if said.acquire(blocking=False):
            os.write(2, f"{line}\n".encode())

    def end(number: int, frame: FrameType | None) -> None:
        _workers_may_end()
        say()
        raise SystemExit(exit_code(number))

    def heard(number: int, times: int) -> None:
        if not over.wait(AT_ONCE_S if times == 1 else 0):
            say()  # the main thread has not come to it: a busy machine, or a long import
            end_now(exit_code(number))

    with _handled(end, heard):
        try:
            yield
        finally:
            over.set()


def ending(code: object) -> None:
    """Called when a process of our own is about to end with this exit code. Where it is that of a signal all has been
    said and kept, and what is sent while Python takes itself down changes nothing any more.
    """
    if code in {exit_code(number) for number in SIGNALS}:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def at_once() -> Iterator[None]:
    """Here a signal is a KeyboardInterrupt, for whoever has nothing to lose and can go on after it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _workers_may_end(*, once: bool = False) -> None:
    """Who ends a job may end all its processes: from now on a DataLoader's worker that is ended is no error.

    torch's handler would raise at each of them, in whatever is done then. once: it may do so for the first.
    """
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        return
    tell = signal.getsignal(signal.SIGCHLD)
    if not callable(tell):
        return

    def nothing(number: int, frame: FrameType | None) -> None:
        """Not SIG_DFL: Python complains of a signal that was on its way when it is set."""

    def first(number: int, frame: FrameType | None) -> None:
        try:
            tell(number, frame)
        except BaseException:
            signal.signal(signal.SIGCHLD, nothing)
            raise

    signal.signal(signal.SIGCHLD, first if once else nothing)


_hearing = threading.Event()
_forks = threading.local()
_LATER_S = 0.01  # after which a signal is sent once more


def _hold() -> None:
    """Before a fork: until the child is deaf, its parent would hear what is sent to it, through the same pipe."""
    _forks.mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS) if _hearing.is_set() else None


def _let() -> None:
    if _forks.mask is not None:
        _forks.ending = True
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, _forks.mask)
        finally:
            _forks.ending = False


def _deaf() -> None:
    """A worker that was forked: its parent decides when to stop, and what it hears is no second signal.

    SIGTERM ends it, as whoever started it expects; what a terminal or SLURM sends to all processes does not.
    """
    if _hearing.is_set():
        signal.set_wakeup_fd(-1)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
    _let()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_let, after_in_child=_deaf)


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None], heard: Callable[[int, int], None]) -> Iterator[None]:
    """`handler` in the main thread; `heard`, with the signal and which one it is, in a thread that always gets it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ear, mouth = os.pipe()
    os.set_blocking(mouth, False)
    main, resent = threading.get_ident(), list[int]()

    def handle(number: int, frame: FrameType | None) -> None:
        if getattr(_forks, "ending", False):  # Python swallows what is raised here
            _workers_may_end()
            resent.append(number)
            threading.Timer(_LATER_S, signal.pthread_kill, (main, number)).start()
        else:
            handler(number, frame)

    def listen() -> None:
        times = 0
        while number := os.read(ear, 1):
            if number[0] in resent:
                resent.remove(number[0])  # heard once already
            elif number[0] in SIGNALS:
                times += 1
                heard(number[0], times)

    thread = threading.Thread(target=listen, name="glia-signals", daemon=True)
    thread.start()
    nested = _hearing.is_set()
    fd = signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
    _hearing.set()
    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        try:
            signal.set_wakeup_fd(fd)
            os.close(mouth)
            thread.join(AT_ONCE_S)
            with suppress(OSError):
                os.close(ear)
        finally:  # a second signal while the thread ends is handled too
            if not nested:
                _hearing.clear()
            for number, earlier in before.items():
                signal.signal(number, earlier)

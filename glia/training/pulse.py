"""Pulse: each process of a world says in a shared store, twice a second, that it lives and how far it has come.

A process that waits for the others in vain reads there which of them it is that died, froze or lags behind.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from glia.errors import GliaError

PERIOD_S = 0.5
ANSWER_S = 3.0  # a store that lives answers within that


Answer = TypeVar("Answer")


class LostProcess(GliaError):
    """A process of a run that several train ended, froze, or did not keep up. Exit code 75: the run can go on later.

    rank: the process that is at fault.
    """

    exit_code = 75

    def __init__(self, what: str, rank: int, *, hint: str | None = None):
        self.rank = rank
        super().__init__(what, hint=hint)


@dataclass(frozen=True)
class Beat:
    """What a process last said: how often it did, exchanges that it had come to, its id."""

    number: int
    exchanges: int
    pid: int


class Pulse:
    """This process's own pulse, and the others' as the store has them.

    store: any torch.distributed store that all processes share. must_end: end this process when the store is gone,
    for one whose only purpose is to train with the process that keeps the store.
    """

    def __init__(self, store: Any, rank: int, size: int, *, must_end: bool = False):
        self.rank, self.size, self.must_end = rank, size, must_end
        self.exchanges = 0
        # A connection of its own for each thread: one that waits for an answer keeps the other out.
        self._own, self._asked = store.clone(), store.clone()
        self._heard: dict[int, Beat] = {}
        self.patience(ANSWER_S)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="glia-pulse", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        count = 0
        while True:
            count += 1
            try:
                self._own.set(f"beat/{self.rank}", f"{count} {self.exchanges} {os.getpid()}")
            except (RuntimeError, ValueError):  # the process that keeps the store has ended
                if self.must_end and not self._over.wait(2 * PERIOD_S):
                    os._exit(1)
                return
            if self._over.wait(PERIOD_S):
                return

    def stop(self) -> None:
        self._over.set()
        self._thread.join(2 * PERIOD_S)

    def read(self, rank: int) -> Beat | None:
        """The last beat of a process; None before its first."""
        text = self.ask(f"beat/{rank}")
        if text is None:
            return None
        self._heard[rank] = beat = Beat(*map(int, text.split()))
        return beat

    def ask(self, key: str) -> str | None:
        """What the store holds under `key`, at once; None for nothing. Raises RuntimeError where nobody keeps it."""
        return self._answer(lambda: self._asked.get(key).decode() if self._asked.check([key]) else None)

    def holds(self, key: str) -> bool:
        """Does the store hold something under `key`? Raises RuntimeError where nobody keeps it."""
        return self._answer(lambda: bool(self._asked.check([key])))

    def patience(self, seconds: float) -> None:
        """How long the process that keeps the store, 0, may take to answer."""
        self._within = max(seconds, ANSWER_S)

    def _answer(self, ask: Callable[[], Answer]) -> Answer:
        """What the store says. A store has a time limit of its own, but not where whoever keeps it is frozen."""
        got: list[Answer] = []
        failed: list[RuntimeError] = []

        def wait() -> None:
            try:
                got.append(ask())
            except RuntimeError as error:
                failed.append(error)

        thread = threading.Thread(target=wait, name="glia-pulse-ask", daemon=True)
        thread.start()
        thread.join(self._within)
        if not got:
            raise RuntimeError("the store does not answer") from (failed[0] if failed else None)
        return got[0]

    def unanswered(self) -> LostProcess:
        """The error for a store that does not answer."""
        return self._lost(0, "does not answer any more", self._heard.get(0))

    def say(self, key: str, text: str) -> None:
        """Put a text where all processes can read it."""
        self._asked.set(key, text)

    def blame(self, error: RuntimeError, ended: Callable[[], dict[int, str]]) -> LostProcess:
        """Whose fault it is that an exchange failed. ended: rank -> how, of processes that are known to have ended."""
        self.patience(ANSWER_S)
        try:
            return self._blamed(error, ended)
        except RuntimeError:
            return self.unanswered()

    def _blamed(self, error: RuntimeError, ended: Callable[[], dict[int, str]]) -> LostProcess:
        others = [rank for rank in range(self.size) if rank != self.rank]
        before = {rank: self.read(rank) for rank in others}
        until = time.monotonic() + 2.5 * PERIOD_S
        while True:
            for rank in others:
                line = self.ask(f"failed/{rank}")
                if line is not None:
                    return LostProcess(f"process {rank} of {self.size} failed: {line}", rank)
                if rank in (known := ended()):
                    return self._lost(rank, known[rank], before[rank])
            if time.monotonic() > until:
                break
            time.sleep(0.05)
        late = "timed out" in str(error).lower() or "timeout" in str(error).lower()
        now = {rank: self.read(rank) for rank in others}
        silent = [rank for rank in others if before[rank] == now[rank]]
        if silent:
            return self._lost(silent[0], "does not answer any more" if late else "has ended", now[silent[0]])
        far = {rank: beat.exchanges for rank, beat in now.items() if beat is not None}
        slowest = min(far, key=far.__getitem__)
        if late and far[slowest] < self.exchanges:
            return self._lost(slowest, "lives, but is stuck in its data or its computing", now[slowest])
        reason = str(error).strip().splitlines()[0]
        return LostProcess(f"the exchange between {self.size} processes failed: {reason}", slowest)

    def _lost(self, rank: int, how: str, beat: Beat | None) -> LostProcess:
        pid = f" (pid {beat.pid})" if beat is not None else ""
        return LostProcess(f"process {rank} of {self.size}{pid} {how}", rank)

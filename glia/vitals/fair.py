"""A fair clock: seconds on the wall, without those in which this thread could run and other programs had the cores.

Sleeping, waiting for a disk, a worker or a GPU counts; on a busy machine a step still takes as long as on a quiet one.
"""

import os
from time import perf_counter

STATISTICS = "/proc/thread-self/schedstat"  # of Linux: ns on a core, ns of waiting for one, turns


class FairClock:
    """Seconds, from any beginning; of the thread that makes it. Where the system does not tell, those on the wall."""

    def __init__(self) -> None:
        self._file = os.open(STATISTICS, os.O_RDONLY) if os.path.exists(STATISTICS) else -1

    def __call__(self) -> float:
        return perf_counter() - self.kept_waiting()

    def kept_waiting(self) -> float:
        """Seconds in all that the thread has waited for a core."""
        return int(os.pread(self._file, 64, 0).split()[1]) * 1e-9 if self._file >= 0 else 0.0

    def __del__(self) -> None:
        if self._file >= 0:
            os.close(self._file)

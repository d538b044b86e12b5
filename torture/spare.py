"""A second process that is there already: forked before anything was computed, it waits for a run to train beside.

The one that glia starts imports torch, which takes seconds; that is all in which this one differs.
"""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress

from glia.workbench import processes
from glia.workbench.worker import work

LOOK_S = 0.005


class Spare:
    """What `glia.workbench.processes` uses of a subprocess.Popen."""

    def __init__(self) -> None:
        ear, self._mouth = os.pipe()
        self.pid = os.fork()
        self._code: int | None = None
        if not self.pid:
            os.setsid()
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # or it would unwind into what its owner was doing
            os.close(self._mouth)
            told = b"".join(iter(lambda: os.read(ear, 4096), b""))
            if told:
                os.environ.update(json.loads(told))
                work()
            os._exit(0)  # whoever forked it has ended, or needs no second process
        os.close(ear)

    def begin(self, rank: int, size: int, port: int) -> "Spare":
        """Train as process `rank`."""
        told = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": size,
            "MASTER_ADDR": processes.HERE,
            "MASTER_PORT": port,
        }
        with suppress(BrokenPipeError):  # it was killed before; `poll` will tell
            os.write(self._mouth, json.dumps({name: str(value) for name, value in told.items()}).encode())
        os.close(self._mouth)
        return self

    def poll(self) -> int | None:
        """The exit code, or None while it lives."""
        if self._code is None:
            done, state = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(state) if done else None
        return self._code

    def wait(self, timeout: float) -> int:
        """The exit code; TimeoutExpired where it does not end."""
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("spare", timeout)
            time.sleep(LOOK_S)
        return code

    def kill(self) -> None:
        """End it at once."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def ready() -> Spare:
    """From now on a run of two processes takes this one as its second."""
    spare = Spare()
    processes._child = spare.begin  # type: ignore[assignment]
    return spare

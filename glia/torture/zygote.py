"""A process that has imported glia and forks: each fork is a life, which may be killed. A life so begins in
milliseconds and not in seconds, which is what makes a thousand kills affordable.

Nothing is computed here before a fork: OpenMP's threads do not survive one, and a child that waits for them hangs.
Run as ``python -m glia.torture.zygote``: a JSON object a line on standard input, and one a line back.
"""

import gc
import importlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from glia.errors import GliaError

GRACE_S = 8.0  # for what a killed process started, to end too
_STEP_S = 0.001


class Zygote:
    """The process, as its owner sees it: ``with Zygote(threads=1) as zygote: zygote.live("module:function", ...)``."""

    def __init__(self, *, threads: int = 1):
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "glia.torture.zygote"]
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def live(
        self,
        call: str,
        arguments: dict[str, Any],
        *,
        log: Path,
        kill_after: float | None = None,
        aim: Path | None = None,
        hit: str = "all",
        number: int = signal.SIGKILL,
        again: float | None = None,
        limit_s: float = 300.0,
    ) -> dict[str, Any]:
        """One life: fork, call ``module:function`` with `arguments`, and say how it ended.

        kill_after: seconds after which it is sent signal `number`; aim: not before a save is under way in that folder
        (for half a second more at most). hit: "all" its processes, its "own" one alone, or another "part" of it: one
        that it started with a session of its own, should it be there.
        again: the signal once more, so much later. What it prints goes to `log`. Gives ``{"code": exit code, or minus
        the signal that killed it, "seconds", "ended": the time of day, "after": seconds from the signal to its end,
        "aimed": did that hit a save, "hit": what was hit, "orphans": processes that outlived it by GRACE_S, which are
        killed then, "hung": did it outlast limit_s}``
        """
        asked = {"call": call, "arguments": arguments, "log": str(log), "kill_after": kill_after, "limit_s": limit_s}
        asked |= {"aim": str(aim) if aim else None, "hit": hit, "number": int(number), "again": again}
        assert self._process.stdin and self._process.stdout  # noqa: S101 - both were asked for above
        self._process.stdin.write(json.dumps(asked) + "\n")
        answer = self._process.stdout.readline()
        if not answer:
            raise GliaError("the process that forks lives has ended", got=f"exit code {self._process.wait()}")
        told: dict[str, Any] = json.loads(answer)
        if "error" in told:
            raise GliaError(told["error"])
        return told

    def close(self) -> None:
        """End of input, and the process ends."""
        with self._process:
            pass

    def __enter__(self) -> "Zygote":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def own_threads() -> int:
    """Threads of this process that carry its own name: more than one means that torch has computed something.

    Polars has threads of its own names from its import on, and bears a fork.
    """
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        return 1
    name = Path("/proc/self/comm").read_text()
    return sum((task / "comm").read_text() == name for task in tasks.iterdir())


def _fork(asked: dict[str, Any]) -> int:
    ready, told = os.pipe()
    pid = os.fork()
    if pid:
        os.close(told)
        os.read(ready, 1)  # not before it leads a session of its own can that be hit
        os.close(ready)
        return pid
    code, killed = 70, 0
    try:
        os.setsid()
        os.close(ready)
        os.close(told)
        log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        module, _, function = asked["call"].partition(":")
        getattr(importlib.import_module(module), function)(**asked["arguments"])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException as error:
        traceback.print_exc()
        killed = signal.SIGINT if type(error) is KeyboardInterrupt else 0
    sys.stdout.flush()
    sys.stderr.flush()
    for child in multiprocessing.active_children():  # as Python does when it ends
        child.terminate()
    if killed:  # as Python does too, so that whoever waits for it hears of it
        signal.signal(killed, signal.SIG_DFL)
        os.kill(os.getpid(), killed)
    os._exit(code)


def _saving(folder: str) -> bool:
    """Is a draft of ours there, which is renamed when it is whole?"""
    try:
        return any(entry.name.startswith((".tmp-", ".old-", ".trash-")) for entry in os.scandir(folder))
    except FileNotFoundError:
        return False


def others(*sessions: int) -> list[int]:
    """Processes of sessions whose leaders are gone."""
    return [pid for pid, fields in _processes().items() if int(fields[3]) in sessions and fields[0] != "Z"]


def _processes() -> dict[int, list[str]]:
    """All processes: state, parent, group, session and what else the kernel has of each."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            found[int(stat.parent.name)] = stat.read_text().rpartition(")")[2].split()
    return found


def _parts(pid: int) -> list[int]:
    """What a process has started that leads a session of its own."""
    return [one for one, fields in _processes().items() if int(fields[1]) == pid and int(fields[3]) == one]


def _ended(pid: int, until: float, aim: str | None = None) -> int | None:
    """The exit code once the process has ended; None when `until` came first, or a save that was aimed at."""
    while True:
        done, state = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(state)
        if time.monotonic() >= until or (aim is not None and _saving(aim)):
            return None
        time.sleep(_STEP_S if aim is None else _STEP_S / 10)


def _live(asked: dict[str, Any]) -> dict[str, Any]:
    began = time.monotonic()
    pid, aimed, after, hit, parts = _fork(asked), False, 0.0, "", list[int]()
    patience = asked["limit_s"] if asked["kill_after"] is None else asked["kill_after"]
    code = _ended(pid, began + patience)
    if code is None and asked["kill_after"] is not None:
        if asked["aim"]:
            code = _ended(pid, time.monotonic() + 0.5, asked["aim"])
            aimed = code is None and _saving(asked["aim"])
        if code is None:
            parts = _parts(pid)
            hit = "own" if asked["hit"] == "part" and not parts else asked["hit"]
            send, target = (os.killpg, pid) if hit == "all" else (os.kill, parts[0] if hit == "part" else pid)
            sent = time.monotonic()
            send(target, asked["number"])
            if asked["again"] is not None and (code := _ended(pid, sent + asked["again"])) is None:
                with suppress(ProcessLookupError):  # a part may have ended already
                    send(target, asked["number"])
            code = _ended(pid, sent + asked["limit_s"]) if code is None else code
            after = time.monotonic() - sent
    hung, ended = code is None, time.time()
    if code is None:
        os.killpg(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    until = time.monotonic() + GRACE_S
    while (left := others(pid, *parts)) and time.monotonic() < until:
        time.sleep(0.02)
    for one in left:
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)
    return {
        "code": code, "seconds": time.monotonic() - began, "ended": ended, "aimed": aimed, "hit": hit,
        "orphans": len(left), "hung": hung, "after": after,
    }  # fmt: skip


def main() -> None:
    """Answer lives until standard input ends."""
    for slow in ("glia.workbench.train", "torch._dynamo"):  # the second is what tracing a step imports, in seconds
        importlib.import_module(slow)
    gc.collect()
    gc.freeze()  # or each life would walk, and so copy, all that was imported
    for line in sys.stdin:
        asked = json.loads(line)
        importlib.import_module(asked["call"].partition(":")[0])
        threads = own_threads()
        if threads > 1:
            answer: dict[str, Any] = {"error": f"{threads} threads before a fork: something was computed"}
        else:
            answer = _live(asked)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

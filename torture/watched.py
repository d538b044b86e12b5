"""The command line under an audit hook: each call in a process forked from one that has everything imported.

``python -m torture.watched`` reads jobs, a JSON line each, and answers each with a line: the exit code, what was said,
and what the hook saw that reading data and models does not need.
"""

import ast
import json
import os
import resource
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Generator, Iterable
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

CANARY = "glia_canary"
"""A word in every piece of code that a hostile file holds: what is compiled or run with it in was the file's."""
MEMORY_BYTES = 2 << 30  # that a call may claim beyond what it was forked with
ALWAYS = {
    "pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn",
    "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request",
    "webbrowser.open", "ftplib.connect", "http.client.connect", "smtplib.connect",
}  # fmt: skip
CHANGES = {  # event -> how many of its first arguments are paths
    "os.mkdir": 1, "os.rename": 2, "os.remove": 1, "os.rmdir": 1, "os.link": 2, "os.symlink": 2, "os.truncate": 1,
    "os.chmod": 1, "os.chown": 1, "os.utime": 1, "shutil.rmtree": 1, "shutil.move": 2, "shutil.copyfile": 2,
    "os.setxattr": 1, "os.mknod": 1, "os.mkfifo": 1,
}  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
PROGRAMS = {"git", "uname"}  # which say what a run ran on
DEVICES = ("/dev/null", "/dev/tty")


@dataclass(frozen=True)
class Job:
    """argv: the words after `glia`. cwd: where it runs. allowed: files (as patterns) and folders that may change."""

    argv: list[str]
    cwd: str
    allowed: list[str]
    seconds: float = 20.0


@dataclass(frozen=True)
class Outcome:
    """code: of the exit; minus the signal's number where one ended it. seen: what the hook saw and should not have."""

    code: int
    said: str
    seen: list[str] = field(default_factory=list)
    seconds: float = 0.0


def outcomes(jobs: Iterable[Job], temporary: Path) -> Generator[Outcome, None, None]:
    """Run jobs one after another; each outcome as it is there. temporary: the folder for temporary files."""
    temporary.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1",
                   "TMPDIR": str(temporary)}  # fmt: skip
    command = [sys.executable, "-m", "torture.watched"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as warm:
        if warm.stdin is None or warm.stdout is None:
            raise OSError("no pipes")
        try:
            for job in jobs:
                print(json.dumps(asdict(job)), file=warm.stdin, flush=True)
                yield Outcome(**json.loads(warm.stdout.readline()))
        finally:
            warm.stdin.close()
            warm.wait(timeout=60)


def main() -> None:
    """Import what the verbs need, without computing anything (no pool of threads may live when a process forks)."""
    sys.dont_write_bytecode = True
    import PIL.Image
    import safetensors.torch
    import torch
    import torch._dynamo

    import glia.cli.import_
    import glia.cli.main
    import glia.cli.trace
    import glia.cli.train
    import glia.workbench.run
    import glia.workbench.train  # noqa: F401

    torch.set_num_threads(1)
    safetensors.torch.load(safetensors.torch.save({}))
    PIL.Image.init()
    for line in sys.stdin:
        job = Job(**json.loads(line))
        print(json.dumps(asdict(_forked(job))), flush=True)


def _forked(job: Job) -> Outcome:
    """One call in a process of its own, ended when it takes too long."""
    out, began = os.memfd_create("said"), time.monotonic()
    seen = os.memfd_create("seen")
    process = os.fork()
    if process == 0:
        _call(job, out, seen)
    stop = threading.Timer(job.seconds, os.kill, (process, signal.SIGKILL))
    stop.start()
    status = os.waitpid(process, 0)[1]
    stop.cancel()
    texts = [os.pread(handle, 1 << 20, 0).decode("utf-8", "replace") for handle in (out, seen)]
    os.close(out)
    os.close(seen)
    return Outcome(os.waitstatus_to_exitcode(status), texts[0], texts[1].splitlines(), time.monotonic() - began)


def _call(job: Job, out: int, seen: int) -> None:
    """In the child: never returns. Only what is said on standard error is kept."""
    code = 70
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
        os.dup2(out, 2)
        os.chdir(job.cwd)
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_BYTES, now + MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.argv = ["glia", *job.argv]
        sys.addaudithook(Watch(job, seen))
        from glia.cli.main import main as verb

        verb()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1 if ended.code else 0
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


class Watch:
    """The audit hook. It writes what it sees, a line each, and hinders nothing."""

    def __init__(self, job: Job, seen: int):
        self.seen = seen
        self.allowed = [os.path.realpath(path) for path in (*job.allowed, os.environ["TMPDIR"])]
        import PIL
        import torch

        import glia
        import torture

        places = {*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix}
        places |= {str(Path(one.__file__ or "").resolve().parents[1]) for one in (PIL, torch)}
        self.programs = tuple(
            {os.path.realpath(one) for one in places}
            | {str(Path(one.__file__ or "").resolve().parent) for one in (glia, torture)}
        )

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        wrong = self._wrong(event, arguments)
        if wrong:
            os.write(self.seen, (" ".join(f"{event}: {wrong}".split())[:300] + "\n").encode("utf-8", "replace"))

    def _wrong(self, event: str, arguments: tuple[Any, ...]) -> str:
        if event in ALWAYS:
            return repr(arguments)[:200]
        if event == "subprocess.Popen":
            ours = arguments[0] in PROGRAMS or list(arguments[1])[1:4] == ["-s", "-m", "glia.foreign.child"]
            return "" if ours else repr(arguments)[:200]
        if event == "open":
            path, mode, flags = arguments
            writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & WRITES)
            return self._outside(path) if writes else ""
        if event in CHANGES:
            inside = arguments[-1] if isinstance(arguments[-1], int) and arguments[-1] > 0 else None
            paths = [_within(inside, path) for path in arguments[: CHANGES[event]]]
            if event == "os.mkdir" and os.path.isdir(paths[0]):
                return ""  # which changes nothing
            return next((wrong for path in paths if (wrong := self._outside(path))), "")
        if event == "import":
            return str(arguments[0]) if CANARY in str(arguments[0]) else ""
        if event in ("compile", "exec"):
            return self._foreign(arguments)
        return ""

    def _outside(self, path: Any) -> str:
        if isinstance(path, int):
            return ""  # what is open already
        text = os.fsdecode(path)
        folder, name = os.path.split(os.path.abspath(text))
        real = os.path.join(os.path.realpath(folder), name)
        if text in DEVICES or any(real.startswith(one + os.sep) or fnmatch(real, one) for one in self.allowed):
            return ""
        return text

    def _foreign(self, arguments: tuple[Any, ...]) -> str:
        """Code that stands in a file of no program, or holds the word."""
        first = arguments[0]
        name = getattr(first, "co_filename", arguments[1] if len(arguments) > 1 else "")
        held = repr((first.co_names, first.co_consts)) if hasattr(first, "co_names") else repr(first)
        caller = sys._getframe(3).f_code
        if caller.co_filename == ast.__file__ and caller.co_name == "parse":
            return ""  # a tree is made of it, which nothing runs
        if CANARY in held:
            return held[:200]
        name = os.fsdecode(name) if isinstance(name, (str, bytes)) else ""
        if name.startswith("<") or not name or os.path.realpath(name).startswith(self.programs):
            return ""
        return name


def _within(folder: int | None, path: Any) -> Any:
    """A path that is relative to an open folder, from the root."""
    return path if folder is None else os.path.join(os.readlink(f"/proc/self/fd/{folder}"), os.fsdecode(path))


if __name__ == "__main__":
    main()

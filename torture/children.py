"""glia's command line in warm children: everything is imported once, and each command is a fork of that process.

A command of its own would spend two seconds on importing torch; a fork spends some milliseconds, so thousands of broken
files are read in minutes. The forking process is one of its own (``python -m torture.children``), which imports and
forks and does nothing else: no thread runs in it that a fork would lose.
"""

import gc
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

# Seconds by the clock are for what hangs alone: on a busy machine they are many times those of the processor.
MOST_CPU_SECONDS, MOST_SECONDS, MOST_BYTES = 20, 240, 6 << 30
WARM = (
    "glia.cli.train", "glia.cli.display", "glia.cli.list", "glia.cli.predict", "glia.cli.evaluate", "glia.cli.report",
    "glia.workbench.train", "glia.workbench.run", "glia.data.tables.read", "glia.data.images.reader", "polars",
    "sklearn.datasets", "torch._dynamo", "torch.export", "glia.predict.export",
    "PIL.PngImagePlugin", "PIL.JpegImagePlugin", "PIL.GifImagePlugin", "PIL.BmpImagePlugin",
    "PIL.WebPImagePlugin", "PIL.TiffImagePlugin", "PIL.TgaImagePlugin", "PIL.Jpeg2KImagePlugin",
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What a command did. code: its exit code, negative for the signal that ended it. mib: the most it held."""

    code: int
    out: str
    err: str
    cpu_seconds: float
    seconds: float
    mib: float


class Children:
    """``with Children() as glia: glia.ask(["train", "t.csv"], folder)``"""

    def __enter__(self) -> "Children":
        spared = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "COLUMNS": "200"}
        root = Path(__file__).resolve().parents[1]
        path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "torture.children"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | spared | {"PYTHONPATH": path},
        )  # fmt: skip
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait()  # it ends with its input, and no child of it outlives MOST_SECONDS
        self._process.stdout.close()  # type: ignore[union-attr]

    def ask(self, words: list[str], folder: Path, *, whole: bool = False, largest_file: int = 0) -> Answer:
        """`glia` with these words, in `folder`. whole: train too; otherwise training ends when all files are read.

        largest_file: bytes beyond which the system refuses to write; 0: no limit.
        """
        told = json.dumps({"words": words, "folder": str(folder), "whole": whole, "largest_file": largest_file})
        self._process.stdin.write(told + "\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise RuntimeError("the process that forks has ended")
        return Answer(**json.loads(line))


def _serve() -> None:
    for name in WARM:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # or each fork would walk, and so copy, all that was imported: 0.3 s of 0.4
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        answers.write(json.dumps(asdict(_forked(**json.loads(line)))) + "\n")
        answers.flush()


def _forked(words: list[str], folder: str, whole: bool, largest_file: int) -> Answer:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            _live(words, folder, whole, largest_file, out.fileno(), err.fileno())
        ended = 0
        while not ended:
            ended, status, used = os.wait4(child, os.WNOHANG)
            if not ended:
                if time.monotonic() - began > MOST_SECONDS:
                    os.kill(child, signal.SIGKILL)
                time.sleep(0.002)
        seconds = time.monotonic() - began
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read(1 << 20).decode("utf-8", "backslashreplace"))
    code = os.waitstatus_to_exitcode(status)
    return Answer(code, said[0], said[1], used.ru_utime + used.ru_stime, seconds, used.ru_maxrss / 1024)


def _live(words: list[str], folder: str, whole: bool, largest_file: int, out: int, err: int) -> None:
    """The child: what `python -m glia` would do, in a process that is small and short-lived by law."""
    code = 1
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        for old, new in ((null, 0), (out, 1), (err, 2)):
            os.dup2(old, new)
        resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_SECONDS, MOST_CPU_SECONDS + 1))
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + MOST_BYTES, held + MOST_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if largest_file:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
        os.chdir(folder)
        sys.argv = ["glia", *words]
        _run(whole)
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1 if stop.code else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(whole: bool) -> None:
    from glia.cli.main import main
    from glia.workbench import train

    def enough(*given: Any, **named: Any) -> None:
        raise SystemExit(0)

    if not whole:
        if not hasattr(train, "_checkup"):
            raise RuntimeError("the place where all files are read has another name now")
        train._checkup = enough
    main()


if __name__ == "__main__":
    _serve()

"""`glia import`: weights out of a pickled checkpoint (.pt, .pth, .bin, .ckpt) into a safetensors file.

The file is read in a process of its own (see `child`), which can neither open, write nor start anything; what comes
back is checked and written here.
"""

import json
import os
import stat
import subprocess
import sys
import threading
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import safetensors

import glia
from glia import disk
from glia.errors import DamagedError, GliaError
from glia.foreign.state import TIMES

LARGEST = 1 << 36  # 64 GiB
HEADER = 100_000_000  # bytes that the header of a safetensors file may have
LINE = 1 << 16  # of the answer's first line
PIECE = 1 << 20
SECONDS, BYTES_A_SECOND = 120, 10_000_000


@dataclass(frozen=True)
class Imported:
    """What was written. taken: the name in the checkpoint that the weights stood under, "" for the whole of it.
    others: names of further weights there. left: entries that are no tensors."""

    path: Path
    tensors: int
    parameters: int
    bytes: int
    taken: str = ""
    others: tuple[str, ...] = ()
    left: int = 0

    def line(self) -> str:
        """One line for people."""
        under = f" under {self.taken!r}" if self.taken else ""
        also = f"; there are also {', '.join(map(repr, self.others))}" if self.others else ""
        left = f"; left out {self.left} entries that are no tensors" if self.left else ""
        return f"{self.tensors:,} tensors{under}, {self.parameters:,} numbers, {self.bytes:,} bytes{also}{left}"


def import_weights(path: Path | str, out: Path | str, *, part: str = "", overwrite: bool = False) -> Imported:
    """Read the weights of a checkpoint that torch.save wrote, and write them as safetensors.

    part: the name in the checkpoint under which the weights stand, where the usual ones ("state_dict", "model", ...) do
    not say. Raises GliaError for whatever is not plain weights: objects that need code, tensors or archives that claim
    more than the file holds, a file that takes too much time or memory.
    """
    source, target = Path(path), Path(out)
    if target.suffix.lower() != ".safetensors":
        raise GliaError(f"cannot write weights to {target}", got=target.suffix or "no suffix", expected=".safetensors")
    if target.exists() and not overwrite:
        raise GliaError(f"{target} exists already", hint="another name, or --overwrite")
    with _opened(source) as file:
        size = os.fstat(file.fileno()).st_size
        child = _start(file, part)
        watch = threading.Timer(SECONDS + size / BYTES_A_SECOND, child.kill)
        watch.start()
        try:
            return _taken_over(child, source, target, size, overwrite=overwrite)
        finally:
            watch.cancel()
            child.kill()
            child.communicate()


def _opened(path: Path) -> IO[bytes]:
    """The file, if it is a plain one: never a pipe or a device, which might not end."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise GliaError(f"cannot read {path}", got=getattr(error, "strerror", None) or error) from None
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode) or not 0 < facts.st_size <= LARGEST:
        os.close(handle)
        kind = "a folder" if stat.S_ISDIR(facts.st_mode) else f"{facts.st_size:,} bytes"
        got = kind if stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode) else "a pipe or a device"
        raise GliaError(f"{path} is no checkpoint", got=got, expected="a file of 1 byte to 64 GiB")
    return os.fdopen(handle, "rb")


def _start(file: IO[bytes], part: str) -> "subprocess.Popen[bytes]":
    """A process that knows where Python's packages are, and nothing else of this one."""
    places = [str(Path(glia.__file__).resolve().parents[1]), *(place for place in sys.path if place)]
    environment = {
        "PYTHONPATH": os.pathsep.join(places), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PATH": os.defpath, "HOME": "/nonexistent",
    }  # fmt: skip
    command = [sys.executable, "-s", "-m", "glia.foreign.child", part]
    return subprocess.Popen(
        command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, cwd="/",
        start_new_session=True,
    )  # fmt: skip


def _taken_over(
    child: "subprocess.Popen[bytes]", source: Path, target: Path, size: int, *, overwrite: bool
) -> Imported:
    """The child's answer, which is not trusted either: its length and its header are compared with the file's."""
    if child.stdout is None:
        raise GliaError(f"cannot import {source}")
    try:
        head = dict(json.loads(child.stdout.readline(LINE)))
    except (ValueError, TypeError, RecursionError):
        code = child.wait()
        raise GliaError(
            f"cannot import {source}: reading it was ended",
            got=f"signal {-code}" if code < 0 else f"exit code {code}", expected="time and memory as weights need",
        ) from None  # fmt: skip
    if "error" in head:
        raise GliaError(f"cannot import {source}: {head['error']}")
    most, written = size * TIMES + HEADER, 0
    with disk.open_rows(target, overwrite=overwrite) as out:
        while piece := child.stdout.read(PIECE):
            written += len(piece)
            if written > most:
                raise DamagedError(f"cannot import {source}: it gives more than it holds")
            out.write(piece)
        out.flush()
        tensors, parameters = _counted(Path(f"/dev/fd/{out.fileno()}"), source)  # it has no name yet
    others = tuple(map(str, head.get("others", ())))
    return Imported(target, tensors, parameters, written, str(head.get("taken", "")), others, int(head.get("left", 0)))


def _counted(path: Path, source: Path) -> tuple[int, int]:
    """(tensors, numbers) in a safetensors file, from its header."""
    try:
        opened: Any = safetensors.safe_open(path, "np")
        shapes = [opened.get_slice(name).get_shape() for name in opened.keys()]  # noqa: SIM118 - no mapping
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise DamagedError(f"cannot import {source}: its weights came out damaged", got=error) from None
    return len(shapes), sum(map(prod, shapes))

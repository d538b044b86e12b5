"""The one place that unpickles, in a process of its own which has nothing to lose.

It is handed an open file as standard input and gives back a line of JSON and safetensors bytes on standard output.
Before it reads, it takes from itself the right to open files and sockets, to write, to start processes, to have much
memory or time; torch's unpickler for weights alone does the reading, and nothing else is tried when that refuses.
"""

import io
import json
import os
import re
import resource
import sys
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from glia.errors import GliaError
from glia.foreign import archive, state

SPARE_BYTES = 1 << 30
SECONDS, BYTES_A_SECOND = 60, 20_000_000
FORBIDDEN = (
    "os.",
    "subprocess.",
    "socket.",
    "shutil.",
    "ctypes.",
    "pickle.",
    "pty.",
    "webbrowser.",
    "urllib.",
    "ftplib.",
)
_ASKED = re.compile(r"(?:GLOBAL|class|global) (\S+)")


def seconds_for(size: int) -> int:
    """The most that a file of so many bytes may take."""
    return SECONDS + size // BYTES_A_SECOND


def main() -> None:
    """From standard input to standard output: {"error": line}, or {"taken", "others", "left"} and the tensors."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no part of the answer
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        with os.fdopen(0, "rb", closefd=False) as file:
            size = os.fstat(0).st_size
            warm_up()
            confine(size)
            head, tensors = read(file, size, part)
    except GliaError as error:
        head, tensors = {"error": str(error)}, b""
    except MemoryError:
        head, tensors = {"error": f"it needs more memory than a file of {size:,} bytes should"}, b""
    answer.write(json.dumps(head).encode() + b"\n")
    answer.write(tensors)
    answer.flush()
    os._exit(0)  # nothing that the file left behind runs at the end


def warm_up() -> None:
    """What is imported or opened at the first use, now: later no file can be opened."""
    torch.set_num_threads(1)
    for new in (True, False):
        file = io.BytesIO()
        torch.save({"a": torch.nn.Parameter(torch.ones(2))}, file, _use_new_zipfile_serialization=new)
        file.seek(0)
        found = state.find(torch.load(file, map_location="cpu", weights_only=True))
        safetensors.torch.save(state.checked(found.tensors, 1 << 20))


def confine(size: int) -> None:
    """Take away what reading weights does not need."""
    limits = {
        resource.RLIMIT_AS: _memory() + SPARE_BYTES + 4 * state.TIMES * size,
        resource.RLIMIT_CPU: seconds_for(size),
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 0,  # what is open stays open
    }
    for limit, value in limits.items():
        hard = resource.getrlimit(limit)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))
    sys.addaudithook(_refuse)


def _memory() -> int:
    """Bytes of address space that are taken now; a large guess where the system does not say."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[0]) * resource.getpagesize() if statm.is_file() else 1 << 36


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """A second fence: what would leave this process is an error, and ends it."""
    if event == "open" or event.startswith(FORBIDDEN):
        raise GliaError("the file asked for something that weights do not need", got=event)


def read(file: Any, size: int, part: str) -> tuple[dict[str, Any], bytes]:
    """(what was found, the weights as safetensors)."""
    archive.check(file)
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except (GliaError, MemoryError):
        raise
    except Exception as error:
        raise _refused(error) from None
    found = state.find(checkpoint, part)
    tensors = safetensors.torch.save(state.checked(found.tensors, size))
    return {"taken": found.taken, "others": found.others[:12], "left": found.left}, tensors


def _refused(error: Exception) -> GliaError:
    """torch's refusal in a line of ours; its own text recommends to load the file without protection."""
    text = str(error)
    asked = _ASKED.search(text)
    if "TorchScript" in text:
        return GliaError("it is a TorchScript program, not weights", hint="the state_dict of the same network")
    if asked and ("weights_only" in text or "Weights only" in text):
        what = asked.group(1).strip("`'\".,")
        return GliaError(
            "it holds more than weights", got=f"a call of {what}", expected="tensors by name",
            hint="a file of the state_dict alone, or the .safetensors twin",
        )  # fmt: skip
    first = text.strip().partition("\n")[0].partition(". ")[0][:160]
    return GliaError("it cannot be read as weights", got=f"{type(error).__name__}: {first}")


if __name__ == "__main__":
    main()

"""What a run ran on: enough to say later why numbers differ."""

import importlib.metadata
import os
import platform
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("glia", "torch", "numpy", "polars", "scikit-learn", "pillow", "safetensors")


def describe() -> dict[str, Any]:
    """Python, platform, CPU, threads, versions, git commit and the command, as plain JSON."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "versions": {name: _version(name) for name in PACKAGES},
        "git": _git(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def peak_memory_bytes() -> int:
    """The most memory this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def numerics(description: dict[str, Any]) -> dict[str, Any]:
    """The part of a description that decides the last bits of a sum."""
    return {
        "threads": description.get("threads"),
        "cpu_capability": description.get("cpu_capability"),
        "gpu": description.get("gpu"),
        "torch": description.get("versions", {}).get("torch"),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _git() -> str | None:
    """Commit of the folder the run was started in, with + when files differ from it; None outside git."""
    if shutil.which("git") is None:
        return None
    ask = ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    answer = subprocess.run(ask, capture_output=True, text=True, timeout=10, check=False)
    return answer.stdout.strip() or None

"""What a run ran on: enough to say later why numbers differ."""

import hashlib
import importlib.metadata
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

PACKAGES = ("glia", "torch", "numpy", "polars", "scikit-learn", "pillow", "safetensors")
COMPUTING = ("glia", "torch", "numpy", "polars", "scikit-learn", "pillow")  # whose release may change the last bits
DECIDING: tuple[str, ...] = ("processes", "threads", "cpu", "cpu_capability", "gpu")
ALONGSIDE: tuple[str, ...] = ("python", "platform", "interop_threads", "git")
# Variables that choose how a library adds up; the others of these families say how it waits and where it runs.
CHOOSING = (
    "ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG", "DNNL_MAX_CPU_ISA", "KMP_DETERMINISTIC_REDUCTION",
    "MKL_CBWR", "MKL_DYNAMIC", "MKL_ENABLE_INSTRUCTIONS", "NVIDIA_TF32_OVERRIDE", "OMP_DYNAMIC",
    "ONEDNN_DEFAULT_FPMATH_MODE", "ONEDNN_MAX_CPU_ISA",
)  # fmt: skip
MOST_NAMED = 3  # steps at which a run was resumed, in a sentence
FAMILIES = ("OMP_", "GOMP_", "KMP_", "MKL_", "ONEDNN_", "DNNL_", "ATEN_", "CUBLAS_", "CUDA_", "CUDNN_", "NVIDIA_")


def describe() -> dict[str, Any]:
    """Python, platform, CPU, threads, versions, git commit and the command, as plain JSON.

    "numerics" holds what decides the last bits of a sum and has no place among the rest.
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "versions": {name: _version(name) for name in PACKAGES},
        "git": _git(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "numerics": _settings() | (_cuda() if torch.cuda.is_available() else {}),
        "environment": {name: os.environ[name] for name in sorted(os.environ) if name.startswith(FAMILIES)},
    }


def _settings() -> dict[str, Any]:
    """How torch was built and set; oneDNN and MKL are parts of it."""
    # What the build can do, without the line on what this CPU lets it use: that is told apart.
    build = "\n".join(line for line in torch.__config__.show().splitlines() if "capability usage" not in line)
    libraries = {
        name: found[1] if (found := re.search(pattern, build)) else None
        for name, pattern in (("mkl", r"Math Kernel Library Version (\S+)"), ("onednn", r"MKL-DNN v(\S+)"))
    }
    return {
        **libraries,
        "torch_build": hashlib.sha256(build.encode()).hexdigest()[:12],
        "default_dtype": str(torch.get_default_dtype()).removeprefix("torch."),
        "flush_denormal": float(np.float32(1e-40) * np.float32(1.0)) == 0.0,
        "matmul_precision": torch.get_float32_matmul_precision(),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "mkldnn_enabled": bool(torch.backends.mkldnn.enabled),
    }


def _cuda() -> dict[str, Any]:
    return {
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "gpu_capability": ".".join(map(str, torch.cuda.get_device_capability())),
        "gpu_driver": _driver(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "cudnn_tf32": torch.backends.cudnn.allow_tf32,
        "matmul_tf32": torch.backends.cuda.matmul.allow_tf32,
    }


def _driver() -> str | None:
    """Release of NVIDIA's kernel module, where Linux tells it."""
    told = Path("/proc/driver/nvidia/version")
    found = re.search(r"Module\s.*?(\d+\.\d+[.\d]*)", told.read_text(errors="replace")) if told.is_file() else None
    return found[1] if found else None


def peak_memory_bytes() -> int:
    """The most memory this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def numerics(description: dict[str, Any]) -> dict[str, Any]:
    """The part of a description that decides the last bits of a sum, under flat names."""
    description = description if isinstance(description, dict) else {}
    versions, variables = _part(description, "versions"), _part(description, "environment")
    plain = {key: description[key] for key in DECIDING if key in description}
    chosen = {name: variables.get(name) for name in CHOOSING} if "environment" in description else {}
    return (
        plain
        | {name: versions[name] for name in COMPUTING if name in versions}
        | chosen
        | _part(description, "numerics")
    )


def surroundings(description: dict[str, Any]) -> dict[str, Any]:
    """What else may explain a difference: Python, platform, the program's own state, other variables."""
    description = description if isinstance(description, dict) else {}
    versions, variables = _part(description, "versions"), _part(description, "environment")
    plain = {key: description[key] for key in ALONGSIDE if key in description}
    plain |= {name: value for name, value in versions.items() if name not in COMPUTING}
    return plain | {name: value for name, value in variables.items() if name not in CHOOSING}


def changes(was: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Each thing that two descriptions' `numerics` hold in other words: "threads 1 -> 2".

    What an older release did not write down is not known to have changed.
    """
    before, after = numerics(was), numerics(now)
    return [_changed(key, before[key], after[key]) for key in after if key in before and before[key] != after[key]]


def other_changes(was: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The same of `surroundings`; a variable may also have come or gone."""
    before, after = surroundings(was), surroundings(now)
    keys = after.keys() | before.keys() if "environment" in was else after.keys() & before.keys()
    pairs = [(key, before.get(key), after.get(key)) for key in sorted(keys)]
    return [_changed(key, one, other) for key, one, other in pairs if one != other]


def promise(description: dict[str, Any]) -> str:
    """Where a run was resumed and what held for it, in words; nothing for one that never was."""
    resumed = description.get("resumed")
    times = [one for one in resumed if isinstance(one, dict)] if isinstance(resumed, list) else []
    if not times:
        return ""
    steps = ", ".join(str(one.get("step", 0)) for one in times[:MOST_NAMED])
    where = f"at step {steps}" + (", ..." if len(times) > MOST_NAMED else "")
    given = [one["changed"] for one in times if isinstance(one.get("changed"), list)]
    changed = list(dict.fromkeys(str(text) for texts in given for text in texts))
    return f"{where}: {inexact(changed) if changed else 'bit-exact, as if it had never stopped'}"


def inexact(changed: Sequence[str]) -> str:
    """The promise that is left where the machine computes otherwise."""
    return f"the order of the rows is exact, the numbers are not bit-exact: {', '.join(changed)}"


def _changed(key: str, before: Any, after: Any) -> str:
    one, other = ("not set" if value is None else value for value in (before, after))
    return f"{key.replace('_', ' ') if key.islower() else key} {one} -> {other}"


def _part(description: dict[str, Any], name: str) -> dict[str, Any]:
    """A mapping in a description that may have been written by an older release, or by hand."""
    value = description.get(name)
    return value if isinstance(value, dict) else {}


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
    """Commit of the folder the run was started in, with + when files differ from it; None outside git.

    What a repository sets to be run (a monitor of files, hooks, filters of contents, ways to fetch) is not: files are
    compared by size and time alone.
    """
    if shutil.which("git") is None:
        return None
    commit = _ask_git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return None
    same = ("--raw", "--ignore-submodules")
    return commit + ("+" if _ask_git("diff-files", *same) or _ask_git("diff-index", "--cached", *same, "HEAD") else "")


def _ask_git(*words: str) -> str:
    """What git answers; nothing where it does not."""
    ask = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", *words]
    alone = os.environ | {"GIT_ALLOW_PROTOCOL": "", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}
    answer = subprocess.run(ask, capture_output=True, text=True, timeout=10, check=False, env=alone)
    return answer.stdout.strip() if answer.returncode == 0 else ""

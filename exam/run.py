"""Run: the doctor on every drawn program, the script unchanged."""

import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

VERDICT = "doctor.json"


def programs(out: Path) -> list[Path]:
    """The folders of a drawn set, in order."""
    return sorted(each.parent for each in out.glob("*/truth.json"))


def run(out: Path, glia: str, jobs: int, limit: float) -> Iterator[tuple[str, bool, float]]:
    """The name of each program, whether there is a verdict, and the seconds that it took."""
    command = shlex.split(glia)
    command[0] = os.path.abspath(command[0]) if os.sep in command[0] else command[0]
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda folder: _examined(folder, command, limit), programs(out))


def _examined(folder: Path, command: list[str], limit: float) -> tuple[str, bool, float]:
    verdict = folder / VERDICT
    truth = json.loads((folder / "truth.json").read_text())
    limit = max(limit, 60 + 2 * truth.get("seconds", 0) * truth.get("length", 1))  # long programs take minutes alone
    verdict.unlink(missing_ok=True)
    asked = [*command, "doctor", "train.py", "--format", "json", "--output", VERDICT]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = time.perf_counter()
    try:
        answer = subprocess.run(
            asked, cwd=folder, env=environment, capture_output=True, text=True, timeout=limit, check=False
        )
        log = answer.stdout + answer.stderr + f"\nexit {answer.returncode}\n"
    except subprocess.TimeoutExpired:
        verdict.unlink(missing_ok=True)
        log = f"no answer in {limit:g} s\n"
    seconds = time.perf_counter() - started
    (folder / "doctor.log").write_text(log)
    (folder / "seconds.json").write_text(json.dumps(round(seconds, 2)))
    return folder.name, verdict.exists(), seconds

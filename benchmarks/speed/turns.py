"""Turns: each question is put to each tool in a process of its own, one after the other, and again."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LONGEST_S = 1800.0  # of one process


@dataclass
class Answers:
    """What one tool said in its turns. none: why it says nothing."""

    given: list[dict[str, Any]] = field(default_factory=list)
    none: str = ""

    def all(self, key: str) -> list[float]:
        return [one[key] for one in self.given if one.get(key) is not None]

    def median(self, key: str) -> float | None:
        values = self.all(key)
        return statistics.median(values) if values else None

    def spread(self, key: str) -> tuple[float, float]:
        """Quartiles; of fewer than four the least and the most."""
        values = self.all(key)
        if len(values) < 4:
            return min(values), max(values)
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        return low, high


def ask(question: dict[str, Any], longest: float = LONGEST_S) -> dict[str, Any]:
    """The answer of a fresh process; {"none": why} where there is none."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "found.json"
        command = [sys.executable, "-m", "benchmarks.speed.worker", json.dumps(question), str(path)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=longest
            )
        except subprocess.TimeoutExpired:
            return {"none": f"not done within {longest:.0f} s"}
        if not path.exists():
            said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            return {"none": f"failed: {said[:200]}"}
        found: dict[str, Any] = json.loads(path.read_text())
        return found


def in_turns(
    names: Sequence[str], question: dict[str, Any], rounds: int, tell: Callable[[str], None]
) -> dict[str, Answers]:
    """Put it to each tool `rounds` times, each round in another order. What failed or cannot is not asked again."""
    answers = {name: Answers() for name in names}
    for number in range(rounds):
        for name in rotated(names, number):
            if answers[name].none:
                continue
            found = ask({**question, "tool": name})
            if "none" in found:
                answers[name].none = found["none"]
                if found["none"].startswith(("failed", "not done")):
                    tell(f"{question.get('work', '')} {name}: {found['none']}")
            else:
                answers[name].given.append(found)
    return answers


def rotated(names: Iterable[str], by: int) -> list[str]:
    """The same, from another one on."""
    given = list(names)
    by %= max(1, len(given))
    return given[by:] + given[:by]

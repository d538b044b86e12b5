"""RELIABILITY.md: the promise in words, what was tried on which machine, and the bugs that it found."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from glia import disk
from glia.runs import machine
from glia.torture.result import Result

PROMISE = """# What glia promises, and how often that was tried

**Nothing lost.** A run that is stopped or killed at any moment goes on with `glia resume` and ends as the run that
never was: the same weights, optimiser state, figures and predictions, **to the last bit** on the same kind of machine
with the same versions and the same number of threads, with any number of workers. Where one of those differs the
**order of the rows is exact** and the last bits of a sum are not; glia says which of the two held, in one line, when it
goes on.

**Nothing let in.** What is on the disk is whole or is refused: every byte of a checkpoint or a model is verified when
it is read, nothing that is read is executed, and a bad file, a bad number or a full disk is one line and an exit code.

Each promise below was tried as often as the table says, by the experiment of that name. `make torture` tries them all
in small numbers, `make torture N=large` in large ones, `python -m torture kill N=1000` one of them; the same
experiments run in small numbers with the tests, in `tests/torture/`. The seed of what is random stands with the
figures.
"""


@dataclass(frozen=True)
class Record:
    """A Result with when and where it was had."""

    name: str
    promise: str
    tried: int
    failed: list[str]
    seconds: float
    figures: dict[str, str]
    date: str
    machine: dict[str, Any] = field(default_factory=dict)
    cpu_seconds: float = 0.0

    @classmethod
    def of(cls, result: Result) -> "Record":
        facts = machine.describe()
        told = {name: facts.get(name) for name in ("cpu", "cores", "threads", "gpu", "platform", "python", "git")}
        told["torch"] = facts["versions"]["torch"]
        seconds, cpu = round(result.seconds, 1), round(result.cpu_seconds, 1)
        date = time.strftime("%Y-%m-%d")
        failed = list(result.failed)
        return cls(result.name, result.promise, result.tried, failed, seconds, dict(result.figures), date, told, cpu)


def read(path: Path) -> dict[str, Record]:
    """What was kept of earlier experiments, by name."""
    if not path.is_file():
        return {}
    return {name: Record(**record) for name, record in json.loads(path.read_text("utf-8")).items()}


def keep(path: Path, records: list[Record]) -> dict[str, Record]:
    """Add `records` to what is kept, each in the place of an earlier one of its name; all of them."""
    kept = read(path) | {record.name: record for record in records}
    disk.write_json(path, {name: asdict(kept[name]) for name in sorted(kept)})
    return kept


def render(kept: dict[str, Record], order: list[str], escapes: Path, out: Path) -> None:
    """Write the page; experiments that are there no more are left out."""
    records = [kept[name] for name in order if name in kept]
    lines = [PROMISE, "## What was tried", ""]
    lines += ["| experiment | promise | tried | failed | seconds | CPU s | figures | date |"]
    lines += ["|---|---|--:|--:|--:|--:|---|---|"]
    for one in records:
        figures = ", ".join(f"{name} {value}" for name, value in one.figures.items())
        times = (f"{one.seconds:,.0f}", f"{one.cpu_seconds:,.0f}" if one.cpu_seconds else "")
        cells = (one.name, one.promise, f"{one.tried:,}", f"{len(one.failed):,}", *times, figures)
        lines.append(f"| {' | '.join(_cell(text) for text in (*cells, one.date))} |")
    failures = [f"* {one.name}: {_cell(line)}" for one in records for line in one.failed]
    lines += ["", *(["Failed:", "", *failures, ""] if failures else [])]
    lines += ["## On what", ""]
    machines: dict[str, list[str]] = {}
    for one in records:
        machines.setdefault(_machine(one.machine), []).append(one.name)
    lines += [f"* {facts}: {', '.join(names)}" for facts, names in machines.items()]
    if escapes.is_file():
        lines += [
            "",
            "## Escapes",
            "",
            "Faults of glia that were found so far, and the test that makes each again.",
            "",
        ]
        lines.append(escapes.read_text("utf-8").strip())
    disk.write_file(out, "\n".join(lines) + "\n")


def _machine(facts: dict[str, Any]) -> str:
    gpu = f", {facts['gpu']}" if facts.get("gpu") else ""
    return (
        f"{facts.get('cpu')}, {facts.get('cores')} cores, {facts.get('threads')} thread(s) of torch{gpu}, "
        f"{facts.get('platform')}, Python {facts.get('python')}, torch {facts.get('torch')}"
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

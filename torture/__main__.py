"""python -m torture [NAME ...] [N=COUNT]: try to break glia, print how often that succeeded, write RELIABILITY.md."""

import argparse
import resource
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from glia.errors import GliaError, unknown
from glia.torture.result import Result
from torture.experiments import Experiment, experiments
from torture.page import Record, keep, render

HERE = Path(__file__).resolve().parent
SHOWN = 5  # failures of an experiment that are printed


def main() -> int:
    """Run what was asked for; 1 when anything failed."""
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("names", nargs="*", help="experiments (all if none is named), and N=COUNT")
    parser.add_argument("--count", "-n", help="how often each tries: a number, or large; N=COUNT does the same")
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--dry", action="store_true", help="leave RELIABILITY.md and results.json as they are")
    options = parser.parse_args()
    words = [word for word in options.names if not word.startswith("N=")]
    count = next((word[2:] for word in options.names if word.startswith("N=")), options.count)
    console = Console(highlight=False)
    try:
        chosen = _chosen(words)
        counts = [_count(count, one) for one in chosen]
    except GliaError as error:
        console.print(f"torture: {error}", markup=False)
        return error.exit_code
    if options.list:
        for one in chosen:
            console.print(f"{one.name:14} {one.small:>7,} {one.large:>9,}  {one.promise}", markup=False)
        return 0
    results = [attempt(one, times, console) for one, times in zip(chosen, counts, strict=True)]
    console.print(_table(results))
    if not options.dry:
        kept = keep(HERE / "results.json", [Record.of(result) for result in results])
        order = [one.name for one in experiments()]
        render(kept, order, HERE / "escapes.md", HERE.parent / "RELIABILITY.md")
    return 0 if all(result.held for result in results) else 1


def _chosen(words: list[str]) -> list[Experiment]:
    every = {one.name: one for one in experiments()}
    for word in words:
        if word not in every:
            raise unknown("experiment", word, every)
    return [every[word] for word in words] or list(every.values())


def _count(text: str | None, one: Experiment) -> int:
    if text in (None, "", "small", "large"):
        return one.large if text == "large" else one.small
    if not text or not text.isdecimal() or not int(text):
        raise GliaError("how often to try", got=repr(text), expected="a number above 0, small, or large")
    return int(text)


def attempt(one: Experiment, count: int, console: Console) -> Result:
    """One experiment, in a folder of its own that is kept when it fails."""
    began, used = time.monotonic(), _cpu()
    folder = Path(tempfile.mkdtemp(prefix=f"torture-{one.name}-"))
    with console.status(f"{one.name}: {count:,} tries") as status:
        try:
            result = one.run(count, folder, lambda line: status.update(f"{one.name}: {line}"))
        except Exception as error:
            traceback.print_exc()
            result = Result(one.name, one.promise, 1, (f"the experiment ended by {type(error).__name__}: {error}",))
    result = replace(result, seconds=time.monotonic() - began, cpu_seconds=_cpu() - used)
    mark = "[green]held[/green]" if result.held else "[red]FAILED[/red]"
    console.print(f"{one.name}: {result.tried:,} tried, {len(result.failed):,} failed: {mark}")
    for line in result.failed[:SHOWN]:
        console.print(f"  {line}", markup=False)
    if result.failed:
        console.print(f"  kept for a look: {folder}", markup=False)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _cpu() -> float:
    """CPU seconds of this process and of those that it has started, their own among them, as far as they have ended."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


def _table(results: list[Result]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1))
    for name, side in (("experiment", "left"), ("promise", "left"), ("tried", "right"), ("failed", "right")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for name in ("seconds", "CPU s"):
        table.add_column(name, justify="right")
    table.add_column("figures")
    for one in results:
        figures = ", ".join(f"{name} {value}" for name, value in one.figures.items())
        failed = f"[red]{len(one.failed):,}[/red]" if one.failed else "0"
        table.add_row(
            one.name, one.promise, f"{one.tried:,}", failed, f"{one.seconds:.0f}", f"{one.cpu_seconds:.0f}", figures
        )
    return table


if __name__ == "__main__":
    sys.exit(main())

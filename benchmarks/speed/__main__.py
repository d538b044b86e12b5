"""The command line of the benchmark: which part, which works, which tools."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from benchmarks.speed import accuracy, memory, page, peak, startup, steps
from benchmarks.speed.tools import TITLES
from benchmarks.speed.works import BY_NAME

PARTS = {"steps": steps, "accuracy": accuracy, "memory": memory, "startup": startup, "peak": peak}


def main(arguments: Sequence[str]) -> int:
    import benchmarks.speed as package

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed",
        description=package.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", nargs="?", choices=["all", *PARTS], default="all")
    parser.add_argument(
        "works", nargs="*", help=f"of steps, memory, peak: {', '.join(BY_NAME)}; accuracy: {', '.join(accuracy.GOALS)}"
    )
    parser.add_argument("--tools", nargs="+", choices=list(TITLES), default=list(TITLES))
    parser.add_argument("--rounds", type=int, default=5, help="turns of each tool (default 5)")
    parser.add_argument("--steps", type=int, help="steps of an epoch, instead of the work's own: for a trial")
    parser.add_argument("--epochs", type=int, help="measured epochs, instead of the work's own")
    parser.add_argument("--no-page", action="store_true", help="print only; a trial with --steps never writes the page")
    given = parser.parse_args(arguments)
    more = {name: value for name in ("steps", "epochs") if (value := getattr(given, name)) is not None}
    for line in (about := page.facts()):
        page.CONSOLE.print(line)
    for name in PARTS if given.part == "all" else [given.part]:
        kept = not given.no_page and not given.steps
        write = partial(page.write, PARTS[name].TITLE, [*PARTS[name].ABOUT, "", *about])
        tables = PARTS[name].run(given.works, given.tools, given.rounds, more, write if kept else page.forget)
        for table in tables:
            table.show()
        if kept:
            write(tables)
    for line in page.busy():
        page.CONSOLE.print(line, style="bold red")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

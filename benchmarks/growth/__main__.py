"""The command line, and the page that says what came out."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import benchmarks.growth as package
from benchmarks.growth import curves, files
from benchmarks.speed import page
from benchmarks.speed.page import Figures

PAGE = curves.POINTS.with_name("GROWTH.md")
HEAD = "# Growth\n\n`make bench-growth` measures this; `python -m benchmarks.growth --help` says how.\n"
USUAL = (*curves.SWEEPS, "reading", "loader")
ABOUT = {
    "Steps": "![time and memory against what grows](growth.svg)",
    "A long run": "A table network of 450 parameters, batches of 32 rows; each tenth of the run.",
    "A CSV of any size": "`glia.train` for one epoch, a network of two layers of 64, on one thread; memory as the "
    "system counts it at most, pages of mapped files included.",
    "Reading": "A million rows, 16 columns, 113 MB. glia keeps each row's line, finds missing words and odd rows.",
    "Pictures": f"JPEGs of {files.SIDE} x {files.SIDE}, a residual network of 16 channels, batches of {files.BATCH}, "
    "one thread. The share that waits is that of the clock in the second epoch; load: programs that wanted one of the "
    "cores, this one among them.",
}


def tables() -> dict[str, Figures]:
    """What was kept, as tables."""
    found, kept = {}, curves.kept()
    lines = []
    for name, points in kept.items():
        if name in curves.SWEEPS:
            x, ms, mb = (list(values) for values in zip(*points))
            line = [curves.SWEEPS[name].title, f"{x[0]:,.0f} to {x[-1]:,.0f}"]
            line += [f"{ms[0]:.2f}", f"{ms[-1]:.2f}", f"{curves.slope(x, ms):.2f}"]
            lines.append([*line, f"{mb[0]:.0f}", f"{mb[-1]:.0f}", f"{curves.slope(x, mb):.2f}"])
    if lines:
        head = ["what grows", "from, to", "ms a step, first", "last", "slope", "MB, first", "last", "slope of MB"]
        found["Steps"] = Figures("Time of a step and memory", head, lines)
    if "steps" in kept:
        head = ["to step", "us a step", "MB"]
        rows = [[f"{done:,.0f}", f"{us:.1f}", f"{mb:.1f}"] for done, us, mb in kept["steps"]]
        found["A long run"] = Figures("Each tenth", head, rows)
    if "csv" in kept:
        head = ["MB of text", "rows", "CPU s to read", "CPU s in all", "MB after reading", "MB at most"]
        rows = [[f"{line[0] / 1e6:,.0f}", f"{line[1]:,.0f}", *(f"{v:,.0f}" for v in line[2:])] for line in kept["csv"]]
        found["A CSV of any size"] = Figures("Training for an epoch", head, rows)
    if "reading" in kept:
        rows = [[name, f"{m:.2f}", f"{low:.2f} to {high:.2f}"] for name, (m, low, high) in kept["reading"].items()]
        found["Reading"] = Figures("A million rows", ["who", "CPU s", "lowest, highest"], rows)
    if "loader" in kept:
        head = ["pictures", "how many", "CPU s before", "us a picture, first epoch", "second"]
        head += ["share that waits", "MB", "load"]
        rows = [
            [n, f"{c:,.0f}", f"{p:.1f}", f"{a:.0f}", f"{b:.0f}", f"{w:.1%}", f"{mb:.0f}", f"{load:.1f}"]
            for n, c, p, a, b, w, mb, load in kept["loader"]
        ]
        found["Pictures"] = Figures("Who waits", head, rows)
    return found


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth", description=package.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("parts", nargs="*", help=f"of {', '.join((*USUAL, 'steps', 'csv'))}; {' '.join(USUAL)} if none")
    parser.add_argument("--most", type=float, help="steps of the long run, bytes of the CSV, or pictures")
    parser.add_argument("--folder", type=Path, help="where files are made (a temporary folder)")
    given = parser.parse_args(arguments)
    about = page.facts()
    with TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        for part in given.parts or USUAL:
            if part in curves.SWEEPS:
                curves.run(part)
            elif part == "steps":
                curves.long_run(int(given.most or 1_000_000))
            elif part == "csv":
                files.csv(given.most or 5e9, folder)
            elif part == "loader":
                files.loader(int(given.most or files.PICTURES))
            else:
                files.reading(folder)
    curves.picture()
    PAGE.unlink(missing_ok=True)
    for title, table in tables().items():
        table.show()
        page.write(title, [ABOUT[title]], [table], PAGE, HEAD)
    for line in (*about, *page.busy()):
        page.CONSOLE.print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

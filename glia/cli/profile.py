"""glia profile."""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from glia.cli.screen import Console
from glia.disk import write_file
from glia.errors import GliaError, unknown
from glia.profiling import words

if TYPE_CHECKING:
    from glia.profiling.modules import Part
    from glia.profiling.profile import Profile

FORMATS = ("text", "json")
BAR = 24  # characters of a bar of the whole step
LEAST = 0.02  # share of the step from which a module is shown
MOST_ROWS = 24
COLOURS = {
    "data": "yellow",
    "forward": "cyan",
    "loss": "blue",
    "backward": "magenta",
    "replayed": "blue",
    "optimiser": "green",
    "rest": "dim",
    "logging": "dim",
    "doctor": "dim",
}


def run(
    what: Path,
    arguments: Sequence[str],
    *,
    steps: int | None,
    seconds: float | None,
    trial_seconds: float | None,
    out: Path | None,
    form: str,
    overwrite: bool,
) -> None:
    """Profile a run or a script, show it, and write a page where one was asked for."""
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    if out is not None and out.exists() and not overwrite:
        raise GliaError(f"{out} exists already", hint="--overwrite, or another name")
    page = out.resolve() if out is not None else None  # a script may change the directory
    script = what.suffix == ".py" and not what.is_dir()
    if not script and arguments:
        raise GliaError("arguments are for scripts", got=" ".join(arguments), expected="a run folder alone")
    from glia.profiling.profile import profile

    aside = form == "json"  # standard output is for the answer alone
    told = Console(highlight=False, stderr=True)
    with contextlib.redirect_stdout(sys.stderr) if aside else contextlib.nullcontext():
        status = told.status("") if told.is_terminal else None

        def tell(line: str) -> None:
            if status is not None:
                status.start()
                status.update(Text(line, "dim"))

        try:
            found = profile(
                what, arguments, steps=steps, seconds=seconds, trial_seconds=trial_seconds, tell=tell
            )  # fmt: skip
        finally:
            if status is not None:
                status.stop()
    if page is not None:
        write_file(page, found.page().encode())
    if aside:
        sys.stdout.write(found.to_json() + "\n")
    else:
        show(found)
        if out is not None:
            Console(highlight=False).print(Text.assemble(("\n  page  ", "dim"), str(out)), soft_wrap=True)
    sys.exit(1 if found.error or found.code else 0)


def show(found: "Profile", console: Console | None = None) -> None:
    """For people: the step as a bar, its modules, the machine's share, what was tried."""
    console = console or Console(highlight=False)
    title = Text.assemble(("\nglia profile  ", "dim"), (found.name, "bold"), (f"  {found.steps} steps timed", "dim"))
    console.print(title)
    console.print(Text.assemble("a step takes ", (words.time(found.step), "bold"), f" {words.step(found)}"))
    console.print(Padding(_phases(found), (1, 0, 0, 0)))
    if found.evaluation:
        console.print(Text(f"  besides, {words.time(found.evaluation)} in all went into looking at other rows", "dim"))
    if found.parts:
        console.print(Padding(_modules(found), (1, 0, 0, 0)))
    for line in words.figures(found):
        console.print(Text(f"  {line}", "dim"), soft_wrap=True)
    _show_trials(found, console)
    for note in found.notes:
        console.print(Text(f"  note: {note}", "dim"), soft_wrap=True)
    if found.error or found.code:
        console.print(Text(f"\nthe script ended with exit code {found.code} {found.error}".rstrip(), "red"))


def _phases(found: "Profile") -> Table:
    table = Table(box=None, padding=(0, 1), show_header=False)
    for side in ("left", "left", "right", "right"):
        table.add_column(justify=side, no_wrap=True)
    table.add_column(overflow="fold")
    for name, share in found.shares.items():
        bar = Text("█" * max(round(BAR * share), 1 if share > 0.004 else 0), COLOURS.get(name, ""))
        table.add_row(name, bar, f"{100 * share:.1f} %", words.time(found.phases[name]), Text(words.SAID[name], "dim"))
    return table


def _modules(found: "Profile") -> Table:
    """The tree, without what takes next to nothing; own times, and with all below."""
    whole = sum(part.total for part in found.parts) or 1.0
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("module", no_wrap=True, overflow="ellipsis")
    for name in ("forward", "backward", "own", "share", "GFLOP/s"):
        table.add_column(name, justify="right", no_wrap=True)
    left = MOST_ROWS

    def add(part: "Part", depth: int) -> None:
        nonlocal left
        if left <= 0 or (part.total < LEAST * whole and depth):
            return
        left -= 1
        rate = f"{part.flops / part.own / 1e9:.0f}" if part.flops and part.own else ""
        label = "  " * depth + (part.name.rpartition(".")[2] if depth else part.name)
        name = Text.assemble(label, (f" {part.kind}" + (f" x{part.calls}" if part.calls > 1 else ""), "dim"))
        share = part.own / whole
        heavy = "bold" if share >= 0.2 else ""
        times = (words.time(part.forward), words.time(part.backward), words.time(part.own))
        table.add_row(name, *(Text(cell, heavy) for cell in (*times, f"{100 * share:.0f} %", rate)))
        for inner in part.parts:
            add(inner, depth + 1)

    for part in found.parts:
        add(part, 0)
    return table


def _show_trials(found: "Profile", console: Console) -> None:
    if not found.trials:
        return
    best = found.best
    tried = f"{len(found.trials)} were tried on copies, turn by turn with the step as it is"
    console.print(Text(f"\n{words.heading(found)}; {tried}", "bold"))
    for trial in best:
        named = Text.assemble(("  ", ""), (trial.change.name, "bold green"), f": {words.gain(trial)}")
        console.print(named, soft_wrap=True)
        console.print(Text("      " + "; ".join([trial.numbers, *trial.notes]), "dim"), soft_wrap=True)
        console.print(Text(f"      {trial.change.how}"), soft_wrap=True)
    if found.together is not None and not found.together.error:
        console.print(Text(f"  together, but for rows and loading: {words.gain(found.together)}"), soft_wrap=True)
        console.print(Text(f"      {found.together.numbers}", "dim"), soft_wrap=True)
    for line in words.others(found):
        console.print(Text(f"  {line}", "dim"))

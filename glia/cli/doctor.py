"""glia doctor."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from glia.cli.screen import Console
from glia.disk import write_file
from glia.errors import GliaError, unknown

if TYPE_CHECKING:
    from glia.doctor.finding import Finding, Remedy
    from glia.workbench.doctor import Diagnosis

FORMATS = ("text", "json", "github")
COLOURS = {"error": "bold red", "warning": "bold yellow", "note": "cyan"}
LEVELS = {"error": "error", "warning": "warning", "note": "notice"}  # GitHub's words
BAR = 20  # characters of a full bar


def run(
    script: Path,
    arguments: Sequence[str],
    *,
    form: str,
    output: Path | None,
    steps: int | None,
    seconds: float | None,
    skip: Sequence[str],
    trial_seconds: float | None,
) -> None:
    """Run a script under the doctor, tell what was found, and end with 0 (healthy) or 1 (findings)."""
    if form not in FORMATS:
        raise unknown("format", form, FORMATS)
    if output is not None and form == "text":
        raise GliaError("text goes to the terminal", got=f"--output {output}", hint="add --format json")
    target = output.resolve() if output is not None else None  # the script may change the directory
    from glia.doctor.examine import code_of
    from glia.workbench.doctor import doctor

    for name in skip:
        code_of(name)  # a typo is answered before the script runs
    aside = form != "text" and target is None  # standard output is for the answer alone
    with contextlib.redirect_stdout(sys.stderr) if aside else contextlib.nullcontext():
        diagnosis = doctor(script, arguments, steps=steps, seconds=seconds, skip=skip, trial_seconds=trial_seconds)
    if form == "json":
        _give(diagnosis.to_json() + "\n", target)
    elif form == "github":
        _give("".join(f"{line}\n" for line in annotations(diagnosis)), target)
    if not aside:
        show(diagnosis)
    sys.exit(0 if diagnosis.healthy else 1)


TORTURE_S = 60.0  # when no --time is given


def torture(path: Path, *, seconds: float | None) -> None:
    """Try to break a run (a copy of it), show a table, and end with 0 or, when anything failed, 1."""
    from glia.torture.own_run import torture_run

    console = Console(highlight=False, soft_wrap=True)
    with console.status("") as status:
        told = status.update if console.is_terminal else console.print
        results = torture_run(path, TORTURE_S if seconds is None else seconds, lambda line: told(Text(line, "dim")))
    table = Table(box=None, header_style="dim", padding=(0, 1))
    for name in ("experiment", "tried", "failed", "seconds", "promise and figures"):
        table.add_column(name, justify="right" if name in ("tried", "failed", "seconds") else "left", overflow="fold")
    for one in results:
        failed = Text(f"{len(one.failed):,}", "bold red" if one.failed else "green" if one.tried else "dim")
        figures = "; ".join(f"{name}: {value}" for name, value in one.figures.items())
        table.add_row(one.name, f"{one.tried:,}", failed, f"{one.seconds:.0f}", Text(f"{one.promise}\n{figures}"))
    console.print(table)
    broken = [line for one in results for line in one.failed]
    for line in broken:
        console.print(Text(f"  {line}", "red"))
    console.print(Text("failed" if broken else "all that was tried held", "bold red" if broken else "green"))
    sys.exit(1 if broken else 0)


def _give(text: str, target: Path | None) -> None:
    if target is None:
        sys.stdout.write(text)
    else:
        write_file(target, text.encode())


def annotations(diagnosis: "Diagnosis") -> Iterator[str]:
    """GitHub's workflow commands, one a finding."""
    for finding in diagnosis.findings:
        file, _, line = finding.place.partition(":")
        where = f"file={diagnosis.attached.script.parent / file},line={line}," if line else ""
        text = f"{finding.why}. {finding.shown_evidence()}. {finding.cure}".replace("%", "%25").replace("\n", "%0A")
        yield f"::{LEVELS[finding.severity]} {where}title={finding.code} {finding.name}::{text}"


def show(diagnosis: "Diagnosis", console: Console | None = None) -> None:
    """For people: what was run, then each finding with its evidence and what its cure gained."""
    console = console or Console(highlight=False)
    attached = diagnosis.attached
    console.print()
    for number, part in enumerate(diagnosis.parts):
        title = Text.assemble(("glia doctor  ", "dim"), (attached.script.name, "bold"))
        if len(diagnosis.parts) > 1:
            title.append(f"  training {number + 1} of {len(diagnosis.parts)}")
        title.append(f"  {part.steps} steps", "dim")
        if attached.stopped:
            title.append(", ended early", "dim")
        console.print(title)
        for name, line in part.scores.items():
            console.print(Text(f"  {'held-out rows' if name == 'valid' else 'training rows'}  {line}", "dim"))
        for finding in part.findings:
            console.print(Padding(_shown(finding), (1, 0, 0, 0)))
        if not any(finding.alarms for finding in part.findings):
            console.print(Text("  nothing wrong was found", "green"))
        for note in part.notes:
            console.print(Text(f"  {note}", "dim"))
    if attached.error or attached.code:
        console.print(Text(f"\nthe script ended with exit code {attached.code} {attached.error}".rstrip(), "red"))
    console.print(Text(_counted(diagnosis), "dim"))


def _counted(diagnosis: "Diagnosis") -> str:
    found = diagnosis.findings
    counts = [(sum(f.severity == s for f in found), s) for s in COLOURS]
    told = ", ".join(f"{n} {s}{'s' if n > 1 else ''}" for n, s in counts if n) or "no findings"
    script, trials = diagnosis.attached.seconds, diagnosis.trial_seconds
    return (
        f"\n{told}; the script took {script:.1f} s, {diagnosis.trials} trials {trials:.1f} s; glia rule CODE explains"
    )


def _shown(finding: "Finding") -> Group:
    head = Text.assemble(
        (f"{finding.severity:<8}", COLOURS[finding.severity]), (f"{finding.code} ", "bold"), (finding.name, "bold")
    )
    place = f"{finding.where} at {finding.place}" if finding.place else finding.where
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", width=8)
    table.add_column(overflow="fold")
    rows = [("where", place), ("why", finding.why), ("numbers", finding.shown_evidence()), ("cause", finding.cause)]
    rows += [("cure", finding.cure + (" (safe)" if finding.safe else ""))]
    for name, text in rows:
        if text:
            table.add_row(name, Text(text))
    for remedy in finding.remedies:
        table.add_row("tried", _tried(remedy))
    return Group(head, Padding(table, (0, 0, 0, 2)))


def _tried(remedy: "Remedy") -> Text:
    text = Text(remedy.says)
    trial = remedy.trial
    if trial is None:
        return text
    better = trial.after > trial.before
    text.append(f"\n{trial.metric} after {trial.steps} steps: {trial.before:.3g} -> ")
    text.append(f"{trial.after:.3g}", "bold green" if better else "red")
    if 0 <= trial.before <= 1 and 0 <= trial.after <= 1:
        low, high = sorted((round(BAR * trial.before), round(BAR * trial.after)))
        text.append("  " + "█" * low, "dim")
        text.append("█" * (high - low), "green" if better else "red")
        text.append("·" * (BAR - high), "dim")
    return text

"""The command line. Verbs are declared here and live in one file each; what is heavy is imported when a verb runs."""

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from glia.errors import GliaError


class Verbs(TyperGroup):
    """Ctrl-C in a verb that does not listen for it itself is one line; typer alone would end without a word."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the verb that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("glia: stopped", err=True)
            sys.exit(130)


app = typer.Typer(
    cls=Verbs,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="A workbench for neural networks: from a raw file to a trained, checked and reported network.\n\n"
    "[dim]glia train titanic.csv --target Survived[/dim]",
)
ANYTHING = {"allow_extra_args": True, "ignore_unknown_options": True}

Runs = Annotated[Path, typer.Option(help="Folder that holds the runs.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, such as runs/titanic.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output file if it exists.")]
Limits = Annotated[
    str, typer.Option("--limits", help="Read more than usual, e.g. pixels=200e6; `glia list limits` has them all.")
]


@app.command(context_settings={**ANYTHING, "help_option_names": []})
def train(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Option(help="Name of the run; from the source if not given.")] = None,
    runs: Runs = Path("runs"),
    recipe: Annotated[Path | None, typer.Option(help="A recipe.toml to start from, such as that of a run.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the result.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Train though the doctor sees an error in the data.")] = False,
    show_help: Annotated[bool, typer.Option("--help", "-h", help="Show this, with all settings.")] = False,
) -> None:
    """Train a network on SOURCE: a table, a folder of pictures, arrays, or a bundled set such as digits or iris.

    Any setting may follow, as --epochs 5 or epochs=5.

    Ctrl-C, SIGTERM or SIGUSR1 ends it after the step under way, with all kept for glia resume: exit codes 130, 143, and
    75 for SIGUSR1, which asks to be started again (SLURM: --signal=B:USR1@60). A second one ends it at once.
    """
    from glia.cli import train as verb
    from glia.workbench.halt import one_line

    if show_help or not (ctx.args or recipe):
        typer.echo(ctx.get_help().replace("train [OPTIONS]", "train SOURCE [OPTIONS] [SETTINGS]"))
        verb.show_settings()
        return
    with one_line("glia: stopped"):
        verb.run(ctx.args, name=name, runs=runs, recipe=recipe, quiet=quiet, force=force)


@app.command()
def resume(
    run: RunArgument,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the result.")] = False,
    processes: Annotated[int | None, typer.Option(help="Another number of processes than before.")] = None,
) -> None:
    """Go on with a run that was stopped or killed, as if it never had been."""
    from glia.cli import train as verb
    from glia.workbench.halt import one_line

    with one_line(f"glia: stopped. To go on: glia resume {run}"):
        verb.go_on(run, processes=processes, quiet=quiet)


@app.command()
def reproduce(
    run: RunArgument,
    name: Annotated[str | None, typer.Option(help="Name of the new run; RUN-again if not given.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the verdict.")] = False,
) -> None:
    """Train a run again from its own record, and say whether the two are equal to the last bit, or where they part.

    Exit code 0: equal; 1: not equal; 2: it cannot be made again.
    """
    from glia.cli import reproduce as verb

    verb.run(run, name=name, quiet=quiet)


@app.command()
def evaluate(
    run: RunArgument,
    source: Annotated[str, typer.Argument(help="Rows or pictures with their answers.")],
    limits: Limits = "",
) -> None:
    """Measure a trained network on new rows that have their answers."""
    from glia.cli import evaluate as verb

    verb.run(run, source, limits=limits)


@app.command()
def predict(
    run: RunArgument,
    source: Annotated[
        str, typer.Argument(help="New rows: a table, a picture, a folder, arrays, a text a line, a sentence.")
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Where to: .csv, .parquet, .jsonl; of texts also lines. Not given: SOURCE-predictions.csv",
        ),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the input's own columns beside the predictions.")] = False,
    overwrite: Overwrite = False,
    horizon: Annotated[
        int | None, typer.Option("--horizon", min=1, help="Steps to forecast. Not given: those it was trained for")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Of texts: the words that moved each answer most.")
    ] = False,
    beam: Annotated[
        int | None,
        typer.Option(
            "--beam", min=1, help="Beginnings of a text kept at once; 1 is quickest. Not given: 4 (of sounds 1)"
        ),
    ] = None,
    limits: Limits = "",
) -> None:
    """Predict new rows with a trained network; any size of file."""
    from glia.cli import predict as verb

    asked = {"horizon": horizon, "explain": explain or None, "beam": beam, "limits": limits or None}
    verb.run(run, source, out=out, keep=keep, overwrite=overwrite, **asked)


@app.command()
def generate(
    run: RunArgument,
    prompt: Annotated[str, typer.Option(help="The beginning of the text.")] = "",
    tokens: Annotated[int, typer.Option(min=1, help="How much to write.")] = 200,
    temperature: Annotated[float, typer.Option(min=0, help="0: the likeliest token each time.")] = 0.8,
    top_k: Annotated[int | None, typer.Option(min=1, help="Only the k likeliest tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Only the fewest tokens that hold this share.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same text.")] = 0,
    count: Annotated[int, typer.Option(min=1, help="How many texts.")] = 1,
) -> None:
    """Let a language model write: its text goes to standard output as it comes."""
    from glia.cli import generate as verb
    from glia.workbench.halt import one_line

    with one_line("glia: stopped"):
        verb.run(run, prompt, tokens=tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, count=count)


@app.command()
def report(run: RunArgument) -> None:
    """Write the page of a run again, and say where it is."""
    from glia.cli import report as verb

    verb.run(run)


@app.command()
def verify(run: RunArgument) -> None:
    """Compare every file of a run with what was written there; exit code 2 where one is damaged or missing.

    Also told: changed (made from the run, and edited since), derived (it can be made again), unknown (not glia's).
    """
    from glia.cli import verify as verb

    verb.run(run)


@app.command()
def export(
    run: RunArgument,
    out: Annotated[Path, typer.Argument(help="model.onnx, or model.pt2 for torch.export")],
    overwrite: Overwrite = False,
) -> None:
    """Write a trained network, with its preparation, for use without glia."""
    from glia.cli import export as verb

    verb.run(run, out, overwrite=overwrite)


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A checkpoint of PyTorch: .pt, .pth, .bin, .ckpt.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to. Not given: FILE with .safetensors at its end.")
    ] = None,
    part: Annotated[str, typer.Option(help="Name in the checkpoint under which the weights stand.")] = "",
    overwrite: Overwrite = False,
) -> None:
    """Take the weights out of a pickled checkpoint, without running it, into a safetensors file."""
    from glia.cli import import_ as verb

    verb.run(file, out=out, part=part, overwrite=overwrite)


@app.command()
def trace(
    what: Annotated[
        Path,
        typer.Argument(metavar="WHAT", help="A run folder, or a network with its numbers in a .toml or .json file."),
    ],
    row: Annotated[int | None, typer.Option(help="Which row of a run's data, from 0.")] = None,
    source: Annotated[
        str | None, typer.Option("--from", help="Rows other than those that the run was trained on.")
    ] = None,
    loss: Annotated[str | None, typer.Option(help="A loss by name; that of the run or the file if not given.")] = None,
    lr: Annotated[float | None, typer.Option(help="Show the update at this learning rate too.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page instead.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Show the forward and the backward pass of a network by hand: every sum, every gradient, every new weight."""
    from glia.cli import trace as verb

    verb.run(what, row=row, source=source, loss=loss, lr=lr, html=html, overwrite=overwrite)


@app.command(name="list")
def list_(
    kind: Annotated[
        str, typer.Argument(help="models, losses, optimizers, schedules, ..., limits, rules, runs, or settings")
    ] = "",
    name: Annotated[str, typer.Argument(help="One name, for all that is known of it.")] = "",
    runs: Runs = Path("runs"),
    size: Annotated[
        str, typer.Option("--input", help="Of a model's layer table: 3,32,32 for pictures, 128 for tokens.")
    ] = "",
) -> None:
    """What there is by name: models, activations, losses, optimizers, schedules, metrics, ... and your runs."""
    from glia.cli import list as verb

    verb.run(kind, name, runs, size)


@app.command(context_settings=ANYTHING)
def doctor(
    ctx: typer.Context,
    script: Annotated[
        Path,
        typer.Argument(
            metavar="SCRIPT",
            help="A training script. Its own arguments follow it, after -- where they are like those below. "
            "With --torture a run folder.",
        ),
    ],
    *,
    form: Annotated[str, typer.Option("--format", help="text, json or github.")] = "text",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where json or github goes.")] = None,
    steps: Annotated[int | None, typer.Option(help="End the script after so many steps.")] = None,
    seconds: Annotated[
        float | None,
        typer.Option("--time", help="End the script after so many seconds; --torture takes as many, or 60."),
    ] = None,
    torture: Annotated[
        bool, typer.Option("--torture", help="Of a run: kill it, train it otherwise, damage it, all on copies.")
    ] = False,
    skip: Annotated[
        list[str] | None, typer.Option(help="A rule to leave out, by code or name; may be repeated.")
    ] = None,
    trial_seconds: Annotated[
        float | None, typer.Option("--trial-time", help="Seconds of CPU for trying cures; 0: try none.")
    ] = None,
) -> None:
    """Run any PyTorch training script, unchanged, and say what is wrong with it; or try to break a run of glia."""
    from glia.cli import doctor as verb

    if torture:
        return verb.torture(script, seconds=seconds)
    verb.run(
        script,
        ctx.args,
        form=form,
        output=output,
        steps=steps,
        seconds=seconds,
        skip=skip or [],
        trial_seconds=trial_seconds,
    )


@app.command(context_settings=ANYTHING)
def profile(
    ctx: typer.Context,
    what: Annotated[
        Path,
        typer.Argument(metavar="WHAT", help="A run folder, or a training script; its own arguments follow it."),
    ],
    *,
    steps: Annotated[int | None, typer.Option(min=1, help="End after so many steps.")] = None,
    seconds: Annotated[float | None, typer.Option("--time", help="End after so many seconds.")] = None,
    trial_seconds: Annotated[
        float | None, typer.Option("--trial-time", min=0, help="Seconds for trying changes, 30 if not given; 0: none.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write a page too.")] = None,
    form: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
    overwrite: Overwrite = False,
) -> None:
    """Where the time of a training step goes, and what would make it shorter: each change is tried and timed.

    A script runs unchanged and to its end; a run is put together again and trained in memory for a few seconds.
    """
    from glia.cli import profile as verb
    from glia.workbench.halt import one_line

    with one_line("glia: stopped"):
        verb.run(
            what,
            ctx.args,
            steps=steps,
            seconds=seconds,
            trial_seconds=trial_seconds,
            out=out,
            form=form,
            overwrite=overwrite,
        )


@app.command()
def rule(name: Annotated[str, typer.Argument(metavar="RULE", help="A code or a name: GL303, dead-relu.")]) -> None:
    """Explain a rule of the doctor: what it finds, why that hurts, what cures it, when it is no fault."""
    from glia.cli import rule as verb

    verb.run(name)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"glia {version('glia')}")
        raise typer.Exit


@app.callback()
def _top(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """What holds for all verbs."""


def main() -> None:
    """Run a command; a user's mistake is one line on standard error and its exit code."""
    # Threads of torch wait for each other by spinning for milliseconds. When another program has one of the cores,
    # that costs a small network seven times its time (digits: 46 s, not 6); a short spin costs nothing.
    os.environ.setdefault("GOMP_SPINCOUNT", "1500")
    try:
        app()
    except KeyboardInterrupt:  # before there is a verb
        typer.echo("glia: stopped", err=True)
        sys.exit(130)
    except GliaError as error:
        # Of the processes that torchrun starts the first one speaks, unless it is the one that was lost.
        if os.environ.get("RANK", "0") == "0" or getattr(error, "rank", None) == 0:
            typer.echo(f"glia: {error}", err=True)
        sys.exit(error.exit_code)
    except SystemExit as ended:
        if ended.code:
            from glia.workbench.halt import ending

            ending(ended.code)
        raise

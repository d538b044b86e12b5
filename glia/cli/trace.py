"""glia trace."""

from pathlib import Path

from glia import disk
from glia.cli.screen import Console
from glia.errors import GliaError
from glia.tracing.netfile import read_net
from glia.tracing.rows import Trace
from glia.tracing.terminal import renderable
from glia.tracing.trace import trace
from glia.workbench.run import open_run

_FILES = (".toml", ".json")


def run(
    what: Path,
    *,
    row: int | None,
    source: str | None,
    loss: str | None,
    lr: float | None,
    html: Path | None,
    overwrite: bool,
) -> None:
    """Trace a network in a file, or that of a run on one row of its data; print it, or write a page."""
    if html is not None and html.exists() and not overwrite:
        raise GliaError(f"{html} exists already", hint="--overwrite, or another name")
    if what.suffix.lower() in _FILES and not what.is_dir():
        if row is not None or source is not None:
            raise GliaError("--row and --from belong to a run", got=what, hint="a network in a file holds its own x")
        found = _of_file(what, loss, lr)
    else:
        found = _of_run(what, row or 0, source, loss, lr)
    console = Console(highlight=False)
    if html is None:
        console.print(renderable(found, min(console.width, 120)))
        return
    disk.write_file(html, found.html())
    console.print(str(html), markup=False, soft_wrap=True)


def _of_file(path: Path, loss: str | None, lr: float | None) -> Trace:
    net = read_net(path)
    return trace(net.model, net.x, net.y, loss or net.loss, lr if lr is not None else net.lr, title=path.stem)


def _of_run(path: Path, row: int, source: str | None, loss: str | None, lr: float | None) -> Trace:
    """The best network of a run, in evaluation mode, on one row of the source that it was trained on, or another."""
    opened = open_run(path)
    rows = source if source is not None else opened.recipe.data.source
    if rows is None:
        raise GliaError(f"{path} does not say what it was trained on", hint="--from rows.csv")
    if row < 0:
        raise GliaError("the row", got=row, expected="0 or more")
    seen = 0
    for raw in opened.reader.stream(rows, targets=True):
        if row < seen + len(raw.inputs):
            at = row - seen
            targets = raw.targets[at : at + 1] if raw.targets is not None else None
            name = loss or opened.task.loss
            title = f"{opened.name}, row {raw.names[at]}"
            return trace(opened.model, raw.inputs[at : at + 1], targets, name, lr, title=title)
        seen += len(raw.inputs)
    raise GliaError(f"{rows} has no row {row}", expected=f"0 to {seen - 1}")

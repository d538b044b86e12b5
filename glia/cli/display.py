"""What a person sees while a network trains: a live line in a terminal, plain lines elsewhere."""

import math
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.status import Status
from rich.table import Table
from rich.text import Text

from glia.catalog import entry as catalog
from glia.cli.screen import Console
from glia.doctor.finding import Finding
from glia.runs.folder import RunFolder
from glia.training.loop import Moment
from glia.training.nonfinite import NonFinite
from glia.workbench.halt import Stopped, exit_code
from glia.workbench.plan import Choice
from glia.workbench.run import Run
from glia.workbench.session import Session, Watcher

SHORT = {
    "balanced_accuracy": "balanced", "roc_auc": "ROC", "pr_auc": "PR", "f1": "F1", "r2": "R2", "ece": "ECE",
    "cer": "CER", "wer": "WER", "bleu": "BLEU", "chrf": "chrF", "mae": "MAE", "rmse": "RMSE",
    "smape": "sMAPE", "mase": "MASE", "mse": "MSE"}  # fmt: skip
SEVERITIES = {"error": "bold red", "warning": "bold yellow", "note": "cyan"}
EPOCH_LINES = 20  # lines of epochs, about, however many there are


class Display:
    """Shows a run as it goes. quiet: only the result, and warnings."""

    def __init__(self, *, quiet: bool = False, console: Console | None = None):
        self.console = console or Console(highlight=False, soft_wrap=True)
        self.quiet = quiet
        self.waiting: Status | None = None
        self.progress: Progress | None = None
        self.drawn_at = 0.0

    def tell(self, line: str) -> None:
        """One line for people."""
        if not self.quiet:
            self.console.print(Text.assemble(("  note  ", "yellow"), line))

    def found(self, finding: Finding) -> None:
        """One finding of the doctor, while a run goes on; a quiet run tells only what alarms."""
        if self.quiet and not finding.alarms:
            return
        colour = SEVERITIES[finding.severity]
        head = Text.assemble((f"{finding.severity:>8}  ", colour), (f"{finding.code} {finding.name}", "bold"))
        self.console.print(Text.assemble(head, f", {finding.where}: {finding.why}"))
        if finding.alarms:
            for name, text in (("numbers", finding.shown_evidence()), ("cure", finding.cure)):
                self.console.print(Text.assemble((f"{name:>8}  ", "dim"), text))
        for remedy in finding.remedies:
            tried = f" (tried: {remedy.trial.in_words()})" if remedy.trial is not None else ""
            if finding.alarms or not tried:
                self.console.print(Text.assemble((f"{'try':>8}  ", "green"), (remedy.says, "bold"), tried))

    @contextmanager
    def busy(self, line: str) -> Iterator[None]:
        """Say what takes a while once the epochs are over; in a terminal something moves, and goes when it is done."""
        self._end()
        if self.quiet or not self.console.is_terminal:
            self.tell(line)
            yield
            return
        with self.console.status(f"{line}; Ctrl-C ends it"):
            yield

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Stop the live line however training ends; a stop that was asked for is one line and its exit code."""
        if self.console.is_terminal and not self.quiet:
            self.waiting = self.console.status("reading the data, choosing a network; Ctrl-C ends it")
            self.waiting.start()
        try:
            yield
        except Stopped as stopped:
            self._end()
            self.console.print(Text(str(stopped), "yellow"))
            sys.exit(stopped.exit_code)
        except KeyboardInterrupt as asked:
            self._end()
            self.console.print(Text("stopped at once; a run that had begun goes on with: glia resume RUN", "yellow"))
            sys.exit(exit_code(getattr(asked, "signal", signal.SIGINT)))
        except NonFinite as error:
            self._end()
            self.console.print(Text(f"glia: {error}. The best weights so far are kept.", "red"), soft_wrap=True)
            sys.exit(error.exit_code)
        finally:
            self._end()

    def begin(self, session: Session, folder: RunFolder, choices: list[Choice]) -> tuple[Watcher, ...]:
        """Say what will be trained on what; the watchers that show it."""
        if self.quiet:
            return ()
        self._end()
        self._introduce(session, folder, choices)
        train = session.recipe.train
        self.epochs = train.epochs or 1
        self.every = max(1, math.ceil(self.epochs / EPOCH_LINES))
        self.metric = getattr(getattr(session.step, "metric", None), "name", "")
        self.console.print(
            Text(
                self._row("epoch", "train loss", "valid loss", f"valid {self.metric}" if self.metric else "", "lr"),
                "dim",
            )
        )
        if self.console.is_terminal:
            columns = (BarColumn(24), TextColumn("{task.description}"), TimeRemainingColumn())
            self.progress = Progress(*columns, console=self.console, transient=True)
            self.task = self.progress.add_task("", total=session.total_steps())
            self.progress.start()
        return (self.watch,)

    def watch(self, moment: Moment) -> None:
        """Show a Moment, when there is something to see."""
        if moment.kind == "step":
            self._move(moment)
        elif moment.epoch % self.every == 0 or moment.last:
            figures = moment.figures
            mark = " *" if moment.best else ""
            row = self._row(
                str(moment.epoch + 1),
                _number(figures["train_loss"]),
                _number(figures.get("valid_loss", math.nan)) + mark,
                _number(figures.get(f"valid_{self.metric}", math.nan)),
                f"{moment.lr:.2g}",
            )
            self.console.print(row)

    def show_result(self, run: Run) -> None:
        """Figures beside the baselines, and where everything is."""
        self._end()
        metrics = run.metrics
        part = next((name for name in ("test", "valid", "train") if name in metrics), None)
        if part is not None:
            self.console.print()
            self.console.print(results(metrics, part))
        self.console.print(Text.assemble(("\n  report   ", "dim"), str(run.folder / "report.html")))
        self.console.print(Text.assemble(("  predict  ", "dim"), f"glia predict {run.folder} NEW_FILE"))

    def _introduce(self, session: Session, folder: RunFolder, choices: list[Choice]) -> None:
        card, parts = session.data.card, session.data.card.get("parts", {})
        kinds = ", ".join(f"{count:,} {name}" for name, count in parts.items() if count)
        rows = f"{card.get('rows', session.rows):,} rows"
        if card.get("kind") == "forecast":
            of = f" of {card['series']} series" if card["series"] > 1 else ""
            rows += f"{of}, {card['step']} apart; windows of {card['window']} steps"
        lines = [
            (
                "data",
                f"{card.get('source', 'in memory')}: {rows} ({kinds})",
            ),
            ("split", card.get("split", "")),
            ("predict", _wanted(session)),
            *_inputs(card),
        ]
        columns = {c["name"]: c for c in card.get("columns", []) if c.get("role") == "dropped"}
        lines += [("left out", f"{name} ({column['kind']}): {column['why']}") for name, column in columns.items()]
        others = [what for what in card.get("dropped", []) if what["what"] not in columns]
        lines += [("left out", f"{what['count']:,} {what['what']}: {what['why']}") for what in others]
        count = sum(p.numel() for p in session.model.parameters())
        why = {choice.setting: choice.why for choice in choices}
        lines.append(("model", f"{session.recipe.model.model}, {count:,} parameters: {why.pop('model', 'as asked')}"))
        lines += [(c.setting, f"{_short(c.value)}: {c.why}") for c in choices if c.setting in why]
        lines.append(("run", str(folder.path)))
        for name, text in lines:
            if text:
                self.console.print(Text.assemble((f"{name[:24]:>8}  ", "cyan"), text))
        self.console.print()

    def _move(self, moment: Moment) -> None:
        now = time.monotonic()
        if self.progress is None or now - self.drawn_at < 0.1:
            return
        self.drawn_at = now
        text = f"epoch {moment.epoch + 1}/{self.epochs}  step {moment.step}  loss {_number(moment.loss)}"
        self.progress.update(self.task, completed=moment.step, description=text)

    def _end(self) -> None:
        for live in (self.waiting, self.progress):
            if live is not None:
                live.stop()
        self.waiting = self.progress = None

    @staticmethod
    def _row(*cells: str) -> str:
        return "".join(f"{cell:<{width}}" for cell, width in zip(cells, (8, 13, 15, 18, 8), strict=True)).rstrip()


def results(metrics: dict[str, Any], part: str) -> Table:
    """The network's figures on one part, beside those of the baselines."""
    names = [name for name, value in metrics[part].items() if isinstance(value, float)][:6]
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column(f"on {part} rows", no_wrap=True)
    for name in names:
        table.add_column(_called(name), justify="right", no_wrap=True)
    table.add_row("[bold]network[/bold]", *(f"[bold]{_number(metrics[part][name])}[/bold]" for name in names))
    for entry in metrics.get("baselines", []):
        if part in entry:
            table.add_row(entry["name"], *(_number(entry[part].get(name, math.nan)) for name in names))
    return table


def _called(name: str) -> str:
    """A measure in few signs; its standard error as "± " and its name."""
    measure = name.removesuffix("_error")
    return ("± " if measure != name else "") + SHORT.get(measure, measure.replace("_", " "))


def _wanted(session: Session) -> str:
    task = session.data.task
    if wants := catalog.find("tasks", task.kind).facts.get("wants"):
        return str(wants)
    if task.kind == "classify":
        shown = ", ".join(task.classes[:6]) + (", ..." if len(task.classes) > 6 else "")
        return f"{', '.join(task.targets)}: one of {len(task.classes)} classes ({shown})"
    kind = "yes or no for each of" if task.kind == "multilabel" else "the value of"
    return f"{kind} {', '.join(task.targets)}"


def _inputs(card: dict[str, Any]) -> list[tuple[str, str]]:
    """The input columns by their kind; of pictures nothing, the data line has it all."""
    if card.get("kind") != "table":
        return []
    by_kind: dict[str, list[str]] = {}
    for column in card.get("columns", []):
        if column.get("role") == "input":
            by_kind.setdefault(column["kind"], []).append(column["name"])
    return [(kind, _listed(names)) for kind, names in by_kind.items()]


def _listed(names: list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "-" if math.isnan(value) else str(value)
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}" if abs(value) >= 10 else f"{value:.4f}"

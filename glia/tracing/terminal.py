"""A trace as text, for a terminal of any width or for print."""

from collections.abc import Iterator
from io import StringIO

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text
from torch import Tensor

from glia.tracing import worked
from glia.tracing.numbers import block, number
from glia.tracing.rows import Row, Trace, Weight

_INDENT = 12


class _Lines:
    """Lines under a heading: symbol, formula and sums in grey, then the numbers."""

    def __init__(self, width: int):
        self.width = width - _INDENT - 1
        self.table = Table.grid(padding=(0, 2, 0, 0))
        self.table.add_column(justify="right", style="cyan", width=_INDENT - 2, no_wrap=True)
        self.table.add_column(overflow="fold")

    def head(self, text: str, kind: str = "") -> None:
        if self.table.row_count:
            self.table.add_row("", "")
        self.table.add_row("", Text.assemble((text, "bold"), (f"  {kind}" if kind else "", "dim")))

    def add(self, symbol: str, values: Tensor | None, formula: str = "", sums: list[str] | None = None) -> None:
        """One symbol. Where the sums end in the very numbers, those are not said again."""
        lines = [Text(f"= {formula}", "dim")] if formula else []
        sums = sums if all(len(line) + 2 <= self.width for line in sums or []) else None
        lines += [Text(f"  {line}", "dim") for line in sums or []]
        if values is not None and not (sums and values.numel() == 1):
            lines += [Text(line) for line in block(values, self.width)]
        self.table.add_row(Text(symbol), Text("\n").join(lines))


def renderable(trace: Trace, width: int = 100) -> Group:
    """For rich: print it with a console of that width."""
    parts = [(Text("Forward", "bold underline"), _forward(trace, width))]
    if trace.loss is not None:
        parts.append((Text("Loss", "bold underline"), _loss(trace, width)))
        parts.append((Text("Backward", "bold underline"), _backward(trace, width)))
    if trace.lr is not None:
        title = Text.assemble(("Update", "bold underline"), f"  new = old - {number(trace.lr)} * gradient")
        parts.append((title, _update(trace, width)))
    shown = [item for title, table in parts for item in (title, table, Text())]
    return Group(*shown[:-1])


def text(trace: Trace, width: int = 80) -> str:
    """Without colours."""
    out = StringIO()
    console = Console(file=out, width=width, color_system=None, highlight=False, legacy_windows=False)
    console.print(renderable(trace, width))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def name_of(row: Row) -> tuple[str, str]:
    """The module's name and its class; of a plain function its own name and where it was called."""
    if row.kind[:1].isupper() and row.name:
        return row.name, row.kind
    return row.kind, f"in {row.name}" if row.name else ""


def _forward(trace: Trace, width: int) -> Table:
    lines = _Lines(width)
    lines.add("x", trace.x)
    for row in trace.rows:
        lines.head(*name_of(row))
        for weight in row.weights:
            lines.add(weight.symbol, weight.value)
        lines.add(row.out.symbol, row.out.value, row.formula.partition(" = ")[2], worked.forward(row))
    return lines.table


def _loss(trace: Trace, width: int) -> Table:
    lines, loss = _Lines(width), trace.loss
    if loss is not None:
        made = f"{loss.made}({loss.of})" if loss.made else loss.of
        lines.add("ŷ", loss.prediction, made, worked.shares(loss, trace.output.value))
        lines.add("y", trace.y)
        formula = loss.formula.removeprefix("L = ")
        sums = worked.loss(trace)
        head = Text(f"= {formula}" if formula else f"= {loss.name}(output, y)", "dim")
        end = Text(f"  {sums}", "dim") if sums else Text(number(loss.value))
        lines.table.add_row(Text("L"), Text("\n").join([head, end]))
    return lines.table


def _backward(trace: Trace, width: int) -> Table:
    lines = _Lines(width)
    after: dict[str, Row] = {row.given[0].symbol: row for row in trace.rows if row.given}
    for row in reversed(trace.rows):
        lines.head(*name_of(row))
        user = after.get(row.out.symbol)
        sums = through_sums(row, user)
        delta = f"  (delta {row.number})" if row.part == "layer" and row.back else ""
        lines.add(f"dL/d{row.out.symbol}", row.gradient, row.back + delta, sums)
        if row.gradient is None:
            lines.table.add_row("", Text("no gradient reaches it", "dim"))
        for weight in row.weights:
            _gradient(lines, row, weight)
    if trace.gradient is not None:
        lines.head("x")
        lines.add("dL/dx", trace.gradient, trace.back)
    return lines.table


def through_sums(row: Row, user: Row | None) -> list[str]:
    """The sums behind dL/d(out) where the next operation is an activation."""
    if user is None or user.slope is None or row.gradient is None or " + " in row.back:
        return []
    return worked.through(user, row.gradient)


def _gradient(lines: _Lines, row: Row, weight: Weight) -> None:
    if weight.gradient is None:
        lines.table.add_row(Text(f"dL/d{weight.symbol}"), Text("none: the loss does not depend on it", "dim"))
        return
    sums = worked.weight(row, weight)
    lines.add(f"dL/d{weight.symbol}", weight.gradient, weight.back, [sums] if sums else [])


def _update(trace: Trace, width: int) -> Table:
    lines = _Lines(width)
    for weight in trace.weights():
        if weight.new is None or trace.lr is None:
            continue
        sums = worked.update(weight, trace.lr)
        if sums:
            lines.table.add_row(Text(weight.symbol), Text(sums))
        else:
            lines.table.add_row(Text(weight.symbol), Text("\n").join(_beside(weight, lines.width)))
    return lines.table


def _beside(weight: Weight, width: int) -> Iterator[Text]:
    """Old and new numbers side by side, or one after the other where there is no room."""
    if weight.new is None:
        return
    old, new = block(weight.value, width), block(weight.new, width)
    if len(old) == len(new) and max(map(len, old)) + max(map(len, new)) + 4 <= width:
        for number_, (before, now) in enumerate(zip(old, new)):
            arrow = "->" if number_ == 0 else "  "
            yield Text.assemble((before.ljust(max(map(len, old))), "dim"), f" {arrow} ", now)
        return
    yield from (Text(line, "dim") for line in old)
    yield from (Text(f"-> {line}" if i == 0 else f"   {line}") for i, line in enumerate(new))

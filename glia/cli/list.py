"""glia list."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from glia.catalog import entry as catalog
from glia.cli import rule, settings
from glia.cli.screen import Console
from glia.errors import GliaError, unknown
from glia.limits import LIMITS

if TYPE_CHECKING:
    from glia.tracing.layers import LayerTable

OTHER = ("limits", "rules", "runs", "settings")
_WIDE = 110  # columns from which on a paper stands beside what it is the source of
_KINDS = {
    "image": "pictures",
    "video": "clips",
    "text": "texts",
    "forecast": "forecasts",
    "pairs": "pairs of texts",
    "sound": "sounds",
}


def run(kind: str, name: str, runs: Path, size: str = "") -> None:
    """Print a table of the catalogue, one entry of it, the settings, or the runs."""
    console = Console(highlight=False)
    kinds = [*catalog.kinds(), *OTHER]
    if size and not (kind == "models" and name):
        raise GliaError("--input is of one model", hint="glia list models resnet18 --input 3,64,64")
    if not kind:
        console.print("glia list " + " | ".join(kinds), markup=False)
    elif kind == "limits":
        console.print(_limits())
    elif kind == "settings":
        console.print(settings.table())
    elif kind == "rules":
        console.print(rule.table())
    elif kind == "runs":
        console.print(_runs(runs))
    elif kind not in kinds:
        raise unknown("kind", kind, kinds)
    elif name and kind == "models":
        _model(console, catalog.find(kind, name), size)
    elif name:
        _one(console, catalog.find(kind, name))
    elif kind == "models":
        _families(console)
    else:
        console.print(_entries(catalog.entries(kind), console.width))


def _limits() -> Table:
    """What is read at most, unless --limits says more."""
    table = Table(box=None, pad_edge=False, header_style="dim", caption_justify="left")
    table.add_column("limit")
    table.add_column("at most", justify="right", no_wrap=True)
    table.add_column("of what")
    table.add_column("protects from")
    for one in LIMITS.values():
        table.add_row(one.name, f"{one.most:,}", one.unit, Text(one.protects, "dim"))
    table.caption = "To allow more, in train, predict and evaluate: --limits pixels=200e6,columns=50000"
    return table


def _entries(entries: Sequence[catalog.Entry], width: int) -> Table:
    """Name, one line and paper; the paper below the line where the terminal is narrow."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("name", "what", "paper") if width >= _WIDE else ("name", "what"):
        table.add_column(column)
    for entry in entries:
        paper = Text(entry.paper or "", "dim")
        if width >= _WIDE:
            table.add_row(entry.name, entry.summary, paper)
        else:
            table.add_row(entry.name, _over(entry.summary, entry.paper))
    return table


def _over(summary: str, paper: str | None) -> Text:
    """The paper under what it is the source of."""
    return Text.assemble(summary, ("\n" + paper if paper else "", "dim"))


def _families(console: Console) -> None:
    """Networks by what they take and by family, each family under its paper."""
    sections: dict[str, dict[tuple[str, str], list[catalog.Entry]]] = {}
    for entry in catalog.entries("models"):
        inputs = entry.facts["inputs"]
        section = "tables and others" if "table" in inputs else _KINDS.get(inputs[0], inputs[0])
        group = (entry.facts.get("family", entry.name), entry.paper or "")
        sections.setdefault(section, {}).setdefault(group, []).append(entry)
    for number, (section, groups) in enumerate(sections.items()):
        console.print(*([] if number == 0 else [Text()]), Text(f"For {section}", "bold underline"), sep="\n")
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        names = [entry.name for group in groups.values() for entry in group]
        table.add_column(style="cyan", no_wrap=True, min_width=max(map(len, names)))
        table.add_column(justify="right", no_wrap=True, min_width=8)
        table.add_column()
        for (_, paper), members in groups.items():
            for entry in members:
                size = entry.facts.get("published", {}).get("parameters")
                last = entry is members[-1]
                shown = short(size, 3) if size else ""
                table.add_row(entry.name, shown, _over(entry.summary, paper if last else None))
        console.print(table)
    hint = "The number: parameters as published. glia list models NAME: all that is known, and its layers."
    console.print(Text(f"\n{hint}", "dim"))


def _one(console: Console, entry: Any) -> None:
    rows = {"name": entry.name, "what": entry.summary, "paper": entry.paper or "-", "made by": entry.factory}
    for key, value in {**rows, **entry.facts}.items():
        console.print(Text.assemble((f"{key.replace('_', ' '):<16}", "cyan"), _plain(value)), soft_wrap=True)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{str(key).replace('_', ' ')} {_plain(item)}" for key, item in value.items()) or "-"
    if isinstance(value, tuple | list):
        text = ", ".join(_plain(item) for item in value)
        return f"({text})" if value and not all(isinstance(item, str) for item in value) else text
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _model(console: Console, entry: catalog.Entry, size: str) -> None:
    """Its facts, and its layers for the published input or another; no layers where it has no size of its own."""
    if not size and "published" not in entry.facts:
        _one(console, entry)
        such = "336,7,96 (steps, columns, steps ahead)" if "forecast" in entry.facts["inputs"] else "3,32,32 or 128"
        hint = f"Its layers for an input of yours: glia list models {entry.name} --input SIZE, such as {such}"
        console.print(Text(f"\n{hint}", "dim"), soft_wrap=True)
        return
    from glia.tracing.layers import layer_table

    found = layer_table(entry.name, _size(size))
    _one(console, entry)
    console.print(Text(f"\nLayers for an input of {_shape(found.given)}", "bold"))
    console.print(_layers(found))
    notes = ["of one row; multiply-adds of matrix products, convolutions and attention"]
    if any(row.times > 1 for row in found.rows):
        notes.append("x2: two equal modules in a row, with the numbers of one")
    console.print(Text("; ".join(notes), "dim"))


def _layers(found: "LayerTable") -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", show_footer=True, footer_style="bold")
    table.add_column("layer", "total", overflow="fold")
    table.add_column("kind", overflow="fold")
    table.add_column("output", justify="right", overflow="fold")
    for title, total in (("parameters", f"{found.parameters:,}"), ("multiply-adds", short(found.multiply_adds))):
        table.add_column(title, total, justify="right", no_wrap=True, min_width=max(len(title), len(total)))
    for row in found.rows:
        name = Text.assemble("  " * row.depth + row.name, (f"  x{row.times}" if row.times > 1 else "", "cyan"))
        cells = (row.kind, _shape(row.shape), f"{row.parameters:,}" if row.parameters else "")
        numbers = short(row.multiply_adds) if row.multiply_adds else ""
        table.add_row(name, *cells, numbers, style="" if row.leaf else "bold" if row.depth == 0 else "cyan")
    return table


def _size(text: str) -> tuple[int, ...]:
    """3,32,32 as numbers."""
    try:
        return tuple(int(part) for part in text.replace("x", ",").split(",")) if text else ()
    except ValueError:
        raise GliaError("--input", got=repr(text), expected="whole numbers, as 3,32,32 or 128") from None


def _shape(shape: tuple[int, ...] | None) -> str:
    return " x ".join(map(str, shape)) if shape else ""


def short(count: int, digits: int = 4) -> str:
    """1.814 G, 11.69 M, 61.7 k."""
    for unit, size in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.{digits}g} {unit}"
    return str(count)


def _runs(root: Path) -> Table:
    """Name, state, model and first test figure of every run; only small JSON files are read."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("run", "state", "model", "figure", "seconds"):
        table.add_column(column)
    for recipe in sorted(root.glob("*/recipe.toml")):
        folder = recipe.parent
        status, metrics, network = (_json(folder / n) for n in ("status.json", "metrics.json", "model/network.json"))
        figures = metrics.get("test") or metrics.get("valid") or {}
        first = next(iter(figures.items()), None)
        shown = f"{first[0]} {first[1]:.4g}" if first else ""
        cells = (str(folder), status.get("state", "?"), network.get("name") or "?", shown, status.get("seconds", ""))
        table.add_row(*(Text(str(cell)) for cell in cells))
    return table


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}

"""glia list."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from glia.catalog import entry as catalog
from glia.cli import rule, settings
from glia.errors import unknown

OTHER = ("rules", "runs", "settings")


def run(kind: str, name: str, runs: Path) -> None:
    """Print a table of the catalogue, one entry of it, the settings, or the runs."""
    console = Console(highlight=False)
    kinds = [*catalog.kinds(), *OTHER]
    if not kind:
        console.print("glia list " + " | ".join(kinds), markup=False)
    elif kind == "settings":
        console.print(settings.table())
    elif kind == "rules":
        console.print(rule.table())
    elif kind == "runs":
        console.print(_runs(runs))
    elif kind not in kinds:
        raise unknown("kind", kind, kinds)
    elif name:
        _one(console, catalog.find(kind, name))
    else:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("name", "what", "paper"):
            table.add_column(column)
        for entry_name in catalog.names(kind):
            entry = catalog.find(kind, entry_name)
            table.add_row(entry.name, entry.summary, entry.paper or "")
        console.print(table)


def _one(console: Console, entry: Any) -> None:
    rows = {"name": entry.name, "what": entry.summary, "paper": entry.paper or "-", "made by": entry.factory}
    for key, value in {**rows, **entry.facts}.items():
        console.print(Text.assemble((f"{key.replace('_', ' '):<16}", "cyan"), str(value)), soft_wrap=True)


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

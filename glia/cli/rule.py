"""glia rule."""

from rich.table import Table
from rich.text import Text

from glia.cli.screen import Console

STAGES = {"1": "data", "2": "set-up", "3": "dynamics", "4": "generalisation", "5": "speed and memory"}


def run(name: str) -> None:
    """Explain a rule: what it finds, why that hurts, how it is known, what cures it, when it is no fault."""
    from glia.doctor.examine import code_of, modules

    code = code_of(name)
    module = next(m for m in modules() if m.RULE.code == code)
    console = Console(highlight=False)
    rule = module.RULE
    console.print(Text.assemble((f"{rule.code} ", "bold"), (rule.name, "bold"), (f"  {STAGES[code[2]]}", "dim")))
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan")
    table.add_column(overflow="fold")
    for part, text in explained(module.__doc__ or ""):
        table.add_row(part, Text(text))
    table.add_row("Usual cause", Text(rule.cause))
    console.print(table)


def explained(doc: str) -> list[tuple[str, str]]:
    """(part, text) of a rule's own explanation."""
    parts: list[tuple[str, str]] = []
    for line in doc.strip().splitlines()[2:]:
        head, colon, rest = line.partition(": ")
        if colon and not line.startswith(" "):
            parts.append((head, rest.strip()))
        elif line.strip() and parts:
            parts[-1] = (parts[-1][0], f"{parts[-1][1]} {line.strip()}")
    return parts


def table() -> Table:
    """All rules."""
    from glia.doctor.examine import modules

    shown = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("code", "name", "stage", "finds"):
        shown.add_column(column)
    for module in modules():
        finds = dict(explained(module.__doc__ or "")).get("Finds", "")
        shown.add_row(module.RULE.code, module.RULE.name, STAGES[module.RULE.code[2]], Text(finds))
    return shown

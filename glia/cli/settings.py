"""Settings on a command line: ``--epochs 5``, ``--epochs=5`` and ``epochs=5`` mean the same."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from glia.errors import GliaError, unknown
from glia.recipe import SECTION_OF, SECTIONS, parse_value

TEXT = (
    "target",
    "text",
    "drop",
    "kinds",
    "limits",
    "hidden",
    "separator",
    "decimal",
    "encoding",
    "group",
    "time",
    "valid",
    "test",
    "skip",
    "pretrained",
)


def read(tokens: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """(plain words, settings) of the rest of a command line. Raises GliaError for a setting that does not exist."""
    words: list[str] = []
    settings: dict[str, Any] = {}
    left = list(tokens)
    while left:
        token = left.pop(0)
        name, equals, value = token.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if not token.startswith("--") and not (equals and name in SECTION_OF):
            if equals and name.isidentifier():
                raise unknown("setting", name, sorted(SECTION_OF))
            words.append(token)
            continue
        if name.startswith("no_") and name.removeprefix("no_") in SECTION_OF and not equals:
            name, value = name.removeprefix("no_"), "false"
        elif name not in SECTION_OF:
            raise unknown("setting", name, sorted(SECTION_OF))
        elif not equals:
            value = left.pop(0) if left and not _is_switch(name, left[0]) else "true"
        settings[name] = value if name in TEXT else parse_value(value)
    return words, settings


def one_word(words: Sequence[str], what: str) -> str:
    """The only plain word that was expected."""
    if len(words) != 1:
        got = " ".join(words) or "nothing"
        raise GliaError(f"one {what} is needed", got=got, hint="quote names that hold spaces" if words else None)
    return words[0]


def _is_switch(name: str, following: str) -> bool:
    """Does a setting without a value stand for yes? Only where it is a yes/no, or nothing that is a value follows."""
    annotation = SECTIONS[SECTION_OF[name]].model_fields[name].annotation
    if annotation is bool or annotation == (bool | None):
        return following.lower() not in ("true", "false", "yes", "no", "on", "off")
    return following.startswith("--")


def table() -> Table:
    """All settings, with what they mean and their defaults."""
    shown = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for section, kind in SECTIONS.items():
        shown.add_row(f"[bold]{section}[/bold]")
        for name, field in kind.model_fields.items():
            if name == "source":
                continue
            default = "" if field.default in (None, (), {}) else f"[dim]\\[{field.default}][/dim]"
            shown.add_row(f"  --{name.replace('_', '-')}", f"{field.description} {default}".strip())
    return shown

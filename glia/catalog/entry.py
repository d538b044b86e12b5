"""The catalogue: facts about everything that has a name, in plain tables. Nothing here imports torch."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from glia.errors import GliaError, unknown

_KINDS = {  # table -> one of its things, as people say it
    "activations": "activation",
    "augmentations": "augmentation",
    "causes": "cause",
    "inits": "initialisation",
    "layers": "layer",
    "losses": "loss",
    "metrics": "metric",
    "models": "model",
    "norms": "norm",
    "optimizers": "optimizer",
    "schedules": "schedule",
    "tasks": "task",
}


@dataclass(frozen=True)
class Entry:
    """What is known of a named thing.

    factory: where it lives, "module:name". paper: the source, or None. facts: what each table's header explains.
    """

    name: str
    factory: str
    summary: str
    paper: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)


def kinds() -> tuple[str, ...]:
    """The tables: "activations", "losses", ..."""
    return tuple(_KINDS)


def names(kind: str) -> tuple[str, ...]:
    """The names in a table, in its own order."""
    return tuple(entry.name for entry in entries(kind))


def entries(kind: str) -> tuple[Entry, ...]:
    """A table."""
    return _table(kind)[0]


def find(kind: str, name: str) -> Entry:
    """The entry of that name. Case, dashes, underscores and the usual other names do not matter.

    Example: ``find("losses", "CrossEntropy").facts["logits"]``
    """
    table, aliases = _table(kind)
    by_name = {_plain(entry.name): entry for entry in table}
    if not isinstance(name, str):
        raise GliaError(f"the name of a {_KINDS[_table_name(kind)]}", got=type(name).__name__, expected="a text")
    wanted = _plain(name)
    also = {_plain(alias): _plain(target) for alias, target in aliases.items()}
    entry = by_name.get(also.get(wanted, wanted))
    if entry is None:
        raise unknown(_KINDS[_table_name(kind)], name, names(kind))
    return entry


def load(entry: Entry) -> Any:
    """The class or function itself. Its module is imported now."""
    module, _, path = entry.factory.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


def options(entry: Entry, given: Mapping[str, Any], allowed: tuple[str, ...]) -> dict[str, Any]:
    """`given`, once each of its names is among `allowed`."""
    for name in given:
        if name not in allowed:
            if not allowed:
                raise GliaError(f"{entry.name} takes no options", got=name)
            raise unknown(f"option of {entry.name}", name, allowed)
    return dict(given)


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c not in "-_ ")


def _table_name(kind: str) -> str:
    if kind in _KINDS:
        return kind
    table = next((table for table, one in _KINDS.items() if one == kind), None)
    if table is None:
        raise unknown("kind", kind, _KINDS)
    return table


def _table(kind: str) -> tuple[tuple[Entry, ...], Mapping[str, str]]:
    """Entries and aliases. A table is read when it is first asked for."""
    module = importlib.import_module(f"glia.catalog.{_table_name(kind)}")
    return module.ENTRIES, module.ALIASES

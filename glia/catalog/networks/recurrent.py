"""Recurrent networks, for series and for texts."""

from glia.catalog.entry import Entry

ENTRIES: tuple[Entry, ...] = ()

ALIASES: dict[str, str] = {}

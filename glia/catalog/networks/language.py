"""Networks for texts: sequences of tokens."""

from glia.catalog.entry import Entry

ENTRIES: tuple[Entry, ...] = ()

ALIASES: dict[str, str] = {}

"""Networks that make things up: generators and their judges."""

from glia.catalog.entry import Entry

ENTRIES: tuple[Entry, ...] = ()

ALIASES: dict[str, str] = {}

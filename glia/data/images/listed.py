"""The listing that settings ask for, of whatever lies in files: named parts put together, some rows drawn by lot."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from glia.data.images.listing import Listing, joined
from glia.data.tables.source import ReadOptions
from glia.seed import mix


@dataclass(frozen=True)
class How:
    """How files and labels are looked for; the fields are those of glia.recipe.Data."""

    options: ReadOptions = field(default_factory=ReadOptions)
    target: tuple[str, ...] = ()
    group: str | None = None
    drop: tuple[str, ...] = ()


def listed(listing: Callable[[Any, How], Listing], data: Any, options: ReadOptions, seed: int) -> Listing:
    """What `listing` finds in the sources of the settings `data` (glia.recipe.Data), at most `limit_rows` of it."""
    how = How(options, tuple(data.target), data.group, tuple(data.drop))
    others = {name: getattr(data, name) for name in ("valid", "test") if getattr(data, name) is not None}
    whole = with_parts(listing(data.source, how), {name: listing(source, how) for name, source in others.items()})
    return whole.only(lot(len(whole.paths), data.limit_rows, seed)) if data.limit_rows else whole


def lot(rows: int, limit: int, seed: int) -> list[int]:
    """At most `limit` rows by lot, in their old order: the first ones of sorted folders would be of one class."""
    drawn = np.random.default_rng(mix(seed, "limit_rows")).permutation(rows)[:limit]
    return sorted(drawn.tolist())


def with_parts(first: Listing, others: dict[str, Listing]) -> Listing:
    """The listing with those of other sources as its "valid" and "test" parts, in place of any of its own."""
    for name, more in others.items():
        kept = first.only([i for i, part in enumerate(first.parts) if part != name])
        first = joined(kept, replace(more, parts=[name] * len(more.paths)))
    return first

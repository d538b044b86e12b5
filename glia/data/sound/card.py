"""The data card of a set of sounds: plain JSON for the report."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glia.data.images.card import class_counts, digest_of, target_column
from glia.data.images.listing import Listing
from glia.data.images.parts import Division
from glia.data.sound.waves import Scan
from glia.data.task import Task


def sound_card(source: str, listing: Listing, seen: Scan, rate: int, division: Division, task: Task) -> dict[str, Any]:
    """Everything about the sounds that a person may ask: where from, how long, how divided, which classes.

    listing: of the readable files alone, as `seen.kept` says.
    """
    parts: dict[str, Any] = division.split._asdict()
    cells = listing.answers[task.targets[0]] if task.kind == "classify" else []
    classes = class_counts(cells, task, parts)
    sizes = [count["train"] for count in classes.values()]
    labels = list(zip(*listing.answers.values()))
    return {
        "source": source,
        "kind": "sound",
        "format": {"format": listing.layout, "rate": rate, "suffixes": _suffixes(listing)},
        "rows": len(listing.paths),
        "parts": {name: len(rows) for name, rows in parts.items()},
        "split": division.how,
        "columns": [_sound(listing, seen, rate), *(_said(listing, name, task) for name in task.targets)],
        "classes": classes,
        "dropped": [*listing.dropped, *division.dropped],
        "duplicates": division.duplicates,
        "imbalance": max(sizes) / min(sizes) if sizes and min(sizes) > 0 else None,
        "fingerprint": digest_of(listing.names, seen.contents, labels),
    }


def _suffixes(listing: Listing) -> dict[str, int]:
    return dict(Counter(path.suffix.lower() for path in listing.paths).most_common(10))


def _sound(listing: Listing, seen: Scan, rate: int) -> dict[str, Any]:
    return {
        "name": "sound",
        "kind": "sound",
        "role": "input",
        "missing": 0,
        "distinct": len(set(seen.digests)),
        "why": f"one channel, {rate:,} samples a second",
        "example": listing.names[:3],
        "stats": {name: round(value, 3) for name, value in _seconds(seen.lengths / rate).items()},
    }


def _seconds(values: NDArray[np.float64]) -> dict[str, float]:
    return {
        "min": float(values.min()),
        "median": float(np.median(values)),
        "max": float(values.max()),
        "mean": float(values.mean()),
    }


def _said(listing: Listing, name: str, task: Task) -> dict[str, Any]:
    cells = listing.answers[name]
    if task.kind != "transcribe":
        return target_column(name, cells, task.kind)
    return {
        "name": name,
        "kind": "text",
        "role": "target",
        "missing": 0,
        "distinct": len(set(cells)),
        "why": f"what is said, in {len(task.classes) - 2} different signs",
        "example": cells[:3],
        "stats": _seconds(np.array([len(cell) for cell in cells], dtype=np.float64)),
    }


def notes_on(broken: dict[int, str], names: Sequence[str]) -> list[dict[str, Any]]:
    """The card's lines on files that could not be read; at most a hundred, and how many more."""
    shown = [{"what": names[i], "why": f"unreadable: {why}", "count": 1} for i, why in list(broken.items())[:100]]
    rest = len(broken) - len(shown)
    return [*shown, {"what": "more sounds", "why": "unreadable", "count": rest}] if rest else shown

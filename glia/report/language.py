"""The figure and the texts of a language model: its loss by place in the context, and what it writes."""

from typing import Any

import numpy as np

from glia.report.plot import Frame, Plot, Series, draw
from glia.report.read import Json, RunFiles, mapping_of, number, rows_of
from glia.report.svg import Axis, fitted

MOST_COURSE = 12  # samples of training that are shown
MOST_SHOWN = 2000  # characters of each


def language_plots(curves: Json, part: str) -> list[Plot]:
    """Bits a token at each place of the window: the first ones have little to go by."""
    given = curves.get("places")
    found = [number(value) for value in given] if isinstance(given, list) else []
    if len(found) < 2 or any(value is None for value in found):
        return []
    bits = np.array(found, dtype=np.float64)
    frame = Frame(
        Axis("tokens before it, and itself", 1.0, float(len(bits)), written="whole"), fitted("bits a token", bits),
        width=720.0, height=300.0,
    )  # fmt: skip
    series = [Series("this network", np.arange(1, len(bits) + 1, dtype=np.float64), bits, "s1")]
    note = "Where the curve lies flat at its end, more context would help little."
    return [draw(f"places-{part}", "Loss by place in the context", series, frame, note=note)]


def samples(run: RunFiles) -> dict[str, Any] | None:
    """What the network wrote at the end, and while it learnt; None for a network that does not write."""
    parts = [mapping_of(run.curves.get(part)) for part in ("test", "valid", "train")]
    last = [one for curves in parts if curves.get("kind") == "language" for one in rows_of(curves.get("samples"))]
    course = [one for one in run.samples if number(one.get("epoch")) is not None]
    if not last and not course:
        return None
    kept = course[:: max(1, -(-len(course) // MOST_COURSE))]
    return {
        "last": [_shown("After the end of a line" if not _text(one, "came") else "Going on", one) for one in last],
        "course": [_shown(f"Epoch {number(one.get('epoch')):,.0f}", one) for one in kept],
    }


def _shown(title: str, one: Json) -> dict[str, str]:
    prompt, came = _text(one, "prompt"), _text(one, "came")
    return {"title": title, "prompt": prompt.lstrip("\n"), "text": _text(one, "text"), "came": came}


def _text(one: Json, key: str) -> str:
    """A text of the run, without signs that are neither seen nor a space."""
    given = one.get(key)
    text = given[:MOST_SHOWN] if isinstance(given, str) else ""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "\ufffd" for sign in text)

"""Transcripts in the page: the worst ones sign by sign, and which signs are taken for which."""

from typing import Any

from glia.report.read import Json, rows_of
from glia.report.words import clip, plain

NOTHING = "\N{EN DASH}"
SPACE = "\N{OPEN BOX}"
MOST_TEXTS, MOST_SIGNS = 8, 60


def transcripts(curves: Json) -> dict[str, Any] | None:
    """Tables for the curves of one part; None where they are of no transcription, or all is right."""
    if curves.get("kind") != "transcription":
        return None
    texts = [_pairs(item.get("pairs")) for item in rows_of(curves.get("aligned"))[:MOST_TEXTS]]
    mixed = [
        {"said": _sign(item.get("said")), "told": _sign(item.get("told")), "count": plain(item.get("count"))}
        for item in rows_of(curves.get("mixed"))
    ]
    found = {"texts": [text for text in texts if text], "mixed": mixed}
    return found if any(found.values()) else None


def _pairs(value: Any) -> list[dict[str, Any]]:
    pairs = [pair for pair in value if isinstance(pair, list) and len(pair) == 2] if isinstance(value, list) else []
    return [{"told": _sign(t), "said": _sign(s), "wrong": t != s} for t, s in pairs[:MOST_SIGNS]]


def _sign(value: Any) -> str:
    if not isinstance(value, str) or not value:
        return NOTHING
    return SPACE if value == " " else clip(value, 3)

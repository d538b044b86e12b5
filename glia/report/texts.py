"""Texts of single rows, cut where the words that mattered begin and end, so that the page can mark them."""

from collections.abc import Mapping
from typing import Any

from glia.report.read import number

MOST_CHARS = 700
MOST_MARKED = 8
LEAST = 0.1  # of the largest effect of the text: weaker words are not marked


def marked(item: Mapping[str, Any]) -> list[dict[str, str]]:
    """The text of an example in pieces {"text", "tone": "for", "against" or "", "effect"}; none without words."""
    text, words = item.get("text"), item.get("words")
    if not isinstance(text, str) or not isinstance(words, list):
        return []
    pieces, place = list[dict[str, str]](), 0
    for start, end, effect in sorted(_strong(text, words)):
        if start < place or end > MOST_CHARS:
            continue
        tone = "for" if effect > 0 else "against"
        pieces.append({"text": text[place:start], "tone": "", "effect": ""})
        pieces.append({"text": text[start:end], "tone": tone, "effect": f"{effect:+.2g}"})
        place = end
    rest = text[place:MOST_CHARS] + ("\u2026" if len(text) > MOST_CHARS else "")
    return [*(piece for piece in pieces if piece["text"]), {"text": rest, "tone": "", "effect": ""}]


def _strong(text: str, words: list[Any]) -> list[tuple[int, int, float]]:
    """Start, end and effect of the strongest words."""
    found = []
    for word in words:
        start, effect = (
            (number(word.get(key)) for key in ("start", "effect")) if isinstance(word, dict) else (None, None)
        )
        length = len(str(word.get("text", ""))) if isinstance(word, dict) else 0
        if start is not None and effect and 0 <= start < len(text) and length:
            found.append((int(start), int(start) + length, effect))
    found.sort(key=lambda one: -abs(one[2]))
    return [one for one in found[:MOST_MARKED] if abs(one[2]) >= LEAST * abs(found[0][2])]

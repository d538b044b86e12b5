"""Limits on what is read: a damaged or hostile file costs one line, not the machine. Each can be raised."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from glia.errors import GliaError, unknown


@dataclass(frozen=True)
class Limit:
    """most: what is read unless more is allowed. unit: of what; protects: from what."""

    name: str
    most: int
    unit: str
    protects: str


LIMITS: dict[str, Limit] = {
    one.name: one
    for one in (
        Limit("columns", 10_000, "columns of a table", "a line of signs taken for names"),
        Limit("cells", 1_000_000_000, "cells of a table", "a row count that no memory can hold"),
        Limit("cell_chars", 1_000_000, "characters of a cell", "a quote that is never closed"),
        Limit("line_chars", 16_000_000, "characters of a line of text", "a file without line ends"),
        Limit("json_chars", 32_000_000, "characters of a JSON line, or of a JSON list", "a text that is all one value"),
        Limit("depth", 32, "levels of nesting in JSON and TOML", "brackets within brackets"),
        Limit("zip_ratio", 200, "bytes that one packed byte may unpack to", "a small file that fills the memory"),
        Limit("pixels", 64_000_000, "pixels of a picture", "a small file that is a huge picture"),
        Limit("picture_bytes", 256_000_000, "bytes of a picture's file", "a file that is no picture for people"),
        Limit("sound_s", 60, "seconds of a sound that is taken as a whole", "a header that promises hours"),
        Limit("recording_s", 86_400, "seconds of a recording that is answered in windows", "a recording without end"),
        Limit("array_bytes", 16_000_000_000, "bytes of the arrays in a file", "a header that promises too much"),
        Limit("recipe_bytes", 1_000_000, "bytes of a recipe", "some other file given as a recipe"),
        Limit("header_bytes", 10_000_000, "bytes of a safetensors header", "a header that promises too much"),
        Limit("tokenizer_bytes", 100_000_000, "bytes of a tokenizer.json", "some other file given as a tokeniser"),
        Limit("tensors", 50_000, "tensors of a file of weights", "a header of names alone"),
    )
}

Raised = Mapping[str, int]
"""The limits that a user set, by name; the others stand as in LIMITS."""
USUAL: Raised = MappingProxyType({})


def most(name: str, raised: Raised) -> int:
    """The limit that holds."""
    return raised.get(name, LIMITS[name].most)


def check(name: str, found: int, where: object, raised: Raised) -> None:
    """Raises GliaError where more is found than is allowed."""
    if found > most(name, raised):
        raise exceeded(name, found, where, raised)


def exceeded(name: str, found: int | None, where: object, raised: Raised) -> GliaError:
    """The error for what is too large. found: None where nobody counted to the end."""
    allowed = most(name, raised)
    got = f"more than {allowed:,}" if found is None else f"{found:,}"
    return GliaError(
        f"{where}: too many {LIMITS[name].unit}",
        got=got,
        expected=f"at most {allowed:,}",
        hint=raising(name, found or 10 * allowed),
    )


def raising(name: str, needed: int) -> str:
    """What to type to allow so much."""
    return f"--limits {name}={needed} if this is meant"


def depth_within(value: Any, allowed: int) -> bool:
    """Whether lists and mappings within one another go no deeper than `allowed`. Level by level: nothing recurs."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(allowed):
        if not level:
            return True
        inner = [item for one in level for item in (one.values() if isinstance(one, dict) else one)]
        level = [item for item in inner if isinstance(item, (dict, list))]
    return not level


def parse(value: Any) -> dict[str, int]:
    """``"pixels=200e6,columns=50000"``, as on a command line, or a mapping. Raises ValueError, as pydantic wants it."""
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        value = {name.strip(): number.strip() for name, _, number in pairs}
    if not isinstance(value, Mapping):
        raise ValueError("such as pixels=200e6,columns=50000")
    found = {}
    for name, number in value.items():
        if name not in LIMITS:
            raise ValueError(str(unknown("limit", str(name), LIMITS)))
        try:
            found[name] = int(float(number))
        except (ValueError, TypeError, OverflowError):
            raise ValueError(f"a number for {name}, such as {name}={10 * LIMITS[name].most}") from None
        if found[name] < 1:
            raise ValueError(f"a number above 0 for {name}")
    return found

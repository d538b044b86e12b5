"""Ways to break a file: bytes, fields, lines and values changed at random; all from one generator."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

Mutant = Callable[[bytes, Random], bytes]
FIELDS = (0, -1, 1, 2**31, 2**31 - 1, 2**63, 2**63 - 1, 0x7FFFFFF0)


def flipped(data: bytes, draw: Random) -> bytes:
    """Some bits are other bits."""
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8, 64))):
        out[draw.randrange(len(out))] ^= 1 << draw.randrange(8)
    return bytes(out)


def cut(data: bytes, draw: Random) -> bytes:
    """The end is missing."""
    return data[: draw.choice((draw.randrange(len(data)), draw.randrange(min(64, len(data))), len(data) - 1))]


def spliced(data: bytes, draw: Random) -> bytes:
    """A part stands twice, in another place, or is missing."""
    a, b = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    place = draw.randrange(len(data) + 1)
    return draw.choice((data[:place] + data[a:b] + data[place:], data[:a] + data[b:], data[:b] + data[a:]))


def zeroed(data: bytes, draw: Random) -> bytes:
    """A part, or the whole end, is zeros: what a power cut leaves."""
    a, b = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    b = draw.choice((b, len(data), min(a + 16, len(data))))
    return data[:a] + bytes(b - a) + data[b:]


def field(data: bytes, draw: Random) -> bytes:
    """A number in the header, or anywhere, is 0, -1, 2^31 or 2^63."""
    size = draw.choice((1, 2, 4, 8))
    value = (draw.choice(FIELDS) % (1 << 8 * size)).to_bytes(size, draw.choice(("little", "big")))
    place = draw.randrange(max(1, min(len(data), draw.choice((64, 512, len(data)))) - size))
    if draw.random() < 0.3:  # the end has a header too, in Parquet and zip
        place = max(0, len(data) - size - draw.randrange(min(512, len(data))))
    return data[:place] + value + data[place + size :]


def noise(data: bytes, draw: Random) -> bytes:
    """Some bytes are others, or too many."""
    place = draw.randrange(len(data) + 1)
    some = draw.randbytes(draw.choice((1, 4, 64)))
    return data[:place] + some + data[place + draw.choice((0, len(some))) :]


BYTES: tuple[Mutant, ...] = (flipped, flipped, cut, spliced, zeroed, field, field, noise)

_ODD_TEXTS = (
    b'"',
    b"'",
    b"\0",
    b"\xff",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"\t",
    b";",
    b",,,,",
    b"\x1a",
    b"1e999",
    b"-1e-999",
    b"9" * 400,
    b"nan",
    b"inf",
    b"-",
    b"1,234",
    b"0x10",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
    b"=1+1",
    b"99999999999999999999",
    b"2024-13-45",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"[",
    b"]",
    b"}",
    b"#",
    b"\xf0\x9f\x98\x80",
)


def inserted(data: bytes, draw: Random) -> bytes:
    """A sign that has a meaning somewhere: quotes, ends of lines, zeros, broken UTF-8, numbers beyond all numbers."""
    place = draw.randrange(len(data) + 1)
    return data[:place] + draw.choice(_ODD_TEXTS) * draw.choice((1, 1, 3)) + data[place:]


def relined(data: bytes, draw: Random) -> bytes:
    """Lines twice, missing, swapped, joined, or with other ends."""
    lines = data.split(b"\n")
    for _ in range(draw.choice((1, 2, 5))):
        at, other = draw.randrange(len(lines)), draw.randrange(len(lines))
        way = draw.randrange(5)
        if way == 0:
            lines[at] = lines[other]
        elif way == 1:
            lines[at], lines[other] = lines[other], lines[at]
        elif way == 2 and len(lines) > 1:
            del lines[at]
        elif way == 3:
            lines[at] += b"\r"
        else:
            lines[at] = lines[at] + b"," + lines[other]
    return draw.choice((b"\n", b"\n", b"\n", b"\r\n", b"\r", b"\n\r")).join(lines)


def recoded(data: bytes, draw: Random) -> bytes:
    """In another encoding, or half in another."""
    text = data.decode("utf-8", "replace")
    other = draw.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "cp037", "utf-7", "shift_jis"))
    packed = text.encode(other, "replace")
    return packed if draw.random() < 0.7 else data[: len(data) // 2] + packed[: draw.randrange(1, len(packed) + 1)]


TEXT: tuple[Mutant, ...] = (*BYTES[:6], inserted, inserted, inserted, relined, relined, recoded)

ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    2**31,
    2**63,
    -(2**63),
    10**30,
    0.5,
    -0.5,
    1e308,
    float("inf"),
    float("nan"),
    "",
    "x",
    "\0",
    "a" * 3000,
    "../../x",
    "1",
    [],
    {},
    [[]],
    [None],
    {"": None},
    [1, "x", None],
    {"a": {"b": {"c": []}}},
)


def revalued(value: Any, draw: Random) -> Any:
    """Plain data with some value in it missing, twice, or of another kind."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        key = draw.choice(list(value))
        changed = dict(value)
        way = draw.random()
        if way < 0.15:
            del changed[key]
        elif way < 0.2:
            changed[draw.choice(("", "x", "__class__", "a b", "\u202e"))] = changed.pop(key)
        else:
            changed[key] = revalued(value[key], draw)
        return changed
    if isinstance(value, list) and value and draw.random() < 0.8:
        at = draw.randrange(len(value))
        some = revalued(value[at], draw)
        return draw.choice(([*value[:at], some, *value[at + 1 :]], value[:at], [*value, some], value * 2))
    return draw.choice(ODD_VALUES)


def revalued_json(data: bytes, draw: Random) -> bytes:
    """One JSON text, changed as data and not as bytes."""
    return json.dumps(revalued(json.loads(data), draw)).encode()

"""`.ts` files of the UCR and UEA archives: a header of words that begin with @, then a series a line.

Dimensions of a series stand between colons, steps between commas, a missing value is ? or NaN, and the last field is
the label, where the header says that there is one.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glia import limits
from glia.data.tables.textfile import look
from glia.errors import GliaError

Values = np.ndarray[Any, np.dtype[np.float32]]
_MISSING = ("?", "NaN", "nan", "NAN", "")


@dataclass(frozen=True)
class TsFile:
    """rows: a (length, channels) float32 array each, NaN where a value is missing. labels: None where there are none.

    lines: of each row in the file, counted from 1. labelled: "class", "target" (a number), or "" for none.
    """

    rows: list[Values]
    labels: list[str] | None
    lines: list[int]
    labelled: str


def is_ts(path: Path) -> bool:
    """By its name."""
    return path.name.lower().endswith((".ts", ".ts.gz"))


def partner(path: Path, this: str = "TRAIN", other: str = "TEST") -> Path | None:
    """X_TEST.ts beside X_TRAIN.ts, packed or not; None where there is none."""
    stem = path.name.removesuffix(".gz").removesuffix(".ts")
    if not stem.upper().endswith(this):
        return None
    start = stem[: -len(this)]
    beside = sorted(one for one in path.parent.iterdir() if is_ts(one) and one.name.startswith(start))
    wanted = (start + other).upper()
    same = [one for one in beside if one.name.removesuffix(".gz").removesuffix(".ts").upper() == wanted]
    return same[0] if same else None


def train_file(folder: Path) -> Path | None:
    """The one training file of a folder of an archive; None where there is none, or there are several."""
    files = [one for one in sorted(folder.iterdir()) if is_ts(one)]
    found = [one for one in files if one.name.removesuffix(".gz").removesuffix(".ts").upper().endswith("TRAIN")]
    return found[0] if len(found) == 1 else None


def read_ts(path: Path, raised: limits.Raised = limits.USUAL) -> TsFile:
    """The series of a file. Raises GliaError with the line where the file is not what its header says."""
    header: dict[str, str] | None = None
    words: dict[str, str] = {}
    rows: list[Values] = []
    labels: list[str] = []
    lines: list[int] = []
    cells = 0
    for number, line in enumerate(look(path, None, raised).lines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if header is None:
            word, _, rest = text.partition(" ")
            if word.lower() == "@data":
                header = words
                _check(path, header)
            elif not word.startswith("@"):
                raise GliaError(f"{path}, line {number}: a series before @data", hint="a line @data before the first")
            words[word[1:].lower()] = rest.strip()
            continue
        fields = text.split(":")
        if labelled := _labelled(header):
            labels.append(_label(path, number, fields.pop().strip(), labelled))
        one = _steps(path, number, fields)
        channels = rows[0].shape[1] if rows else int(_number(header, "dimensions") or one.shape[1])
        if one.shape[1] != channels:
            raise GliaError(f"{path}, line {number}: channels", got=one.shape[1], expected=f"{channels}, as before it")
        cells += one.size
        limits.check("cells", cells, path, raised)
        rows.append(one)
        lines.append(number)
    if header is None:
        raise GliaError(f"{path} has no line @data", expected="a header, @data, then a series a line")
    if not rows:
        raise GliaError(f"{path} has no series after @data")
    labelled = _labelled(header)
    return TsFile(rows, labels if labelled else None, lines, labelled)


def _check(path: Path, header: dict[str, str]) -> None:
    if header.get("timestamps", "false").lower() == "true":
        raise GliaError(f"{path}: each value has a time of its own", expected="@timeStamps false: values at even steps")


def _labelled(header: dict[str, str]) -> str:
    for word, kind in (("classlabel", "class"), ("targetlabel", "target")):
        if header.get(word, "false").lower().startswith("true"):
            return kind
    return ""


def _number(header: dict[str, str], word: str) -> int | None:
    text = header.get(word, "")
    return int(text) if text.isdecimal() and 0 < len(text) < 9 else None


def _label(path: Path, number: int, text: str, labelled: str) -> str:
    if not text or text in _MISSING or "," in text:
        what = f"{path}, line {number}: no {labelled} at its end"
        raise GliaError(what, got=repr(text[:40]), expected="the label after the last colon")
    return text


def _steps(path: Path, number: int, fields: list[str]) -> Values:
    """(length, channels); shorter channels of one series are filled up with NaN."""
    channels = [_channel(path, number, field) for field in fields]
    longest = max((len(channel) for channel in channels), default=0)
    out = np.full((longest, len(channels)), np.nan, dtype=np.float32)
    for place, channel in enumerate(channels):
        out[: len(channel), place] = channel
    if not np.isfinite(out).any():
        raise GliaError(f"{path}, line {number}: a series of no steps", expected="at least one value")
    return out


def _channel(path: Path, number: int, field: str) -> Values:
    cells = [cell.strip() for cell in field.split(",")] if field.strip() else []
    try:
        values = np.array([float("nan") if cell in _MISSING else float(cell) for cell in cells], dtype=np.float64)
    except ValueError:
        bad = next(cell for cell in cells if cell not in _MISSING and not _is_number(cell))
        raise GliaError(f"{path}, line {number}: {bad[:40]!r} is not a number", expected="digits, or ?") from None
    if np.isinf(values).any() or (np.abs(np.nan_to_num(values)) > 3e38).any():
        raise GliaError(f"{path}, line {number}: a value is infinite, or too large to be kept")
    return values.astype(np.float32)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

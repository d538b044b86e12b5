"""Text cells that a spreadsheet would run as a formula, made harmless in CSV and TSV files, and read back as they were.

An apostrophe goes before text that begins with = + - @ (also in full width), a tab or a line end; numbers stay as they
are. Text that already has apostrophes before such a sign gets one more, so that taking one off gives back every text.
Source: OWASP, CSV Injection.
"""

import polars as pl

_SIGNS = r"[=+\-@\t\r\n＝＋－＠]"
_NUMBER = r"^'*[+\-]?(\d+\.?\d*|\.\d+)([eE][+\-]?\d+)?$"


def disarmed(cells: pl.Series) -> pl.Series:
    """Texts as they are written."""
    risky = cells.str.contains(rf"^'*{_SIGNS}") & ~cells.str.contains(_NUMBER)
    return ("'" + cells).alias(cells.name).zip_with(risky.fill_null(False), cells) if risky.any() else cells


def armed(cells: pl.Series) -> pl.Series:
    """Texts as they were before `disarmed`."""
    marked = cells.str.contains(rf"^'+{_SIGNS}") & ~cells.str.contains(_NUMBER)
    return cells.str.slice(1).zip_with(marked.fill_null(False), cells) if marked.any() else cells


def all_armed(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame of texts as they were before `disarmed`."""
    odd = frame.select(pl.all().str.starts_with("'").any())  # many times cheaper than `armed`
    marked = [name for name in frame.columns if odd[name][0]]
    return frame.with_columns(armed(frame[name]) for name in marked) if marked else frame

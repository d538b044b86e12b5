"""Cells to values: numbers, dates, yes or no. A cell that cannot be read becomes null, never an error here."""

import polars as pl

YES_NO = (("yes", "no"), ("y", "n"), ("true", "false"), ("t", "f"), ("on", "off"))
_THOUSANDS = {
    ".": r"^[+-]?\d{1,3}(,\d{3})+(\.\d+)?$",
    ",": r"^[+-]?\d{1,3}(\.\d{3})+(,\d+)?$",
}
_DAY = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%d-%m-%Y")
_NAMED = ("%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%y", "%d. %B %Y")
_CLOCK = ("", " %H:%M", " %H:%M:%S%.f", " %H:%M:%S%.f%z", " %I:%M %p", " %I:%M:%S %p")
MONTH = "%Y-%m"
DATE_FORMATS = (*(day + clock for clock in _CLOCK for day in _DAY), *_NAMED, MONTH, "%Y%m%d")
"""Tried in this order: 3/4/2020 is March 4th unless another row shows that the day comes first."""


def numbers(series: pl.Series, decimal: str = ".") -> pl.Series:
    """Float64; null where the cell is empty or not a number. Thousands may be grouped: 1,234,567."""
    if series.dtype != pl.String:
        return series.cast(pl.Float64, strict=False).fill_nan(None)
    text = series
    if decimal == ",":
        text = _without_groups(text, ",").str.replace(",", ".", literal=True)
    values = text.cast(pl.Float64, strict=False)
    if decimal == "." and values.null_count() > series.null_count():
        values = _without_groups(text, ".").cast(pl.Float64, strict=False)
    return values.fill_nan(None).alias(series.name)


def _without_groups(text: pl.Series, decimal: str) -> pl.Series:
    sign = "." if decimal == "," else ","
    grouped = text.str.contains(_THOUSANDS[decimal]).fill_null(False)
    return text.zip_with(~grouped, text.str.replace_all(sign, "", literal=True))


def codes(series: pl.Series, numeric: bool, decimal: str = ".") -> pl.Series:
    """Category cells as text; `numeric`: numbers spelled one way, so that 3, 3.0 and "3" are one level."""
    if not numeric:
        return series.cast(pl.String)
    values = numbers(series, decimal)
    frame = values.to_frame("v")
    whole = (pl.col("v").round() == pl.col("v")) & (pl.col("v").abs() < 1e15)
    spelled = pl.when(whole).then(pl.col("v").cast(pl.Int64, strict=False).cast(pl.String))
    return frame.select(spelled.otherwise(pl.col("v").cast(pl.String))).to_series().alias(series.name)


def yes_no(series: pl.Series, decimal: str = ".") -> pl.Series:
    """Float64: 1 for yes, 0 for no, and numbers as they are."""
    if series.dtype != pl.String:
        return numbers(series, decimal)
    words = {word: float(value) for pair in YES_NO for value, word in zip((1, 0), pair)}
    known = series.str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Float64)
    return known.zip_with(known.is_not_null(), numbers(series, decimal))


def is_yes_no(series: pl.Series) -> bool:
    """Only words of one pair, such as yes and no, in any case."""
    words = series.drop_nulls().unique()
    if len(words) > 2 * 3:  # two words in at most a few spellings
        return False
    found = set(words.str.to_lowercase())
    return any(found == set(pair) for pair in YES_NO)


def dates(series: pl.Series, form: str) -> pl.Series:
    """Datetime in microseconds, UTC where the cells name a zone; null where the cell does not fit the format.

    form "": the column had a date type when it was first seen; text that comes later is read by what it looks like.
    """
    if isinstance(series.dtype, pl.Datetime):
        return _without_zone(series).cast(pl.Datetime("us"))
    if series.dtype != pl.String:
        if series.dtype == pl.Date:
            return series.cast(pl.Datetime("us"))
        series = series.cast(pl.String)
    form = form or date_format(series.drop_nulls()) or ""
    if not form:
        return pl.Series(series.name, [None] * len(series), dtype=pl.Datetime("us"))
    text = series.str.replace(r"^(\d{4}-\d{2}-\d{2})T", "${1} ")
    text = text.str.replace(r"(\d)(?:Z|[+-]00:?00)$", "${1}" if "%z" not in form else "${1}+0000")
    if form == MONTH:
        text, form = text.str.replace(r"^(\d{4}-\d{1,2})$", "${1}-01"), "%Y-%m-%d"
    parsed = _without_zone(text.str.strptime(pl.Datetime("us"), form, strict=False))
    year = parsed.dt.year()
    return parsed.set((year < 1000) | (year > 9999), None)


def _without_zone(series: pl.Series) -> pl.Series:
    zoned = isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone is not None
    return series.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zoned else series


def date_format(values: pl.Series) -> str | None:
    """The format that most text values fit, at least 95 %; the earlier one of equals. None when there is none."""
    some = values.head(60)
    if some.str.contains(r"\d").sum() < 0.95 * len(some):
        return None
    best, fewest = None, 0.05 * len(values) + 0.5
    for form in DATE_FORMATS:
        if dates(some, form).null_count() <= 0.05 * len(some):
            misses = dates(values, form).null_count()
            if misses < fewest:
                best, fewest = form, misses
    return best

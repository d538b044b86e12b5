"""Clock: times of a table to even steps, and steps back to times."""

from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from glia.data.tables.source import Int64s

NEAR = 0.02  # of a step, that a time may lie beside its place and still be on the grid
DAY = 86_400e6  # microseconds
_MONTHS = {1: "month", 3: "quarter", 12: "year"}
_UNITS = ((604_800, "week"), (86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
_PERIODS = {"second": 60, "minute": 60, "hour": 24, "day": 7, "week": 52, "month": 12, "quarter": 4}


@dataclass(frozen=True)
class Clock:
    """How steps lie in time.

    kind: "time" (steps of equal seconds), "month" (of whole months), "number" (numbers at equal distances), or "order"
    (rows one after the other, whatever their times). origin: of step 0, microseconds for times. step: microseconds,
    months, or the distance of numbers.
    """

    kind: str
    origin: float = 0.0
    step: float = 1.0

    def places(self, times: Int64s | np.ndarray[Any, Any]) -> Int64s:
        """The step (N,) of each time. times: microseconds, or numbers."""
        if self.kind == "order":
            return np.arange(len(times))
        given = _months(times) if self.kind == "month" else times
        return np.rint((given - self.origin) / self.step).astype(np.int64)

    def times(self, steps: Int64s) -> pl.Series:
        """The times of steps, as the source writes them: dates, or numbers."""
        if self.kind == "time":
            micros = (self.origin + steps * self.step).astype(np.int64)
            times = pl.Series("time", micros, dtype=pl.Int64).cast(pl.Datetime("us"))
            return times.cast(pl.Date) if self.origin % DAY == self.step % DAY == 0 else times
        if self.kind == "month":
            months = (self.origin + steps * self.step).astype(np.int64).tolist()
            return pl.Series("time", [date(m // 12, m % 12 + 1, 1) for m in months], dtype=pl.Date)
        values = self.origin + steps * self.step
        whole = float(self.origin).is_integer() and float(self.step).is_integer()
        return pl.Series("time", values.astype(np.int64) if whole else values)

    @property
    def words(self) -> str:
        """Of a step: "1 hour", "15 minutes"."""
        if self.kind == "month":
            count, unit = (1.0, _MONTHS[int(self.step)]) if int(self.step) in _MONTHS else (self.step, "month")
        elif self.kind == "time":
            seconds = self.step / 1e6
            size, unit = next((u for u in _UNITS if seconds >= u[0] and seconds % u[0] == 0), (1, "second"))
            count = seconds / size
        else:
            return "1 row" if self.kind == "order" else f"{self.step:g}"
        return f"{count:g} {unit}{'' if count == 1 else 's'}"

    @property
    def period(self) -> int:
        """Steps of the season that is usual for such a step: 24 hours, 7 days, 12 months; 0 where none is."""
        count, _, unit = self.words.partition(" ")
        usual = {"minute": 1440 if float(count) > 1 else 60, **{k: v for k, v in _PERIODS.items() if k != "minute"}}
        length = usual.get(unit.rstrip("s"), 0)
        return round(length / float(count)) if length and length >= 2 * float(count) else 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def clock_of(each: list[Int64s | np.ndarray[Any, Any]], *, dates: bool) -> Clock:
    """The clock on which the sorted times of all series (microseconds, or numbers) lie; "order" where there is none.

    The step is the commonest distance. Times lie on it when all distances are whole multiples.
    """
    gaps = [np.diff(times) for times in each if len(times) > 1]
    if not gaps:
        return Clock("order")
    distances = np.concatenate(gaps)
    values, counts = np.unique(distances, return_counts=True)
    step = float(values[counts.argmax()])
    origin = float(min(times[0] for times in each))
    if dates and 27.5 * DAY <= step <= 366.5 * DAY and (monthly := _monthly(each)) is not None:
        return monthly
    if step <= 0 or any(_off_grid(times, origin, step) for times in each):
        return Clock("order")
    return Clock("time" if dates else "number", origin, step)


def _off_grid(times: Any, origin: float, step: float) -> bool:
    places = (times - origin) / step
    return bool((np.abs(places - np.rint(places)) > NEAR).any())


def _months(times: Any) -> Int64s:
    stamps = times.astype("datetime64[us]").astype("datetime64[M]")
    return stamps.astype(np.int64) + 1970 * 12


def _monthly(each: list[Any]) -> Clock | None:
    """Whole months, quarters or years, whatever day of the month it is; None where two fall into one month."""
    months = [_months(times.astype(np.int64)) for times in each]
    gaps = np.concatenate([np.diff(one) for one in months if len(one) > 1])
    if (gaps <= 0).any():
        return None
    values, counts = np.unique(gaps, return_counts=True)
    step = int(values[counts.argmax()])
    return None if (gaps % step).any() else Clock("month", float(min(one[0] for one in months)), step)


def in_words(micros: float) -> str:
    """A time as people write it."""
    return str(datetime(1970, 1, 1) + timedelta(microseconds=micros))

"""Tables that are in memory already: polars, pandas, a dict of arrays, one matrix."""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from glia.data.tables.columnar import frame_pieces
from glia.data.tables.source import Opened, ReadOptions, check_names
from glia.errors import GliaError

NAME = "the table given"
_KNOWN = (str, bool, int, float, date, timedelta, Decimal, list, dict)  # polars has a type for each


def open_frame(data: Any, options: ReadOptions) -> Opened:
    """Look at a table in memory; it is not changed."""
    frame, form = _as_polars(data)
    decimal = options.decimal or "."
    return Opened(
        name=NAME,
        decimal=decimal,
        columns=tuple(frame.columns),
        format={"format": form},
        pieces=lambda rows: frame_pieces(frame, NAME, decimal, rows),
    )


def _as_polars(data: Any) -> tuple[pl.DataFrame, str]:
    if isinstance(data, pl.DataFrame):
        return data, "polars frame"
    if isinstance(data, pl.LazyFrame):
        return data.collect(), "polars frame"
    if type(data).__module__.startswith("pandas") and hasattr(data, "columns"):
        # Cell by cell, so that neither pyarrow nor one type a column is needed.
        names = check_names([str(name) for name in data.columns], NAME)
        return _columns({name: data.iloc[:, index].to_numpy() for index, name in enumerate(names)}), "pandas frame"
    if isinstance(data, Mapping):
        return _columns({str(name): values for name, values in data.items()}), "dict of columns"
    matrix = _array(data)
    if matrix.ndim == 2:
        return _columns({str(index): matrix[:, index] for index in range(matrix.shape[1])}), "matrix"
    expected = "a file, a bundled name, a polars or pandas frame, or a dict of columns"
    raise GliaError("not a table", got=type(data).__name__, expected=expected)


def _columns(columns: Mapping[str, Any]) -> pl.DataFrame:
    series = [_series(name, values) for name, values in columns.items()]
    lengths = {one.name: len(one) for one in series}
    if len(set(lengths.values())) > 1:
        raise GliaError("columns of unequal length", got=", ".join(f"{k}: {v}" for k, v in lengths.items()))
    return pl.DataFrame(series)


def _array(values: Any) -> "np.ndarray[Any, Any]":
    if hasattr(values, "detach"):  # a torch tensor
        values = values.detach().cpu().numpy()
    return np.asarray(values)


def _series(name: str, values: Any) -> pl.Series:
    """One column; values of mixed types become text, as in a file."""
    if isinstance(values, pl.Series):
        return values.alias(name)
    array = _array(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise GliaError(f"column {name!r} has {array.ndim} dimensions", got=f"shape {array.shape}", expected="one")
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float64)
    if array.dtype.kind in "biufM":
        return pl.Series(name, array)
    items = [None if _missing(item) else item for item in array.tolist()]
    kinds = {type(item) for item in items if item is not None}
    if kinds <= {int, float} or (len(kinds) == 1 and issubclass(kinds.pop(), _KNOWN)):
        return pl.Series(name, items, strict=False)
    return pl.Series(name, [None if item is None else str(item) for item in items], dtype=pl.String)


def _missing(item: Any) -> bool:
    """None, NaN, or one of pandas' own words for it, which cannot be compared."""
    return item is None or type(item).__name__ in ("NAType", "NaTType") or (isinstance(item, float) and item != item)

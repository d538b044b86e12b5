"""What each column is: number, category, yes/no, date, filled or not, or something a network cannot learn from."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from glia.data.tables.cells import date_format, dates, is_yes_no, numbers, yes_no
from glia.data.tables.source import Piece
from glia.errors import GliaError, unknown

KINDS = ("number", "category", "yes/no", "date", "filled", "text", "identifier")
USED = ("number", "category", "yes/no", "date", "filled", "text")
ALIASES = {"numeric": "number", "categorical": "category", "bool": "yes/no", "boolean": "yes/no", "yesno": "yes/no"}
ALIASES |= {"datetime": "date", "time": "date", "date/time": "date", "id": "identifier"}
KIND_OF_ANSWER = {"number": "regress", "category": "classify", "yes/no": "classify"}
STRAY_WORDS = 5  # a column stays a number if at most so many different texts, in at most 5 % of its cells, stray in
STRAY_SHARE = 0.05
GAPS = 0.05  # of texts that never come back, whether there is one is kept if at least this share is, and is not, there
FEW_LEVELS = 20
_KEY_NAME = re.compile(r"(^|[\W_])(id|key|index|idx|uuid|guid)$|^unnamed", re.IGNORECASE)
_KEY_CAMEL = re.compile(r"[a-z](Id|ID)$")

Parse = Callable[[pl.Series], pl.Series]


@dataclass(frozen=True)
class Plan:
    """What was found out about one column.

    why: one line. form: the date format. stray: words in a number or date column that count as missing.
    numeric: the levels of a category are numbers, so 3 and 3.0 are the same.
    """

    name: str
    kind: str
    why: str
    form: str = ""
    stray: tuple[str, ...] = ()
    numeric: bool = False

    @property
    def used(self) -> bool:
        return self.kind in USED


def plan_columns(piece: Piece, names: list[str], asked: dict[str, str]) -> list[Plan]:
    """A plan for each column. asked: kinds that the user set, by column."""
    kinds = {name: _kind(kind) for name, kind in asked.items()}
    plans = [plan_column(piece, name, kinds.get(name)) for name in names]
    if not any(plan.used for plan in plans):  # then a running number is better than nothing
        plans = [_as_number(plan, piece) for plan in plans]
    return plans


def plan_column(piece: Piece, name: str, kind: str | None = None) -> Plan:
    series = piece.column(name)
    if kind is not None:
        return _asked(piece, series, kind)
    present = series.drop_nulls()
    if series.dtype.is_nested() or series.dtype in (pl.Binary, pl.Object):
        return Plan(name, "nested", f"cells hold {series.dtype}, not single values")
    if present.is_empty():
        return Plan(name, "constant", "every value is missing")
    distinct = present.n_unique()
    if distinct == 1 and len(present) == len(series):
        return Plan(name, "constant", f"every value is {present[0]!r}")
    if series.dtype == pl.Boolean:
        return Plan(name, "yes/no", "true or false")
    if series.dtype.is_temporal():
        return Plan(name, "date", f"{series.dtype} in the source")
    if series.dtype.is_numeric():
        return _number(name, series, numbers(present), distinct, ())
    return _from_text(name, series, present, distinct, piece.decimal)


def read_plan(piece: Piece, plan: Plan) -> pl.Series:
    """A number, yes/no or date column as values. Errors: a cell that does not fit, with its place."""
    series = piece.column(plan.name)
    parse = _parser(plan, piece.decimal)
    values = parse(series)
    missed = _missed(series, values, plan)
    if missed.any():
        index = int(missed.arg_max() or 0)
        what = f"{piece.place(index)}, column {plan.name!r}: {str(series[index])[:40]!r} is not a {plan.kind}"
        hint = f"mend the cell, or kinds {plan.name}=category when training" if plan.kind != "date" else None
        raise GliaError(what, expected=_looks(plan, piece.decimal), hint=hint)
    return values


def odd_cells(piece: Piece, plan: Plan) -> pl.Series:
    """(N,) whether a cell is what `read_plan` would refuse."""
    series = piece.column(plan.name)
    return _missed(series, _parser(plan, piece.decimal)(series), plan)


def _missed(series: pl.Series, values: pl.Series, plan: Plan) -> pl.Series:
    missed = values.is_null() & series.is_not_null()
    return missed & ~series.cast(pl.String).is_in(plan.stray).fill_null(False) if plan.stray else missed


def _looks(plan: Plan, decimal: str) -> str:
    if plan.kind == "date":
        return f"a date such as {plan.form}" if plan.form else "a date"
    return "yes or no" if plan.kind == "yes/no" else f"digits, with {decimal!r} as decimal sign, or an empty cell"


def _parser(plan: Plan, decimal: str) -> Parse:
    if plan.kind == "date":
        return lambda series: dates(series, plan.form)
    return (lambda series: yes_no(series, decimal)) if plan.kind == "yes/no" else lambda s: numbers(s, decimal)


def _kind(asked: str) -> str:
    kind = ALIASES.get(asked.lower(), asked.lower())
    if kind not in KINDS:
        raise unknown("kind of column", asked, KINDS)
    return kind


def _asked(piece: Piece, series: pl.Series, kind: str) -> Plan:
    """The kind the user set, checked against every cell."""
    present = series.drop_nulls()
    form = ""
    if kind == "date" and not series.dtype.is_temporal():
        text = present.unique(maintain_order=True).cast(pl.String)
        form = date_format(text) or ""
        if not form:
            shown = repr(str(present[0])[:40]) if len(present) else "no value"
            what = f"{piece.name}: column {series.name!r} holds no dates of a known form"
            raise GliaError(what, got=shown, expected="such as 2024-03-31 or 31.03.2024 14:05")
    numeric = kind == "category" and _all_numbers(present, piece.decimal)
    plan = Plan(series.name, kind, "you said so", form, numeric=numeric)
    if kind in ("number", "date", "yes/no"):
        read_plan(piece, plan)
    return plan


def _all_numbers(present: pl.Series, decimal: str) -> bool:
    if present.dtype != pl.String:
        return present.dtype.is_numeric()
    return not _leading_zeros(present) and numbers(present, decimal).null_count() == 0


def _leading_zeros(present: pl.Series) -> bool:
    return bool(present.str.contains(r"^0\d+$").any())


def _from_text(name: str, series: pl.Series, present: pl.Series, distinct: int, decimal: str) -> Plan:
    if is_yes_no(present):
        return Plan(name, "yes/no", "only " + " and ".join(sorted(repr(v) for v in present.unique())))
    values = numbers(present, decimal)
    stray = _stray(present, values)
    if stray is not None and not _leading_zeros(present):
        return _number(name, series, values.drop_nulls(), distinct - len(stray), stray)
    words = present.unique(maintain_order=True)
    form = date_format(words)
    if form is not None:
        stray = _stray(present, dates(present, form))
        if stray is not None:
            return Plan(name, "date", f"dates such as {present[0]!r}, read as {form}" + _said(stray), form, stray)
    return _words(name, present, distinct, len(series), decimal)


def _stray(present: pl.Series, values: pl.Series) -> tuple[str, ...] | None:
    """The texts in a column of values that are none; None if there are too many for such a column."""
    if not values.null_count():
        return ()
    if values.null_count() > STRAY_SHARE * len(present):
        return None
    words = present.filter(values.is_null()).unique().sort().to_list()
    return tuple(words) if len(words) <= STRAY_WORDS else None


def _said(stray: tuple[str, ...]) -> str:
    return f"; {', '.join(map(repr, stray))} read as missing" if stray else ""


def _number(name: str, series: pl.Series, values: pl.Series, distinct: int, stray: tuple[str, ...]) -> Plan:
    whole = bool((values == values.round()).all())
    if not stray and set(values.unique().head(3)) == {0.0, 1.0}:
        return Plan(name, "yes/no", "only 0 and 1")
    if whole and distinct == len(series) > 2:
        low, high = values.to_numpy().min(), values.to_numpy().max()
        if high - low == len(series) - 1 and len(series) >= 10:
            return Plan(name, "identifier", f"a running number, {low:.0f} to {high:.0f}, different in every row")
        if named_as_key(name):
            return Plan(name, "identifier", "by its name a key, different in every row")
    why = f"{'whole' if whole else 'decimal'} numbers, {distinct} different" + _said(stray)
    return Plan(name, "number", why, stray=stray)


def named_as_key(name: str) -> bool:
    """Does the name of a column say that it tells rows apart?"""
    return bool(_KEY_CAMEL.search(name) or _KEY_NAME.search(name))


def _words(name: str, present: pl.Series, distinct: int, rows: int, decimal: str) -> Plan:
    """Text: a category if its values come back, otherwise nothing to learn from here."""
    if distinct == len(present) > 1 or distinct > max(FEW_LEVELS, len(present) / 2):
        spaces = present.str.count_matches(r"\s+").to_numpy().mean()
        counted = f"{distinct} different values in {len(present)} filled cells"
        if spaces >= 2:
            return Plan(
                name, "text", f"free text, about {spaces + 1:.0f} words a cell, {counted}: which words it holds"
            )
        if GAPS <= len(present) / rows <= 1 - GAPS:
            return Plan(name, "filled", f"{counted}: almost none comes back, but whether a row has one is kept")
        return Plan(name, "identifier", f"{counted}: almost none comes back, so nothing can be learnt from it")
    zeros = "; leading zeros: codes, not amounts" if _leading_zeros(present) else ""
    gaps = f", missing in {rows - len(present)}" if rows > len(present) else ""
    return Plan(name, "category", f"text, {distinct} different{gaps}{zeros}", numeric=_all_numbers(present, decimal))


def _as_number(plan: Plan, piece: Piece) -> Plan:
    """Lift a running number to a number."""
    if plan.kind != "identifier" or not _all_numbers(piece.column(plan.name).drop_nulls(), piece.decimal):
        return plan
    return Plan(plan.name, "number", "a running number, kept because there is no other input")

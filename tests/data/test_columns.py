"""Kinds of columns: each decision, and the reason it gives."""

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from glia.data.tables.cells import codes, date_format, dates, numbers, yes_no
from glia.data.tables.columns import Plan, plan_column, plan_columns, read_plan
from glia.data.tables.read import open_table, read
from glia.data.tables.source import Piece, ReadOptions
from glia.errors import GliaError


def table(**columns: object) -> Piece:
    return read(open_table(columns, ReadOptions()))


def plan(values: object, kind: str | None = None) -> Plan:
    return plan_column(table(x=values), "x", kind)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1.5, 2.5, 2.5], "number"),
        (["1", "2", "2", "?"], "number"),
        (["1.5", "2e3", "-4"] * 5, "number"),
        (["a", "b", "a"], "category"),
        (["00501", "10001", "00501"], "category"),
        (["yes", "no", "yes"], "yes/no"),
        (["True", "False", None], "yes/no"),
        ([True, False, True], "yes/no"),
        ([0, 1, 1, 0], "yes/no"),
        (["0", "1", "1"], "yes/no"),
        ([date(2020, 1, 1), date(2020, 1, 2)], "date"),
        (["2020-01-01", "2020-01-02", "2020-01-02"], "date"),
        (["31.12.2020 10:15", "01.01.2021 09:00"], "date"),
        ([f"user{i}" for i in range(50)], "identifier"),
        (list(range(1, 51)), "identifier"),
        ([f"C{i}" for i in range(50)] + [None] * 50, "filled"),
        ([f"C{i}" for i in range(50)] + [None] * 2, "identifier"),
        ([5, 5, 5], "constant"),
        (["a", "a"], "constant"),
        ([None, None, "?"], "constant"),
        ([f"the quick fox number {i} runs" for i in range(50)], "text"),
        ([[1, 2], [3], [4]], "nested"),
        (["a", None, "a", None], "category"),
    ],
)
def test_kinds(values: list[object], kind: str) -> None:
    if kind == "nested":
        frame = pl.DataFrame({"x": values})
        found = plan_column(read(open_table(frame, ReadOptions())), "x")
    else:
        found = plan(values)
    assert found.kind == kind
    assert found.why
    assert "\n" not in found.why
    assert found.used == (kind in ("number", "category", "yes/no", "date", "filled", "text"))


def test_titanic(shared_data: Callable[[str], Path]) -> None:
    piece = read(open_table(shared_data("titanic/train.csv"), ReadOptions()))
    found = {plan.name: plan.kind for plan in plan_columns(piece, piece.frame.columns, {})}
    assert found == {
        "PassengerId": "identifier",
        "Survived": "yes/no",
        "Pclass": "number",
        "Name": "text",
        "Sex": "category",
        "Age": "number",
        "SibSp": "number",
        "Parch": "number",
        "Ticket": "identifier",
        "Fare": "number",
        "Cabin": "filled",
        "Embarked": "category",
    }


def test_keys_by_name_and_by_run() -> None:
    scattered = [7 * i % 101 for i in range(1, 60)]
    piece = table(customer_id=scattered, userId=scattered, paid=scattered, grid=scattered, other=scattered)
    kinds = {plan.name: plan.kind for plan in plan_columns(piece, piece.frame.columns, {})}
    keys = {"customer_id": "identifier", "userId": "identifier"}
    assert kinds == keys | dict.fromkeys(("paid", "grid", "other"), "number")


def test_a_running_number_is_kept_when_there_is_nothing_else() -> None:
    piece = table(x=list(range(100)), name=[f"n{i}" for i in range(100)])
    assert [plan.kind for plan in plan_columns(piece, ["x", "name"], {})] == ["number", "identifier"]


def test_stray_words_in_a_number_column() -> None:
    few = plan([*map(str, range(0, 400, 2)), "unknown", "unknown"])
    assert (few.kind, few.stray) == ("number", ("unknown",))
    assert "'unknown' read as missing" in few.why
    many = plan(["1", "2", "3", "low", "high"] * 10)
    assert many.kind == "category"
    assert not many.stray


@pytest.mark.parametrize(
    ("kind", "values", "says"),
    [
        ("number", ["1", "2", "x y"], r"row 2 .*column 'x': 'x y' is not a number"),
        ("yes/no", ["yes", "maybe"], r"row 1 .*'maybe' is not a yes/no"),
        ("date", ["spring", "autumn"], "holds no dates of a known form; got 'spring'"),
        ("nombre", ["1", "2"], r"unknown kind of column 'nombre'.*Try: 'number'"),
    ],
)
def test_a_kind_that_does_not_fit(kind: str, values: list[str], says: str) -> None:
    piece = table(x=values)
    with pytest.raises(GliaError, match=says):
        plan_columns(piece, ["x"], {"x": kind})


def test_asked_kinds_hold() -> None:
    coded = plan([1, 2, 3, 1], "category")
    assert (coded.kind, coded.numeric, coded.why) == ("category", True, "you said so")
    assert plan(["20200131", "20200201"], "date").form == "%Y%m%d"
    assert plan(list(range(50)), "number").kind == "number"
    assert plan_columns(table(x=[0.5, 1.5]), ["x"], {"x": "Categorical"})[0].kind == "category"


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["2024-03-31", "2024-4-1"], datetime(2024, 3, 31)),
        (["2024-03-31T10:15:30Z", "2024-03-31T10:15:31Z"], datetime(2024, 3, 31, 10, 15, 30)),
        (["2024-03-31T10:15:30+02:00", "2024-03-31T10:15:31+01:00"], datetime(2024, 3, 31, 8, 15, 30)),
        (["2024-03-31 10:15", "2024-03-31 10:16"], datetime(2024, 3, 31, 10, 15)),
        (["2024/03/31", "2024/04/01"], datetime(2024, 3, 31)),
        (["31.03.2024", "01.04.2024"], datetime(2024, 3, 31)),
        (["3/31/2024", "4/1/2024"], datetime(2024, 3, 31)),
        (["31/3/2024", "1/4/2024"], datetime(2024, 3, 31)),
        (["3/31/24", "4/1/24"], datetime(2024, 3, 31)),
        (["31 Mar 2024", "1 Apr 2024"], datetime(2024, 3, 31)),
        (["March 31, 2024", "April 1, 2024"], datetime(2024, 3, 31)),
        (["2024-03", "2024-04"], datetime(2024, 3, 1)),
        (["3/31/2024 2:05 PM", "4/1/2024 9:00 AM"], datetime(2024, 3, 31, 14, 5)),
    ],
)
def test_dates(cells: list[str], expected: datetime) -> None:
    form = date_format(pl.Series(cells))
    assert form is not None
    values = dates(pl.Series(cells), form)
    assert values[0] == expected
    assert values.null_count() == 0


@pytest.mark.parametrize("cells", [["C85", "E46"], ["1-2", "3-4"], ["spring"], ["10.0.0.1"], ["+49 30 1234"]])
def test_what_is_no_date(cells: list[str]) -> None:
    assert date_format(pl.Series(cells)) is None


def test_a_late_day_decides_between_day_and_month_first() -> None:
    cells = [f"{day}/{month}/2024" for month in range(1, 12) for day in range(1, 13)] + ["13/1/2024"]
    assert date_format(pl.Series(cells)) == "%d/%m/%Y"


def test_cells() -> None:
    assert numbers(pl.Series(["+5", ".5", "1.", "1e-3", "0x10", "1_0", "x", None])).to_list() == [
        *(5.0, 0.5, 1.0, 0.001),
        *(None, None, None, None),
    ]
    assert codes(pl.Series(["3.0", "3", "2.50", None]), True).to_list() == ["3", "3", "2.5", None]
    assert codes(pl.Series([3.0, None]), True).to_list() == ["3", None]
    assert yes_no(pl.Series(["YES", "n", "1", "0.5", "perhaps"])).to_list() == [1.0, 0.0, 1.0, 0.5, None]


def test_a_cell_that_does_not_fit_is_placed(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,x\n2,y\nabc,z\n")
    piece = read(open_table(path, ReadOptions()))
    with pytest.raises(GliaError, match=r"t\.csv, line 4, column 'a': 'abc' is not a number"):
        read_plan(piece, Plan("a", "number", ""))
    assert read_plan(piece, Plan("a", "number", "", stray=("abc",))).to_list() == [1.0, 2.0, None]

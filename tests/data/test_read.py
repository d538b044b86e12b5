"""Reading: every form of the same table gives the same rows; what cannot be read is said in one line."""

import gzip
import io
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from glia.data.tables.cells import numbers
from glia.data.tables.read import open_table, read, stream
from glia.data.tables.source import Piece, ReadOptions
from glia.errors import GliaError

ROWS = [("7", "Zoë", "1.5"), ("8", None, "2.25"), ("9", "a,b; c", None)]
NAMES = ("age", "who", "size")


def load(source: object, **options: object) -> Piece:
    return read(open_table(source, ReadOptions(**options)))  # type: ignore[arg-type]


def as_csv(separator: str, decimal: str = ".", end: str = "\n") -> str:
    def cell(value: str | None, number: bool) -> str:
        text = "" if value is None else value.replace(".", decimal) if number else value
        return f'"{text}"' if separator in text or ";" in text else text

    lines = [separator.join(NAMES)]
    lines += [separator.join(cell(value, index != 1) for index, value in enumerate(row)) for row in ROWS]
    return end.join(lines) + end


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("packed", [False, True])
def test_text_of_any_kind(tmp_path: Path, separator: str, encoding: str, end: str, packed: bool) -> None:
    path = tmp_path / ("t.csv.gz" if packed else "t.csv")
    data = as_csv(separator, end=end).encode(encoding)
    path.write_bytes(gzip.compress(data) if packed else data)
    opened = open_table(path, ReadOptions())
    assert read(opened).frame.rows() == ROWS
    assert opened.format["separator"] == separator
    assert any("cp1252" in note for note in opened.notes) == (encoding == "cp1252")


@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
def test_decimal_commas_are_seen(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(as_csv(separator, decimal=",").replace("Zoë", "x"))
    piece = load(path)
    assert piece.decimal == ","
    assert numbers(piece.frame["size"], piece.decimal).to_list() == [1.5, 2.25, None]


@pytest.mark.parametrize(
    ("text", "decimal", "expected"),
    [
        ('a,b\n"1,234",1\n"5,678,901",2\n', ".", [1234.0, 5678901.0]),
        ("a;b\n1.234,5;1\n5.678.901,25;2\n", ",", [1234.5, 5678901.25]),
        ("a,b\n1e3,1\n-.5,2\n", ".", [1000.0, -0.5]),
        ("a\tb\n0.125\t1\n0.250\t2\n", ".", [0.125, 0.25]),
    ],
)
def test_grouped_thousands(tmp_path: Path, text: str, decimal: str, expected: list[float]) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    piece = load(path)
    assert piece.decimal == decimal
    assert numbers(piece.frame["a"], decimal).to_list() == expected


def test_the_same_table_in_every_form(tmp_path: Path) -> None:
    ages, sizes, who = [7, 8, 9], [1.5, 2.25, None], ["x", None, "y"]
    frame = pl.DataFrame({"age": ages, "who": who, "size": sizes})
    frame.write_parquet(tmp_path / "t.parquet")
    frame.write_ipc(tmp_path / "t.feather")
    frame.write_ipc_stream(tmp_path / "t.arrow")
    frame.write_ndjson(tmp_path / "t.jsonl")
    frame.write_json(tmp_path / "t.json")
    frame.write_csv(tmp_path / "t.csv")
    (tmp_path / "p.jsonl.gz").write_bytes(gzip.compress((tmp_path / "t.jsonl").read_bytes()))
    sources = [
        tmp_path / name for name in ("t.parquet", "t.feather", "t.arrow", "t.jsonl", "t.json", "t.csv", "p.jsonl.gz")
    ]
    columns = {"age": np.array(ages), "who": who, "size": torch.tensor([1.5, 2.25, torch.nan])}
    memory = [frame, frame.lazy(), frame.to_pandas(), pd.DataFrame({"age": ages, "who": who, "size": sizes}), columns]
    for source in [*sources, *memory]:
        piece = load(source)
        assert piece.frame.columns == ["age", "who", "size"], source
        assert numbers(piece.frame["age"]).to_list() == ages, source
        assert numbers(piece.frame["size"]).to_list() == sizes, source
        assert piece.frame["who"].to_list() == who, source
        assert piece.rows.tolist() == [0, 1, 2]


def test_missing_words_with_spaces_around(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    words = ["?", " ?", "NA", "N/A", " nan ", "NaN", "null", "None", "", "   ", "-", "#N/A"]
    path.write_text("a,b\n" + "".join(f"{word},1\n" for word in words) + "-1,2\n")
    assert load(path).frame["a"].to_list() == [None] * len(words) + ["-1"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a,b\n1,x\n2,y\n", ["a", "b"]),
        ("1,x\n2,y\n3,x\n", ["0", "1"]),
        ("39, State, <=50K\n50, Self, <=50K\n38, Self, >50K\n", ["0", "1", "2"]),
        ("name,2019,2020,2021\nx,1,2,3\ny,4,5,6\n", ["name", "2019", "2020", "2021"]),
        ("word,label\nhot,cold\nx,y\n", ["word", "label"]),
        ("red,yes\nblue,no\nred,yes\nblue,no\n", ["0", "1"]),
        (",a\n0,5\n1,6\n", ["0", "a"]),
        ("height\n1.5\n1.7\n", ["height"]),
        ("1.5\n1.7\n", ["0"]),
        ("a,b\n?,x\n3,y\n", ["a", "b"]),
    ],
)
def test_header_is_worked_out(tmp_path: Path, text: str, names: list[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    assert list(open_table(path, ReadOptions()).columns) == names
    said = open_table(path, ReadOptions(header=False))
    assert list(said.columns) == [str(index) for index in range(len(names))]
    assert len(read(said)) == text.count("\n")


def test_quoted_line_ends_keep_line_numbers_true(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,b\n"x\ny",1\n\nz,2\n')
    piece = load(path)
    assert piece.frame["a"].to_list() == ["x\ny", "z"]
    assert piece.lines is not None
    assert piece.lines.tolist() == [3, 5]
    assert piece.place(1) == f"{path}, line 5"


@pytest.mark.parametrize("row", ["1,2,3", "1"])
def test_ragged_rows_are_named(tmp_path: Path, row: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"a,b\n1,2\n{row}\n3,4\n")
    with pytest.raises(GliaError, match=r"t\.csv, line 3: \d cells; expected 2"):
        load(path)


def test_json_lines_may_mix_types_and_lack_keys(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1, "b": "x"}\n\n{"a": "two", "c": true}\n{"a": null, "b": 3.5}\n')
    piece = load(path)
    assert piece.frame.to_dict(as_series=False) == {
        "a": ["1", "two", None],
        "b": ["x", None, "3.5"],
        "c": [None, "true", None],
    }
    path.write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(GliaError, match="line 2, column 1: not JSON"):
        load(path)
    path.write_text("[1, 2]\n")
    with pytest.raises(GliaError, match="not a JSON object"):
        load(path)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "feather"])
@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_pieces_join_to_the_whole(tmp_path: Path, ending: str, rows: int) -> None:
    frame = pl.DataFrame({"a": range(100), "b": [f"w{i % 7}" for i in range(100)]})
    path = tmp_path / f"t.{ending}"
    writers = {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}
    (writers | {"feather": frame.write_ipc})[ending](path)  # type: ignore[operator]
    parts = list(stream(path, ReadOptions(), rows))
    assert max(len(part) for part in parts) == min(rows, 100)
    assert pl.concat([part.frame for part in parts]).equals(load(path).frame)
    assert np.concatenate([part.rows for part in parts]).tolist() == list(range(100))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        path = tmp_path / f"{rows}.csv"
        path.write_text("a,b\n" + f"12345.678,{'some words ' * 20}\n" * rows)
        tracemalloc.start()
        assert sum(len(piece) for piece in stream(path, ReadOptions(), 500)) == rows
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1000)  # what is imported late
    assert peak(48_000) < 1.2 * peak(12_000)  # 11 and 2.8 MB, both longer than two blocks


def test_whole_number_like_text_keeps_its_spelling() -> None:
    frame = load({"code": ["007", "7", "1e3"], "mixed": [1, "a", None]}).frame
    assert frame["code"].to_list() == ["007", "7", "1e3"]
    assert frame["mixed"].to_list() == ["1", "a", None]


def test_pandas_columns_of_every_type() -> None:
    frame = pd.DataFrame(
        {
            "whole": pd.array([1, None, 3], dtype="Int64"),
            "flag": pd.array([True, None, False], dtype="boolean"),
            "text": pd.array(["a", None, "c"], dtype="string"),
            "level": pd.Categorical(["u", "v", None]),
            "zone": pd.date_range("2024-01-01", periods=3, tz="Europe/Berlin"),
            "month": pd.period_range("2024-01", periods=3, freq="M"),
            "mixed": [1, "x", None],
        }
    )
    found = load(frame).frame
    assert found.drop("zone").to_dict(as_series=False) == {
        "whole": [1, None, 3],
        "flag": [True, None, False],
        "text": ["a", None, "c"],
        "level": ["u", "v", None],
        "month": ["2024-01", "2024-02", "2024-03"],
        "mixed": ["1", "x", None],
    }
    assert found["zone"].dtype.is_temporal()
    with pytest.raises(GliaError, match="unequal length"):
        load({"a": [1, 2], "b": [1]})
    with pytest.raises(GliaError, match="two columns called 'a'"):
        load(pd.DataFrame([[1, 2]], columns=["a", "a"]))


@pytest.mark.parametrize(("name", "rows", "columns"), [("iris", 150, 5), ("wine", 178, 14), ("breast-cancer", 569, 31)])
def test_bundled_sets(name: str, rows: int, columns: int) -> None:
    opened = open_table(name, ReadOptions())
    assert opened.targets == ("target",)
    assert read(opened).frame.shape == (rows, columns)


def test_adult_as_it_comes(shared_data: Callable[[str], Path]) -> None:
    opened = open_table(shared_data("adult/adult-train.csv.gz"), ReadOptions())
    piece = read(opened)
    assert opened.columns == tuple(str(index) for index in range(15))
    assert len(piece) == 32_561
    assert sum(piece.frame.null_count().row(0)) == 4262  # the "?" cells that its authors count
    assert piece.frame["14"].value_counts().sort("14")["count"].to_list() == [24_720, 7841]


def damaged(kind: str) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame({"a": range(1000)}).write_parquet(buffer)
    made = {
        "empty.csv": b"",
        "blank.csv": b"\n\n  \n",
        "header.csv": b"a,b\n",
        "garbage.csv": bytes(np.random.Generator(np.random.PCG64(0)).integers(0, 256, 5000, dtype=np.uint8)),
        "cut.parquet": buffer.getvalue()[:-100],
        "not.parquet": b"a,b\n1,2\n",
        "cut.csv.gz": gzip.compress(b"a,b\n" + b"1,2\n" * 10_000)[:-20],
        "sheet.csv": b"PK\x03\x04 and so on",
        "twice.csv": b"a,b,a\n1,2,3\n",
        "quote.csv": b'a,b\n1,"' + b"x" * 200_000,
        "list.jsonl": json.dumps([1]).encode(),
    }
    return made[kind]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("empty.csv", "is empty"),
        ("blank.csv", "is empty"),
        ("header.csv", "2 columns but no rows"),
        ("garbage.csv", "is not text"),
        ("cut.parquet", "cannot be read as Parquet"),
        ("not.parquet", "is not Parquet inside"),
        ("cut.csv.gz", "damaged gzip"),
        ("sheet.csv", "zip or Excel"),
        ("twice.csv", "two columns called 'a'"),
        ("quote.csv", "never closed"),
        ("list.jsonl", "not a JSON object"),
    ],
)
def test_bad_files_are_named_in_one_line(tmp_path: Path, name: str, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(damaged(name))
    with pytest.raises(GliaError, match=says) as fault:
        load(path)
    assert name in str(fault.value)
    assert "\n" not in str(fault.value)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "titanic.csv").write_text("a\n1\n")
    with pytest.raises(GliaError, match=r"no such file: .*titanik\.csv.*Try: '.*titanic\.csv'"):
        load(tmp_path / "titanik.csv")
    with pytest.raises(GliaError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(GliaError, match="Try: 'iris'"):
        load("irsi")
    with pytest.raises(GliaError, match="not a table"):
        load(3)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"separator": "ab"}, "separator"), ({"decimal": "x"}, "decimal"), ({"encoding": "latin-99"}, "encoding")],
)
def test_bad_options(tmp_path: Path, options: dict[str, str], says: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(GliaError, match=says):
        load(path, **options)

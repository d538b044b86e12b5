"""write_rows: formulas are disarmed, files appear whole or not at all, refusals are one line."""

import csv
import errno
import io
import weakref
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from glia.errors import GliaError
from glia.predict.rows import _parquet, write_rows

RISKY = ["=1+1", "+cmd", "-cmd", "@SUM(A1)", "\tx", "\rx", "=HYPERLINK(1)"]
PLAIN = ["-1", "+3.5e2", "-.5", "12", "text", "a=b", "", "'quoted"]


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_text_that_would_run_as_a_formula_is_disarmed(tmp_path: Path, suffix: str) -> None:
    frame = pl.DataFrame({"=head": RISKY + PLAIN, "number": [-1.5] * len(RISKY + PLAIN)})
    write_rows(iter([frame]), tmp_path / f"out{suffix}")
    with (tmp_path / f"out{suffix}").open(newline="") as file:
        rows = list(csv.reader(file, delimiter="," if suffix == ".csv" else "\t"))
    assert rows[0] == ["'=head", "number"]
    assert [row[0] for row in rows[1:]] == [f"'{text}" for text in RISKY] + PLAIN
    assert {row[1] for row in rows[1:]} == {"-1.5"}


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_files_that_no_spreadsheet_runs_keep_text_as_it_is(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    write_rows(iter([pl.DataFrame({"text": RISKY})]), path)
    got = pl.read_parquet(path) if suffix == ".parquet" else pl.read_ndjson(path)
    assert got["text"].to_list() == RISKY


def test_columns_that_csv_has_no_form_for_become_text(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "list": [[1, 2], None],
            "struct": [{"a": 1}, {"a": None}],
            "kind": pl.Series(["=x", "b"], dtype=pl.Categorical),
            "bytes": [b"\x01\xff", None],
            "none": [None, None],
        }
    )
    write_rows(iter([frame]), tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1] == ["[1, 2]", "{'a': 1}", "'=x", "01ff", ""]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_frames_are_written_as_they_come_and_let_go(tmp_path: Path, suffix: str) -> None:
    seen: list[weakref.ref[pl.DataFrame]] = []
    most = 0

    def frames() -> Iterator[pl.DataFrame]:
        nonlocal most
        for _ in range(40):
            frame = pl.DataFrame({"x": range(1000)})
            seen.append(weakref.ref(frame))
            most = max(most, sum(ref() is not None for ref in seen))
            yield frame

    assert write_rows(frames(), tmp_path / f"out{suffix}") == 40_000
    assert len(seen) == 40
    assert most <= 6


def test_headers_stay_different_when_disarmed(tmp_path: Path) -> None:
    write_rows(iter([pl.DataFrame({"'=a": [1], "=a": [2]})]), tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == "''=a,'=a"


@pytest.mark.parametrize("name", ["out.xlsx", "out", "out.csv.gz"])
def test_an_unknown_suffix_is_refused_before_anything_is_read(tmp_path: Path, name: str) -> None:
    def frames() -> Iterator[pl.DataFrame]:
        raise AssertionError("read")
        yield

    with pytest.raises(GliaError, match="expected one of .csv, .tsv, .parquet"):
        write_rows(frames(), tmp_path / name)


def test_the_source_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("x\n1\n")
    with pytest.raises(GliaError, match="is the file that is read"):
        write_rows(iter([pl.DataFrame({"x": [1]})]), tmp_path / "." / "in.csv", source=str(path), overwrite=True)
    assert path.read_text() == "x\n1\n"


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_a_failure_half_way_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    def frames() -> Iterator[pl.DataFrame]:
        yield pl.DataFrame({"x": range(1000)})
        yield pl.DataFrame({"x": range(1000)})
        raise GliaError("row 2001 is odd")

    with pytest.raises(GliaError, match="row 2001 is odd"):
        write_rows(frames(), tmp_path / f"out{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_trouble_with_reading_is_not_taken_for_trouble_with_writing(tmp_path: Path) -> None:
    def frames() -> Iterator[pl.DataFrame]:
        yield pl.DataFrame({"x": [1]})
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(GliaError, match="cannot read big.csv: Input/output error"):
        write_rows(frames(), tmp_path / "out.csv", source="big.csv")


def test_a_full_disk_stops_parquet_as_well() -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    frames = (pl.DataFrame({"x": range(100_000)}) for _ in range(50))
    with pytest.raises((OSError, pl.exceptions.PolarsError)):
        _parquet(frames, Full(), pl.Schema({"x": pl.Int64}))


def test_parquet_takes_a_column_whose_type_can_be_kept_and_names_one_that_cannot(tmp_path: Path) -> None:
    first, second = pl.DataFrame({"x": [1.5]}), pl.DataFrame({"x": [2]})
    assert write_rows(iter([first, second]), tmp_path / "a.parquet") == 2
    assert pl.read_parquet(tmp_path / "a.parquet")["x"].to_list() == [1.5, 2.0]
    with pytest.raises(GliaError, match="changes its type"):
        write_rows(iter([second, pl.DataFrame({"x": ["word"]})]), tmp_path / "b.parquet")

"""A table read by blocks is what Python's csv module reads row by row, with the same lines and the same refusals."""

import csv
import gzip
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from glia.data.tables import blocks, separated
from glia.data.tables.read import open_table, read
from glia.data.tables.source import MISSING_WORDS, ReadOptions
from glia.errors import GliaError

WIDTH = 3
plain = st.text(alphabet="abc019.,- '\té=", max_size=6)
quoted = st.text(alphabet='ab1,\n\r" ;', max_size=6).map(lambda text: '"' + text.replace('"', '""') + '"')
cells = st.one_of(plain.filter(lambda text: "," not in text), quoted)
rows = st.lists(cells, min_size=WIDTH, max_size=WIDTH).map(",".join)
odd = st.sampled_from(["", " ", "a,b", "a,b,c,d", 'a,b"c,d', '"a"b,c,d', ' "a,b",c,d', '"a,b,c', "\x1a", 'a,"b,c'])
tables = st.tuples(
    st.lists(st.one_of(rows, rows, rows, rows, odd), min_size=1, max_size=25),
    st.sampled_from(["\n", "\r\n", "\n", "\r"]),
    st.sampled_from(["", "\n", "\r\n", "\n\n"]),
)


def by_the_module(text: str) -> tuple[list[tuple[str | None, ...]], list[int]]:
    """Cells and lines as the csv module gives them; the errors are not its own."""
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    found: list[tuple[str | None, ...]] = []
    where = []
    for row in reader:
        if not row or (len(row) == 1 and not row[0].strip(" \t\x1a")):
            continue
        if len(row) != WIDTH:
            raise ValueError(f"line {reader.line_num}")
        stripped = [cell.strip() for cell in row]
        found.append(tuple(None if cell in MISSING_WORDS else cell for cell in stripped))
        where.append(reader.line_num)
    return found[1:], where[1:]


def by_blocks(path: Path, size: int) -> tuple[list[tuple[str | None, ...]], list[int]]:
    with mock.patch.object(separated, "blocks", partial(blocks.blocks, size=size)):
        piece = read(open_table(path, ReadOptions(header=True, separator=",", encoding="utf-8")))
    assert piece.lines is not None
    return piece.frame.rows(), piece.lines.tolist()


def outcome(path: Path, size: int) -> object:
    try:
        return by_blocks(path, size)
    except GliaError as error:
        return str(error)


@settings(max_examples=400)
@given(table=tables, size=st.integers(8, 400))
@example(table=(['"a\n\r\nb",2,3'] * 9, "\r\n", ""), size=16)
@example(table=(["1,2", "1,2,3,4"] * 4, "\n", "\n"), size=64)
def test_blocks_of_any_size_give_what_row_by_row_gives(
    tmp_path_factory: pytest.TempPathFactory, table: tuple[list[str], str, str], size: int
) -> None:
    body, end, tail = table
    path = tmp_path_factory.getbasetemp() / "blocks.csv"
    path.write_bytes((end.join(["x,y,z", *body]) + tail).encode())
    with mock.patch.object(blocks, "_plain", lambda *args, **more: None):
        slow = outcome(path, 1 << 20)
    assert outcome(path, size) == slow
    assert outcome(path, 1 << 20) == slow


@settings(max_examples=200)
@given(table=st.tuples(st.lists(rows, min_size=1, max_size=20), st.sampled_from(["\n", "\r\n"]), st.just("\n")))
def test_sound_tables_read_as_the_module_reads_them(
    tmp_path_factory: pytest.TempPathFactory, table: tuple[list[str], str, str]
) -> None:
    body, end, tail = table
    text = end.join(["x,y,z", *body]) + tail
    found, lines = by_the_module(text)
    # An apostrophe before a sign that spreadsheets run was put there when the cell was written.
    kept = [row for row in found if not any(cell and cell.startswith("'") for cell in row)]
    path = tmp_path_factory.getbasetemp() / "sound.csv"
    path.write_bytes(text.encode())
    cells, where = by_blocks(path, 64)
    assert where == lines
    assert [row for row, told in zip(cells, found) if told in kept] == kept


@pytest.mark.parametrize("write", [lambda data: data, gzip.compress])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings_and_packing(tmp_path: Path, encoding: str, write: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(write(("x,y\n" + 'Zoë,"1,5"\n"né\nuf",2\n' * 40).encode(encoding)))
    with mock.patch.object(separated, "blocks", partial(blocks.blocks, size=33)):
        piece = read(open_table(path, ReadOptions(encoding=encoding, separator=",")))
    assert piece.frame.rows() == [("Zoë", "1,5"), ("né\nuf", "2")] * 40
    assert piece.lines is not None and piece.lines.tolist() == [2 + i // 2 * 3 + i % 2 * 2 for i in range(80)]


def test_what_is_as_it_should_be_is_read_by_polars(tmp_path: Path) -> None:
    """Or the speed would be gone without a word."""
    path = tmp_path / "t.csv"
    path.write_text('x,y\n1,"a, b"\n2,"say ""no"""\n3,\r\n' * 3)
    asked = mock.Mock(wraps=pl.read_csv)
    with (
        mock.patch.object(blocks.pl, "read_csv", asked),
        mock.patch.object(blocks, "_by_hand", side_effect=AssertionError),
    ):
        assert len(read(open_table(path, ReadOptions(header=True)))) == 11
    assert asked.call_count == 1


def test_one_odd_line_costs_one_block(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "1,2\n" * 5000 + '3,4"5\n' + "6,7\n" * 5000)
    by_hand = mock.Mock(wraps=blocks._by_hand)
    small = mock.patch.object(separated, "blocks", partial(blocks.blocks, size=4096))
    with small, mock.patch.object(blocks, "_by_hand", by_hand):
        piece = read(open_table(path, ReadOptions()))
    assert by_hand.call_count == 1
    assert piece.frame["y"][5000] == '4"5' and piece.place(5000).endswith("line 5002") and len(piece) == 10_001


def test_a_cell_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y\n1,2\n" + "z" * 3000 + ",1\n3,4\n" * 3)
    with pytest.raises(GliaError, match="line 3: cells cannot be told apart.*field limit"):
        read(open_table(path, ReadOptions(limits={"cell_chars": 2000})))

"""Tables read in pieces, as if they were too large for memory, come out as they do from memory."""

import json
import subprocess
import sys
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import glia
from glia.data import mapped
from glia.data.mapped import MappedRows, Written
from glia.data.prepared import Prepared
from glia.data.tables import large, prepare
from glia.data.tables.keyed import Rule
from glia.data.tables.source import Piece
from glia.data.tables.target import Answer
from glia.data.task import Task
from glia.errors import GliaError


@pytest.fixture(autouse=True)
def _aside(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIA_CACHE", str(tmp_path_factory.mktemp("cache")))


def both(path: Path, piece: int = 50, **settings: Any) -> tuple[Prepared, Prepared]:
    """Of one file: prepared in memory, and in pieces of so many rows."""
    with pytest.MonkeyPatch.context() as patch:
        held = glia.prepare(path, **settings)
        patch.setattr(large, "LARGE", 0)
        patch.setattr(prepare, "READ_ROWS", piece)
        return held, glia.prepare(path, **settings)


def assert_equal(held: Prepared, pieced: Prepared) -> None:
    assert isinstance(held.train.inputs, torch.Tensor) and isinstance(pieced.train.inputs, MappedRows)
    assert pieced.facts == held.facts
    assert pieced.task == held.task
    assert pieced.reader.to_dict() == held.reader.to_dict()
    assert pieced.notes == held.notes
    # Means are added up piece by piece: their last digit may differ.
    assert _rounded(pieced.card) == _rounded(held.card)
    for name in ("train", "valid", "test"):
        ours, theirs = getattr(held, name), getattr(pieced, name)
        assert (ours is None) == (theirs is None)
        for one, other in zip(ours.epoch(3, 1, 16), theirs.epoch(3, 1, 16), strict=True) if ours else ():
            for a, b in zip(one, other):
                assert a.dtype == b.dtype and torch.equal(a.nan_to_num(-7.5), b.nan_to_num(-7.5))
        if ours is not None:
            assert torch.equal(ours.rows, theirs.rows) and torch.equal(ours.targets, theirs.targets)


def _rounded(value: Any) -> Any:
    return json.loads(json.dumps(value), parse_float=lambda text: float(f"{float(text):.12g}"))


numbers = st.sampled_from(["1.5", "-2", "", "NA", "7e3", "1,234", "0", "12.25", "3", "1e-3"])
words = st.sampled_from(["red", "blue ", '"a ""b"""', '"two\nlines"', "", "?", "grün", " x"])
dates = st.sampled_from(["2024-01-31", "2023-12-01", "", "2024-02-29 "])
texts = st.text(alphabet="abcd ", min_size=8, max_size=20)
answers = st.sampled_from(["yes", "no", "maybe", "yes", ""])
table_rows = st.tuples(
    numbers, numbers.filter(lambda n: "," not in n), words, dates, texts, answers, st.integers(0, 40)
)


@settings(max_examples=25)
@given(
    rows=st.lists(table_rows, min_size=40, max_size=150),
    end=st.sampled_from(["\n", "\r\n"]),
    start=st.sampled_from(["", "\ufeff"]),
    piece=st.integers(7, 60),
    how=st.sampled_from([{}, {"group": "g"}, {"target": "a2"}, {"time": "g"}, {"valid_share": 0.0}]),
)
def test_pieces_give_what_the_whole_gives(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]], end: str, start: str, piece: int,
    how: dict[str, Any],
) -> None:  # fmt: skip
    path = tmp_path_factory.getbasetemp() / "pieces.csv"
    lines = [f'"{a}",{a2},{word},{date},{text},{answer},{g}' for a, a2, word, date, text, answer, g in rows]
    path.write_bytes((start + end.join(["a,a2,word,day,text,y,g", *lines]) + end).encode())
    try:
        held = glia.prepare(path, **{"target": "y", **how})
    except GliaError as error:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(GliaError) as again:
            patch.setattr(large, "LARGE", 0)
            patch.setattr(prepare, "READ_ROWS", piece)
            glia.prepare(path, **{"target": "y", **how})
        assert str(again.value) == str(error)
        return
    assert_equal(held, both(path, piece, **{"target": "y", **how})[1])


def made(path: Path, rows: int, **columns: Any) -> pl.DataFrame:
    dice = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "x": dice.normal(size=rows).round(4),
            "n": dice.integers(0, 50, rows),
            "colour": np.array(["red", "green", "blue"])[dice.integers(0, 3, rows)],
            "y": np.array(["no", "yes"])[dice.integers(0, 2, rows)],
            **columns,
        }
    )
    frame.write_csv(path)
    return frame


def drawn(monkeypatch: pytest.MonkeyPatch, path: Path, exact: int, **settings: Any) -> Prepared:
    """Prepared as a table of more rows than are looked at together."""
    monkeypatch.setattr(large, "LARGE", 0)
    monkeypatch.setattr(large, "EXACT", exact)
    monkeypatch.setattr(prepare, "READ_ROWS", 500)
    return glia.prepare(path, target="y", **settings)


def test_every_row_is_in_one_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    frame = made(path, 6000)
    data = drawn(monkeypatch, path, 1000)
    parts = {name: getattr(data, name) for name in ("train", "valid", "test")}
    assert sorted(row for part in parts.values() for row in part.rows.tolist()) == list(range(6000))
    assert len(parts["test"]) == pytest.approx(1200, abs=150) and len(parts["valid"]) == pytest.approx(480, abs=100)
    for name, part in parts.items():
        batch = part.at(torch.arange(len(part)))
        rows = frame[part.rows.numpy()]
        column = data.facts.names.index("x")  # type: ignore[union-attr]
        assert batch.inputs[:, column].tolist() == pytest.approx(rows["x"].to_list())
        assert [data.task.classes[answer] for answer in batch.targets.tolist()] == rows["y"].to_list()
        assert data.card["classes"]["yes"][name] == rows["y"].to_list().count("yes")
    assert data.card["rows"] == 6000 and any("drawn evenly" in note for note in data.notes)
    again = drawn(monkeypatch, path, 1000)
    assert torch.equal(again.test.rows, data.test.rows)  # type: ignore[union-attr]


def test_equal_rows_and_groups_stay_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    half = made(path, 3000)
    pl.concat([half, half]).with_columns(g=pl.Series(range(6000)) % 97).write_csv(path)
    data = drawn(monkeypatch, path, 1000, drop="g")
    parts = [set((part.rows % 3000).tolist()) for part in (data.train, data.valid, data.test) if part is not None]
    assert all(not a & b for i, a in enumerate(parts) for b in parts[:i]) and sum(map(len, parts)) == 3000
    data = drawn(monkeypatch, path, 1000, group="g")
    parts = [set((part.rows % 97).tolist()) for part in (data.train, data.valid, data.test) if part is not None]
    assert all(not a & b for i, a in enumerate(parts) for b in parts[:i]) and sum(map(len, parts)) == 97


def test_what_is_rare_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class of three rows, a stray word, the largest number and the first gap: none of them among those drawn."""
    path = tmp_path / "t.csv"
    frame = made(path, 5000)
    cells = {name: frame[name].cast(pl.String).to_list() for name in frame.columns}
    for row in (4001, 4444, 4900):
        cells["y"][row] = "seldom"
    cells["x"][4500], cells["x"][4501], cells["x"][4600] = "n.a.", "99.5", ""
    pl.DataFrame(cells).write_csv(path)
    data = drawn(monkeypatch, path, 300)
    assert "seldom" in data.task.classes and data.card["classes"]["seldom"] == {"train": 3, "valid": 0, "test": 0}
    at = data.facts.names.index("x")  # type: ignore[union-attr]
    high = torch.cat([batch.inputs[:, at] for batch in data.train.ordered(100)])
    assert data.facts.high[at] == high[~high.isnan()].max() and data.facts.gaps[at] == high.isnan().any()  # type: ignore[union-attr]
    (note,) = (note for note in data.notes if "n.a." in note)
    assert note.endswith("'n.a.' read as missing in 1 rows, the first in " + f"{path}, line 4502")
    batch = next(data.reader.stream(path, rows=5000))
    assert batch.inputs[4500, at].isnan()


def test_too_many_odd_words_are_refused_with_their_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    frame = made(path, 5000)
    cells = frame["x"].cast(pl.String).to_list()
    cells[4000:4006] = [f"odd {i}" for i in range(6)]
    frame.with_columns(x=pl.Series(cells)).write_csv(path)
    monkeypatch.setattr(large._Drawn, "among", lambda self, piece, targets: np.arange(len(piece))[::50])
    with pytest.raises(GliaError, match=r"line 400\d, column 'x': 'odd \d' is not a number"):
        drawn(monkeypatch, path, 300)


def test_more_cells_than_allowed_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would go to the disk, whatever few bytes a file takes that holds one number again and again."""
    monkeypatch.setattr(large, "LARGE", 0)
    frame = pl.DataFrame({"a": [1.0, 2.0] * 500, "y": ["p", "q"] * 500})
    frame.write_parquet(tmp_path / "t.parquet")
    frame.write_csv(tmp_path / "t.csv")
    for name in ("t.parquet", "t.csv"):
        with pytest.raises(GliaError, match=r"too many cells of a table; got 2,000.*limits cells="):
            glia.prepare(tmp_path / name, target="y", limits={"cells": 1500})


def test_time_order_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    times = np.random.default_rng(1).permutation(6000) // 3
    made(path, 6000, t=times)
    data = drawn(monkeypatch, path, 1000, time="t")
    train, valid, test = (times[part.rows.numpy()] for part in (data.train, data.valid, data.test))  # type: ignore[union-attr]
    assert train.max() < valid.min() and valid.max() < test.min()
    assert len(test) == pytest.approx(1200, abs=150)


def by_hand(key: int, counter: int) -> int:
    """Part of a row: SplitMix64 in whole numbers of Python, compared with the shares."""
    last = (1 << 64) - 1
    z = (key + (counter + 1) * 0x9E3779B97F4A7C15) & last
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & last
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & last
    drawn = ((z ^ (z >> 31)) >> 11) / 2**53
    return 2 if drawn < 0.2 else 1 if drawn < 0.28 else 0


def test_the_rule_is_the_same_everywhere() -> None:
    """Parts of a table must not change with a library's version."""
    words = ["a", "b", "c", "d", "e", "f"] * 20
    piece = Piece("t", ".", pl.DataFrame({"g": words}), np.arange(120))
    rule = Rule(7, 0.1, 0.2, Answer(Task("regress", ("y",)), ""))
    assert rule(piece).tolist() == [by_hand(7, row) for row in range(120)]
    keys = [int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "little") for word in words]
    assert replace(rule, group="g")(piece).tolist() == [by_hand(7, key) for key in keys]


def test_rows_of_a_file_are_those_that_were_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glia.data.mapped.RESIDENT", 1000)  # so that pages are given back all the time
    values = np.random.default_rng(0).normal(size=(5000, 3)).astype(np.float32)
    written = Written("tables")
    for start in range(0, 5000, 700):
        written.add(values[start : start + 700])
    rows = written.mapped()
    index = torch.randperm(5000)
    for long in (mapped.LONG, 1):  # the two ways of copying
        monkeypatch.setattr(mapped, "LONG", long)
        assert torch.equal(rows.take(index), torch.from_numpy(values)[index])
        some = rows.only(np.arange(4000, 100, -3))
        assert len(some) == 1300 and torch.equal(
            some.take(torch.tensor([7, 0])), torch.from_numpy(values[[3979, 4000]])
        )
    assert np.array_equal(np.stack(list(rows.columns(7)), 1), values[::7])


GROWTH = """
import resource, sys, glia
from glia.data import mapped
from glia.data.tables import large, prepare
large.LARGE, large.EXACT, prepare.READ_ROWS, mapped.RESIDENT = 0, 4000, 2000, 1 << 20
glia.prepare(sys.argv[1], target="y")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
data = glia.prepare(sys.argv[2], target="y")
for batch in data.train.epoch(0, 0, 256):
    pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def test_memory_hardly_grows_with_rows(tmp_path: Path) -> None:
    paths = [tmp_path / "few.csv", tmp_path / "many.csv"]
    for path, rows in zip(paths, (20_000, 200_000)):
        made(path, rows, text=[f"row {row} of a table that is long and has some words" for row in range(rows)])
    said = subprocess.run(
        [sys.executable, "-c", GROWTH, *map(str, paths)], capture_output=True, text=True, check=True, timeout=240
    ).stdout
    # 180,000 more rows: 15 MB of text, and of cells in memory as much; what grows is the number of each row.
    assert int(said) < 8_000_000

"""Labelled series from every source: the same numbers, the parts as promised, and a line for what is wrong."""

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import glia
from glia import GliaError
from glia.data.batches import Batches
from glia.data.series.augment import by_name
from glia.data.series.tsfile import read_ts

HEADER = "#a comment\n@problemName x\n@timeStamps false\n@classLabel true a b\n@data\n"
ROWS = "1,2,3:4,5,6:a\n1.5,?:7,8:b\n2,2,9,NaN:0,0,0,1:a\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def steps(batches: Batches) -> list[np.ndarray]:
    """Each row without what it is filled up with."""
    whole = batches.at(torch.arange(len(batches))).inputs
    return [row[: int((~row.isnan().all(1)).nonzero().max()) + 1].numpy() for row in whole]


def many(count: int = 60, seed: int = 0) -> tuple[list[np.ndarray], list[str]]:
    dice = np.random.default_rng(seed)
    rows = [dice.normal(size=(int(dice.integers(6, 12)), 2)).round(4) for _ in range(count)]
    return rows, ["up" if i % 2 else "down" for i in range(count)]


def as_ts(rows: list[np.ndarray], labels: list[str]) -> str:
    lines = [":".join([*(",".join(map(str, channel)) for channel in row.T), label]) for row, label in zip(rows, labels)]
    return "@timeStamps false\n@classLabel true up down\n@data\n" + "\n".join(lines) + "\n"


def as_long(rows: list[np.ndarray], labels: list[str]) -> pl.DataFrame:
    frames = [
        pl.DataFrame({"who": f"s{i}", "t": range(len(row)), "x": row[:, 0], "y": row[:, 1], "kind": label})
        for i, (row, label) in enumerate(zip(rows, labels))
    ]
    return pl.concat(frames)


def test_a_ts_file_is_read_as_it_says(tmp_path: Path) -> None:
    for name in ("x.ts", "x.ts.gz"):
        found = read_ts(write(tmp_path / name, HEADER + ROWS))
        assert found.labels == ["a", "b", "a"] and found.lines == [6, 7, 8]
        assert [row.shape for row in found.rows] == [(3, 2), (2, 2), (4, 2)]
        np.testing.assert_array_equal(found.rows[1], np.array([[1.5, 7], [np.nan, 8]], dtype=np.float32))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("@classLabel true a b\n1,2:a\n", "line 2: a series before @data"),
        ("@classLabel true a b\n", "no line @data"),
        (HEADER, "no series after @data"),
        (HEADER + "1,2:a\n1,2:3,4:b\n", "line 7: channels; got 2"),
        (HEADER + "1,2:a\n1,zwei:b\n", "line 7: 'zwei' is not a number"),
        (HEADER + "1,2:a\n:b\n", "line 7: a series of no steps"),
        (HEADER + "1,2:a\n?,?:b\n", "line 7: a series of no steps"),
        (HEADER + "1,2:a\n1,inf:b\n", "line 7: a value is infinite"),
        (HEADER + "1,2:a\n1,3\n", "line 7: no class at its end"),
        (HEADER + "1,2:a\n1,3:a\n", "one class only"),
        ("@timeStamps true\n@classLabel true a\n@data\n(0,1),(1,2):a\n", "a time of its own"),
    ],
)
def test_what_is_wrong_with_a_ts_file_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(GliaError) as caught:
        glia.prepare(write(tmp_path / "bad.ts", text))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_the_official_test_part_is_found_beside_its_training_part(tmp_path: Path) -> None:
    rows, labels = many()
    write(tmp_path / "W" / "W_TRAIN.ts", as_ts(rows[:40], labels[:40]))
    write(tmp_path / "W" / "W_TEST.ts.gz", as_ts(rows[40:], labels[40:]))
    for source in (tmp_path / "W", tmp_path / "W" / "W_TRAIN.ts"):
        data = glia.prepare(str(source))
        assert data.valid is None and "held out for validation" in " ".join(data.notes)
        for got, want in zip(steps(data.train), rows[:40], strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-6)
        assert data.test is not None and len(data.test) == 20
    assert glia.prepare(str(tmp_path / "W"), valid_share=0.25).valid is not None
    every = np.concatenate(rows[:40])
    np.testing.assert_allclose(data.facts.mean, every.mean(0), rtol=1e-5)  # type: ignore[union-attr]
    np.testing.assert_allclose(data.facts.std, every.std(0), rtol=1e-5)  # type: ignore[union-attr]


def test_every_form_of_a_source_gives_the_same_series(tmp_path: Path) -> None:
    rows, labels = many()
    alone = glia.prepare(str(write(tmp_path / "x.ts", as_ts(rows, labels))))
    shuffled = as_long(rows, labels).sample(fraction=1.0, shuffle=True, seed=1).sort("who", maintain_order=True)
    order = shuffled["who"].unique(maintain_order=True).to_list()
    long = glia.prepare(shuffled, series="who", time="t", target="kind")
    for i, (row, label) in enumerate(zip(rows, labels)):
        pl.DataFrame(row, schema=["x", "y"]).write_csv(write(tmp_path / "c" / label / f"{i}.csv", ""))
    folders = glia.prepare(str(tmp_path / "c"))
    padded = np.full((60, 12, 2), np.nan)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    arrays = glia.prepare((padded, np.array(labels)), kind="series")
    place = {f"s{i}": i for i in range(60)}
    numbers = {
        "ts": list(range(60)),
        "long": [place[name] for name in order],
        "folders": [int(Path(folders.reader.name_of(i)).stem) for i in range(60)],  # type: ignore[attr-defined]
        "arrays": list(range(60)),
    }
    for name, data in {"ts": alone, "long": long, "folders": folders, "arrays": arrays}.items():
        parts = [part for part in (data.train, data.test) if part is not None]
        assert sum(map(len, parts)) == 60 and len(parts) == 2
        for part in parts:
            for got, number, target in zip(steps(part), part.rows.tolist(), part.targets.tolist(), strict=True):
                np.testing.assert_allclose(got, rows[numbers[name][number]], rtol=1e-6)
                assert data.task.classes[target] == labels[numbers[name][number]]


def test_a_wide_table_is_a_row_a_series(tmp_path: Path) -> None:
    path = write(
        tmp_path / "w.csv",
        "kind,a,b,c\n" + "".join(f"{'xy'[i % 2]},{i},{i + 1},{'' if i % 3 else 7}\n" for i in range(30)),
    )
    data = glia.prepare(str(path), kind="series", target="kind")
    assert data.facts.shape == (3, 1)
    got = dict(zip(data.train.rows.tolist(), steps(data.train)))
    for row, values in got.items():
        assert values[:, 0].tolist() == [row, row + 1] + ([] if row % 3 else [7])


def test_subjects_and_copies_stay_in_one_part() -> None:
    rows, labels = many(120)
    rows[7] = rows[3]
    frame = as_long(rows, labels)
    subject = frame["who"].str.slice(1).cast(pl.Int64) % 10
    data = glia.prepare(frame.with_columns(who2=subject), series="who", target="kind", group="who2", valid_share=0.2)
    parts = [{int(r) for r in part.rows} for part in (data.train, data.valid, data.test) if part is not None]
    assert len(parts) == 3
    of = [{row % 10 for row in part} for part in parts]
    assert not (of[0] & of[1] or of[0] & of[2] or of[1] & of[2])
    assert any({3, 7} <= part for part in parts)  # equal series, in subjects 3 and 7


def test_an_answer_that_changes_within_a_series_is_told_with_its_name() -> None:
    frame = as_long(*many(12)).with_row_index()
    frame = frame.with_columns(
        kind=pl.when((pl.col("who") == "s5") & (pl.col("t") == 3)).then(pl.lit("odd")).otherwise(pl.col("kind"))
    ).drop("index")
    with pytest.raises(GliaError, match="'kind' changes within series 's5'"):
        glia.prepare(frame, series="who", target="kind")
    with pytest.raises(GliaError, match="has no values"):
        empty = frame.with_columns(
            x=pl.when(pl.col("who") != "s5").then("x"), y=pl.when(pl.col("who") != "s5").then("y")
        )
        glia.prepare(empty, series="who", target="t", time="t")


def test_files_of_other_channels_are_left_out_up_to_a_limit(tmp_path: Path) -> None:
    rows, labels = many(30)
    for i, (row, label) in enumerate(zip(rows, labels)):
        names = ["x", "z"] if i == 9 else ["x", "y"]
        pl.DataFrame(row, schema=names).write_csv(write(tmp_path / label / f"{i}.csv", ""))
    data = glia.prepare(str(tmp_path))
    assert data.card["rows"] == 29 and "1 of 30 files cannot be read" in data.notes[0]
    with pytest.raises(GliaError, match="9.csv: channels"):
        glia.prepare(str(tmp_path), bad_limit=0.0)


def test_numbers_for_answers_are_standardised_by_training_rows() -> None:
    rows, _ = many(80)
    values = [float(row.mean()) * 100 for row in rows]
    frame = as_long(rows, [str(value) for value in values]).with_columns(pl.col("kind").cast(pl.Float64))
    data = glia.prepare(frame, series="who", target="kind")
    assert data.task.kind == "regress" and abs(float(data.train.targets.mean())) < 1e-5
    said = data.task.decode(data.train.targets)[:, 0].tolist()
    np.testing.assert_allclose(said, [values[row] for row in data.train.rows.tolist()], rtol=1e-4, atol=1e-3)


def test_augmentations_by_name() -> None:
    made = by_name("jitter=0.2,scaling,window_slice=0.3", (2.0,))
    assert made is not None and (made.jitter, made.scale, made.window, made.std) == (0.2, 0.1, 0.3, (2.0,))
    assert by_name("none", (1.0,)) is None and by_name("auto", (1.0,)) is None
    with pytest.raises(GliaError, match="augmentation of series"):
        by_name("flip", (1.0,))

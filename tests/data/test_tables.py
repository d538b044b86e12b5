"""Raw table to Prepared and back: what training gets, what the reader repeats, and what each fault says."""

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from glia.data.prepared import Prepared
from glia.data.tables.prepare import TableReader, prepare_table
from glia.errors import GliaError
from glia.recipe import Data

PEOPLE = {
    "age": [20 + i * 7 % 300 / 8 for i in range(300)],
    "job": [("cook", "smith", "nurse", None)[i * 7 % 4] for i in range(300)],
    "salary": [1000.0 + 37 * i for i in range(300)],
    "club": [("red", "blue")[i * i % 3 % 2] for i in range(300)],
}


def prepare(source: Any, target: str | tuple[str, ...] = (), seed: int = 0, **settings: Any) -> Prepared:
    return prepare_table(Data(source=source, target=target, **settings), seed)


def reader_again(prepared: Prepared) -> TableReader:
    return TableReader.from_dict(json.loads(json.dumps(prepared.reader.to_dict())))


def rows_of(prepared: Prepared) -> list[set[int]]:
    parts = (prepared.train, prepared.valid, prepared.test)
    return [set(part.rows.tolist()) if part is not None else set() for part in parts]


def written(tmp_path: Path, text: str, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_parts_are_disjoint_and_rows_lead_back_to_the_source() -> None:
    prepared = prepare(PEOPLE, "salary")
    train, valid, test = rows_of(prepared)
    assert (len(train), len(valid), len(test)) == (216, 24, 60)
    assert train | valid | test == set(range(300))
    assert prepared.valid is not None
    for part in (prepared.train, prepared.valid):
        salaries = prepared.task.decode(part.targets)[:, 0].tolist()
        assert salaries == pytest.approx([PEOPLE["salary"][row] for row in part.rows.tolist()], rel=1e-5)
        assert isinstance(part.inputs, torch.Tensor)
        assert part.inputs[:, 0].tolist() == [PEOPLE["age"][row] for row in part.rows.tolist()]


def test_targets_are_standardised_by_training_rows_alone() -> None:
    prepared = prepare(PEOPLE, "salary")
    assert prepared.train.targets.mean().item() == pytest.approx(0, abs=1e-5)
    assert prepared.train.targets.std(correction=0).item() == pytest.approx(1, rel=1e-5)
    assert prepared.train.targets.dtype == torch.float32


def test_nothing_is_learnt_from_other_rows() -> None:
    """Wild values in the test rows must not change what the network gets to know."""
    before = prepare(PEOPLE, "salary")
    assert before.test is not None
    wild = {name: list(column) for name, column in PEOPLE.items()}
    for row in before.test.rows.tolist():
        wild["age"][row], wild["job"][row], wild["salary"][row] = 1e6 + row, "pilot", 1e9 + row
    after = prepare(wild, "salary")
    assert rows_of(after) == rows_of(before)
    assert after.facts == before.facts
    assert after.task == before.task
    assert after.reader.to_dict()["columns"][1]["levels"] == before.reader.to_dict()["columns"][1]["levels"]


def test_a_seed_gives_one_split() -> None:
    assert rows_of(prepare(PEOPLE, "club", seed=3)) == rows_of(prepare(PEOPLE, "club", seed=3))
    assert rows_of(prepare(PEOPLE, "club", seed=3)) != rows_of(prepare(PEOPLE, "club", seed=4))


@pytest.mark.parametrize(
    ("target", "values", "kind", "classes"),
    [
        ("y", ["no", "yes"] * 30, "classify", ("no", "yes")),
        ("y", [" b", "a ", "b"] * 20, "classify", ("a", "b")),
        ("y", [True, False] * 30, "classify", ("false", "true")),
        ("y", [10, 9, 2] * 20, "classify", ("2", "9", "10")),
        ("y", [1.0, 0.0] * 30, "classify", ("0", "1")),
        ("y", ["1", "0"] * 30, "classify", ("0", "1")),
        ("y", [i / 2 for i in range(60)], "regress", ()),
        ("y", list(range(60)), "regress", ()),
        ("y", [*range(18), *[3] * 42], "regress", ()),
    ],
)
def test_task_is_worked_out(target: str, values: list[Any], kind: str, classes: tuple[str, ...]) -> None:
    task = prepare({"x": [i * 0.37 for i in range(60)], "y": values}, target).task
    assert (task.kind, task.classes) == (kind, classes)


def test_several_targets() -> None:
    x = [i * 0.37 for i in range(60)]
    yes, one = ["yes", "no", "no"] * 20, [0, 1] * 30
    labels = prepare({"x": x, "a": yes, "b": one}, ("a", "b"))
    assert (labels.task.kind, labels.task.outputs) == ("multilabel", 2)
    assert labels.train.targets.dtype == torch.float32
    assert labels.train.targets[:, 0].tolist() == [float(yes[row] == "yes") for row in labels.train.rows.tolist()]
    assert labels.card["classes"]["a"]["train"] == int(labels.train.targets[:, 0].sum())
    values = prepare({"x": x, "a": x, "b": [i**2 for i in range(60)]}, ("a", "b"))
    assert (values.task.kind, values.train.targets.shape[1]) == ("regress", 2)
    with pytest.raises(GliaError, match="target 'b' of .* is a category"):
        prepare({"x": x, "a": x, "b": ["u", "v", "w"] * 20}, ("a", "b"))
    with pytest.raises(GliaError, match="one target"):
        prepare({"x": x, "a": yes, "b": one}, ("a", "b"), task="classify")


def test_rows_without_an_answer_are_left_out_and_counted() -> None:
    answers = [None if i % 10 == 0 else i * 0.5 for i in range(100)]
    prepared = prepare({"x": [i * 0.37 for i in range(100)], "y": answers}, "y")
    assert sum(map(len, rows_of(prepared))) == 90
    assert not any(row % 10 == 0 for part in rows_of(prepared) for row in part)
    assert {"what": "rows", "why": "no value in the target", "count": 10} in prepared.card["dropped"]
    assert any("10 rows have no value" in note for note in prepared.notes)


def test_groups_times_and_copies_do_not_straddle() -> None:
    table = PEOPLE | {
        "house": [f"h{i // 4}" for i in range(300)],
        "day": [f"2024-{1 + i // 28:02d}-{1 + i % 28:02d}" for i in range(300)],
    }
    grouped = prepare(table, "salary", group="house")
    houses = [{row // 4 for row in part} for part in rows_of(grouped)]
    assert not (houses[0] & houses[1] or houses[0] & houses[2] or houses[1] & houses[2])
    assert "house" not in [column.plan.name for column in reader_again(grouped).columns]
    timed = prepare(table, "salary", time="day")
    train, valid, test = rows_of(timed)
    assert max(train) < min(valid)
    assert max(valid) < min(test)
    doubled = {name: column * 2 for name, column in PEOPLE.items()}
    copies = prepare(doubled, "salary")
    assert copies.card["duplicates"] >= 300
    assert not any({(row + 300) % 600 for row in part} - part for part in rows_of(copies))


def test_few_forms_of_rows_are_in_every_part() -> None:
    """Exclusive or: 4 different rows, 200 times each. To keep equal rows together would leave a case unlearnt."""
    rows = [(a, b) for a in (0, 1) for b in (0, 1)] * 200
    prepared = prepare({"a": [a for a, _ in rows], "b": [b for _, b in rows], "y": [a ^ b for a, b in rows]}, "y")
    assert isinstance(prepared.train.inputs, torch.Tensor)
    assert len(prepared.train.inputs.unique(dim=0)) == 4
    assert any("only 4 different forms" in note for note in prepared.notes)


def test_the_reader_repeats_the_preparation_from_its_dict(tmp_path: Path) -> None:
    frame = pl.DataFrame(PEOPLE)
    sources: list[Any] = [
        frame,
        PEOPLE,
        frame.to_pandas(),
        tmp_path / "p.csv",
        tmp_path / "p.tsv",
        tmp_path / "p.parquet",
    ]
    sources.append(tmp_path / "p.jsonl")
    frame.write_csv(sources[3])
    frame.write_csv(sources[4], separator="\t")
    frame.write_parquet(sources[5])
    frame.write_ndjson(sources[6])
    prepared = prepare(sources[3], "club")
    reader = reader_again(prepared)
    assert reader == prepared.reader
    for source in sources:
        raws = list(reader.stream(source, targets=True, rows=64))
        assert [len(raw.inputs) for raw in raws] == [64, 64, 64, 64, 44]
        inputs, targets = (torch.cat(part) for part in zip(*((raw.inputs, raw.targets) for raw in raws)))
        assert torch.equal(inputs[prepared.train.rows], prepared.train.inputs)
        assert torch.equal(targets[prepared.train.rows], prepared.train.targets)
        assert raws[1].names[0] == "64"
        assert raws[1].cells.height == 64


def test_prediction_needs_no_target_and_passes_over_other_columns(tmp_path: Path) -> None:
    reader = reader_again(prepare(PEOPLE, "salary"))
    frame = pl.DataFrame(PEOPLE)
    plain = next(reader.stream(frame.select("club", "job", "age"), rows=300))
    more = next(reader.stream(frame.with_columns(extra=pl.lit("x")), rows=300))
    assert torch.equal(plain.inputs, more.inputs)
    assert plain.targets is None
    with pytest.raises(GliaError, match=r"no column 'age' in .*Try: 'Age'"):
        next(reader.stream(frame.rename({"age": "Age"})))
    with pytest.raises(GliaError, match="no column 'salary'"):
        next(reader.stream(frame.drop("salary"), targets=True))
    path = written(tmp_path, "age,job,club\n30,cook,red\nold,cook,red\n")
    with pytest.raises(GliaError, match=r"t\.csv, line 3, column 'age': 'old' is not a number"):
        next(reader.stream(path))


def test_unseen_levels_and_empty_cells() -> None:
    reader = reader_again(prepare(PEOPLE, "salary"))
    raw = next(reader.stream({"age": [None, 30.0], "job": ["pilot", None], "club": ["red", "green"]}))
    assert raw.inputs[0, 0].isnan()
    assert raw.inputs[:, 1].tolist() == [0, 0]
    assert raw.inputs[1, 2] == 0
    assert raw.inputs[0, 2] > 0


def test_text_that_came_typed_otherwise_later() -> None:
    table = {
        "flag": ["true", "false"] * 30,
        "x": [str(i * 1.5) for i in range(60)],
        "code": [1, 2, 3] * 20,
        "y": ["True", "False"] * 30,
    }
    reader = reader_again(prepare(table, "y", kinds={"code": "category"}))
    text = next(reader.stream(table, targets=True))
    typed = {
        "flag": [True, False] * 30,
        "x": [i * 1.5 for i in range(60)],
        "code": [1.0, 2.0, 3.0] * 20,
        "y": [True, False] * 30,
    }
    other = next(reader.stream(typed, targets=True))
    assert torch.equal(text.inputs, other.inputs)
    assert text.targets is not None
    assert other.targets is not None
    assert torch.equal(text.targets, other.targets)


def test_files_without_a_header(tmp_path: Path) -> None:
    body = [f"{i * 0.5},{'ab'[i % 2]},{i % 7 + 0.25}" for i in range(60)]
    path = written(tmp_path, "\n".join(body))
    last, by_end = prepare(path, "2"), prepare(path, "-1")
    assert last.task == by_end.task
    assert last.task.targets == ("2",)
    reader = reader_again(prepare(path, "0"))
    short = written(tmp_path, "\n".join(line.split(",", 1)[1] for line in body), "short.csv")
    assert torch.equal(next(reader.stream(short)).inputs, next(reader.stream(path)).inputs)
    with pytest.raises(GliaError, match=r"no column '15' in .*t\.csv"):
        prepare(path, "15")


def test_given_files(tmp_path: Path) -> None:
    frame = pl.DataFrame(PEOPLE)
    frame[:200].write_csv(tmp_path / "train.csv")
    frame[200:260].write_csv(tmp_path / "test.csv")
    frame[240:].drop("salary").write_csv(tmp_path / "less.csv")
    frame[180:240].with_columns(club=pl.lit("green")).write_csv(tmp_path / "green.csv")
    frame[190:240].write_parquet(tmp_path / "valid.parquet")
    prepared = prepare(tmp_path / "train.csv", "club", test=str(tmp_path / "test.csv"))
    assert [len(part) for part in rows_of(prepared)] == [180, 20, 60]
    assert prepared.test is not None
    assert prepared.test.rows.tolist() == list(range(60))
    both = prepare(
        tmp_path / "train.csv", "club", test=str(tmp_path / "test.csv"), valid=str(tmp_path / "valid.parquet")
    )
    assert [len(part) for part in rows_of(both)] == [200, 50, 60]
    assert any("10 rows of" in note and "same inputs" in note for note in both.notes)
    with pytest.raises(GliaError, match=r"no column 'salary' in .*less\.csv"):
        prepare(tmp_path / "train.csv", "club", test=str(tmp_path / "less.csv"))
    with pytest.raises(GliaError, match=r"green\.csv, line 2, column 'club': class 'green' was not seen"):
        prepare(tmp_path / "train.csv", "club", test=str(tmp_path / "green.csv"))


def test_a_rare_class_goes_to_train_and_a_late_one_is_named() -> None:
    table = {"x": [i * 0.37 for i in range(100)], "y": ["a", "b"] * 49 + ["c", "d"], "t": list(range(100))}
    prepared = prepare(table, "y", test_share=0.4)
    assert {98, 99} <= rows_of(prepared)[0]
    with pytest.raises(GliaError, match="class 'c' of target 'y' is in test rows only"):
        prepare(table, "y", time="t")


def test_limit_draws_from_the_whole_source() -> None:
    prepared = prepare(
        {"x": [i * 0.5 for i in range(9000)], "y": [i // 3000 for i in range(9000)]}, "y", limit_rows=600
    )
    assert sum(map(len, rows_of(prepared))) == 600
    assert [150 < sum(parts.values()) < 250 for parts in prepared.card["classes"].values()] == [True] * 3


def test_column_settings() -> None:
    prepared = prepare(PEOPLE, "club", drop=("age",), kinds={"salary": "category"})
    columns = reader_again(prepared).columns
    assert [(column.plan.name, column.plan.kind) for column in columns] == [("job", "category"), ("salary", "category")]
    roles = {column["name"]: (column["role"], column["why"]) for column in prepared.card["columns"]}
    assert roles["age"] == ("dropped", "you left it out")
    assert prepare(PEOPLE, "salary", task="classify", kinds={"salary": "number"}, limit_rows=20).task.kind == "classify"


def test_the_card_is_plain_json_and_knows_the_content(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    pl.DataFrame(PEOPLE).write_csv(path)
    card = prepare(path, "club").card
    assert json.loads(json.dumps(card, allow_nan=False)) == card
    assert card["rows"] == 300
    assert sum(card["parts"].values()) == 300
    job = next(column for column in card["columns"] if column["name"] == "job")
    assert (job["kind"], job["missing"], job["distinct"], job["role"]) == ("category", 75, 3, "input")
    assert job["stats"]["top"][0]["count"] == 75
    age = next(column for column in card["columns"] if column["name"] == "age")
    assert age["stats"]["median"] == pytest.approx(float(np.median(PEOPLE["age"])))
    assert card["imbalance"] == pytest.approx(2, abs=0.1)
    same = tmp_path / "q.csv"
    same.write_bytes(path.read_bytes())
    other = tmp_path / "r.csv"
    other.write_bytes(path.read_bytes().replace(b"cook", b"chef", 1))
    assert prepare(same, "club").card["fingerprint"] == card["fingerprint"]
    assert prepare(other, "club").card["fingerprint"] != card["fingerprint"]
    assert len(prepare(PEOPLE, "club").card["fingerprint"]) == 64


def test_a_column_that_does_not_vary_in_train_is_dropped_with_its_reason() -> None:
    table = PEOPLE | {
        "when": ["2024-01-01"] * 299 + ["2024-01-01 "],
        "late": ["2024-01-01"] * 260 + ["2024-02-01"] * 40,
    }
    table["t"] = list(range(300))
    prepared = prepare(table, "salary", time="t")
    why = {column["name"]: column["why"] for column in prepared.card["columns"] if column["role"] == "dropped"}
    assert why["when"].startswith("every value is")
    assert "varies among the training rows" in why["late"]


BAD = {
    "target": ("a,b\n1,2\n3,4\n", {"target": "bb"}, r"no column 'bb' in .*Try: 'b'"),
    "one class": ("a,b\n1.5,x\n3,x\n4,x\n", {"target": "b"}, "one class only, 'x'"),
    "one value": ("a,b\n1.5,7\n3,7\n4,7\n", {"target": "b", "task": "regress"}, "every value of target 'b'"),
    "no answer": ("a,b\n1,?\n2,\n", {"target": "b"}, "no row of .* has a value in target 'b'"),
    "no inputs": (
        "a,b\n,1\n?,2\nNA,3\n",
        {"target": "b"},
        "no column of .* can be learnt from.*every value is missing",
    ),
    "only target": ("b\n1\n2\n3\n", {"target": "b"}, "there is no other column"),
    "text for number": (
        "a,b\n1,2\nx1,4\n5,6\n",
        {"target": "b", "kinds": {"a": "number"}},
        r"line 3, column 'a': 'x1' is not a number",
    ),
    "text target": (
        "a,b\n1,2\n2,few\n5,6\n",
        {"target": "b", "task": "regress"},
        r"line 3, column 'b': 'few' is not a n",
    ),
    "stray target": (
        "a,b\n" + "".join(f"{i * i},{i}.5\n" for i in range(40)) + "3,many\n",
        {"target": "b"},
        r"line 42, column 'b': 'many' is not a number",
    ),
    "names as target": (
        "a,b\n" + "".join(f"{i * i},n{i}\n" for i in range(40)),
        {"target": "b"},
        "40 different values in 40 rows",
    ),
    "unknown kind": ("a,b\n1,2\n3,4\n", {"target": "b", "kinds": {"a": "categry"}}, "Try: 'category'"),
    "kind of no column": ("a,b\n1,2\n3,4\n", {"target": "b", "kinds": {"c": "number"}}, "no column 'c'"),
    "group": ("a,b\n1,2\n3,4\n", {"target": "b", "group": "hous"}, "no column 'hous'"),
    "one group": ("a,b,g\n1,2,x\n3,4.5,x\n5,6,x\n", {"target": "b", "group": "g"}, "one value in group column 'g'"),
    "time": ("a,b,t\n1,2,1\n3,4,\n5,6.5,3\n", {"target": "b", "time": "t"}, r"line 3: no value in time column 't'"),
    "time text": ("a,b,t\n1,2,u\n3,4,v\n5,6.5,u\n", {"target": "b", "time": "t"}, "'u'; expected numbers or dates"),
    "group and time": ("a,b,t\n1,2,1\n3,4.5,2\n", {"target": "b", "time": "t", "group": "a"}, "at once"),
    "dropped target": ("a,b\n1,2\n3,4\n", {"target": "b", "drop": ("b",)}, "cannot be left out"),
    "no target": ("a,b\n1,2\n3,4\n", {}, "no target for .*; expected one of its columns: a, b"),
    "few rows": ("a,b\n1,2\n3,4\n", {"target": "b"}, "2 usable rows; expected at least 3"),
    "multilabel": (
        "a,b,c\n1,0,1\n2,1,3\n3,1,1\n",
        {"target": ("b", "c"), "task": "multilabel"},
        r"line 3, column 'c': '3'",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_tables_are_explained_in_one_line(tmp_path: Path, fault: str) -> None:
    text, settings, says = BAD[fault]
    path = written(tmp_path, text)
    with pytest.raises(GliaError, match=says) as caught:
        prepare(path, **settings)
    assert "\n" not in str(caught.value)
    assert fault in ("dropped target", "group and time", "unknown kind") or "t.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.csv", None, "no such file"),
        ("empty.csv", b"", "is empty"),
        ("header.csv", b"a,b\n", "no rows"),
        ("bytes.csv", bytes(range(256)) * 20, "is not text"),
        ("cut.parquet", b"PAR1 cut off", "cannot be read as Parquet"),
        ("twice.csv", b"a,a\n1,2\n", "two columns called 'a'"),
        ("ragged.csv", b"a,b\n1,2\n1,2,3\n", "line 3: 3 cells; expected 2"),
    ],
)
def test_bad_files_are_explained_in_one_line(tmp_path: Path, name: str, content: bytes | None, says: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(GliaError, match=says) as caught:
        prepare(path, "b")
    assert name in str(caught.value)


def test_adult(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    train, test = shared_data("adult/adult-train.csv.gz"), shared_data("adult/adult-test.csv.gz")
    prepared = prepare(train, "-1")
    assert prepared.task.classes == ("<=50K", ">50K")
    assert isinstance(prepared.train.inputs, torch.Tensor)
    assert prepared.train.inputs.shape == (23_444, 14)
    assert [parts["test"] for parts in prepared.card["classes"].values()] == pytest.approx([4944, 1568], abs=5)
    with pytest.raises(GliaError, match=r"end in '\.' \('<=50K\.'\).*Try: delete that dot"):
        prepare(train, "14", test=str(test))
    reader = reader_again(prepared)
    frame = next(reader.stream(train, rows=40_000)).cells
    start = time.process_time()
    raw = next(reader.stream(frame, rows=40_000))
    assert time.process_time() - start < 1
    assert torch.equal(raw.inputs[prepared.train.rows], prepared.train.inputs)


def test_titanic_and_housing(shared_data: Callable[[str], Path]) -> None:
    titanic = prepare(shared_data("titanic/train.csv"), "Survived")
    assert [column.plan.name for column in reader_again(titanic).columns] == [
        *("Pclass", "Name", "Sex", "Age", "SibSp", "Parch", "Fare", "Cabin", "Embarked"),
    ]
    unlabelled = next(reader_again(titanic).stream(shared_data("titanic/test.csv")))
    names = titanic.facts.names  # type: ignore[union-attr]
    assert unlabelled.inputs.shape == (418, len(names))
    # What a person would call by its title is told apart, and whether a cabin is known.
    assert {"Name.mr", "Name.mrs", "Name.miss", "Name.master"} <= set(names)
    cabin = pl.read_csv(shared_data("titanic/test.csv"))["Cabin"].is_not_null().cast(pl.Float32).to_numpy()
    assert (unlabelled.inputs[:, names.index("Cabin")].numpy() == cabin).all()
    married = pl.read_csv(shared_data("titanic/test.csv"))["Name"].str.contains("Mrs").to_numpy()
    assert (unlabelled.inputs[:, names.index("Name.mrs")].numpy() == married).all()
    with pytest.raises(GliaError, match=r"no column 'suvived'.*Try: 'Survived'"):
        prepare(shared_data("titanic/train.csv"), "suvived")
    housing = prepare(shared_data("california-housing/housing.csv.gz"), "median_house_value")
    assert housing.facts.gaps.count(True) == 1  # type: ignore[union-attr]
    assert housing.facts.levels[-1] in (5, 6)  # type: ignore[union-attr]


def test_pandas_as_it_comes() -> None:
    frame = pd.DataFrame(PEOPLE)
    frame["kind"] = pd.Categorical(["u", "v"] * 150)
    frame["day"] = pd.date_range("2024-01-01", periods=300, freq="D")
    frame.loc[3, "day"] = pd.NaT
    prepared = prepare(frame, "club")
    kinds = {column.plan.name: column.plan.kind for column in reader_again(prepared).columns}
    assert kinds == {"age": "number", "job": "category", "salary": "number", "kind": "category", "day": "date"}
    buffer = io.StringIO()
    frame.to_csv(buffer)
    again = pl.read_csv(io.StringIO(buffer.getvalue()), infer_schema=False)
    assert torch.equal(
        next(prepared.reader.stream(frame, rows=300)).inputs.nan_to_num(),
        next(prepared.reader.stream(again, rows=300)).inputs.nan_to_num(),
    )

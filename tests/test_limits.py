"""Limits: what is beyond one is refused in one line that says how to allow more, and then it is read."""

import gzip
import io
import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import polars as pl
import pytest
import safetensors.torch
import torch
from PIL import Image

import glia
from glia import limits
from glia.cli.main import main
from glia.data.images.decode import Unreadable, decode, read_header
from glia.data.images.pixels import decode_all
from glia.data.prepared import allowing
from glia.data.series.found import Asked
from glia.data.tables.read import open_table, read
from glia.data.tables.source import ReadOptions
from glia.errors import GliaError
from glia.models.weights import Files
from glia.recipe import Recipe
from glia.workbench.prepare import READERS


def load(path: Path, **raised: int) -> Any:
    options = ReadOptions(limits=raised)
    return read(open_table(path, options), options.limits).frame


def test_a_command_line_sets_them() -> None:
    assert Recipe.of(limits="pixels=200e6, columns=50000").data.limits == {"pixels": 200_000_000, "columns": 50_000}
    assert Recipe.from_toml(Recipe.of(limits="depth=40").to_toml()).data.limits == {"depth": 40}
    for text, says in (("pixel=2", "'pixels'"), ("pixels=many", "a number for pixels"), ("pixels=0", "above 0")):
        with pytest.raises(GliaError, match=says):
            Recipe.of(limits=text)


def test_the_table_of_limits_is_what_holds() -> None:
    with pytest.raises(GliaError) as fault:
        limits.check("columns", 10_001, "t.csv", limits.USUAL)
    assert str(fault.value) == (
        "t.csv: too many columns of a table; got 10,001; expected at most 10,000. "
        "Try: --limits columns=10001 if this is meant"
    )
    limits.check("columns", 10_001, "t.csv", {"columns": 10_001})


@pytest.mark.parametrize(
    ("name", "data", "limit"),
    [
        ("wide.csv", ",".join(f"c{i}" for i in range(10_001)) + "\n" + ",".join("1" * 10_001) + "\n", "columns"),
        ("cell.csv", "a,b\n1,2\n3," + "x" * 1_000_001 + "\n", "cell_chars"),
        ("keys.jsonl", json.dumps({f"c{i}": 1 for i in range(10_001)}) + "\n", "columns"),
        ("deep.jsonl", '{"a": ' + "[" * 40 + "]" * 40 + "}\n", "depth"),
    ],
)
def test_tables_beyond_a_limit(tmp_path: Path, name: str, data: str, limit: str) -> None:
    path = tmp_path / name
    path.write_text(data)
    with pytest.raises(GliaError, match=limit if limit != "cell_chars" else "line 3: cells.*larger than field limit"):
        load(path)
    assert len(load(path, **{limit: 2 * limits.LIMITS[limit].most})) >= 1


def test_a_line_without_end_is_refused_before_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n" + "7" * 3_000_000 + "\n")
    with pytest.raises(GliaError, match=r"t\.csv, line 3: too many characters of a line"):
        load(path, line_chars=2_000_000)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 50_000_000, 1))
    with pytest.raises(GliaError, match="one packed byte"):
        load(tmp_path / "t.csv.gz")


def test_deep_json_of_any_depth_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}\n")
    with pytest.raises(GliaError, match="line 1: JSON within JSON.*depth=100"):
        load(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(GliaError, match="no plain file"):
        load(tmp_path / "t.csv")
    os.mkfifo(tmp_path / "t.png")
    with pytest.raises(Unreadable, match="no plain file"):
        read_header(tmp_path / "t.png")


def test_pictures_beyond_the_limit_are_read_where_that_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.new("1", (9000, 8000), 1).save(path)
    with pytest.raises(Unreadable, match="--limits pixels=72000000"):
        read_header(path)
    assert read_header(path, {"pixels": 72_000_000}).width == 9000
    assert (decode(path.read_bytes(), 1, (8, 8), {"pixels": 72_000_000}) == 255).all()


def test_arrays_that_promise_too_much(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.zeros((2000, 300, 300), np.uint8), y=np.arange(2000) % 2)
    with pytest.raises(GliaError, match="one packed byte"):
        glia.prepare(str(path))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**12, 8, 8)})
    (tmp_path / "x.npy").write_bytes(header.getvalue() + bytes(64))
    np.save(tmp_path / "y.npy", np.arange(10) % 2)
    with pytest.raises(GliaError, match="are promised, 64 bytes are there"):
        glia.prepare(str(tmp_path / "x.npy"))


def test_headers_of_weights(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes((100 * 2**30).to_bytes(8, "little") + b"{}")
    with pytest.raises(GliaError, match="a header of 107,374,182,400 bytes in a file of 10"):
        Files.of(path)
    path.write_bytes(safetensors.torch.save({"w": torch.ones(2)}))
    with pytest.raises(GliaError, match="too many bytes of a safetensors header"):
        Files.of(path, {"header_bytes": 10})


def test_recipes_of_the_wrong_kind(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    for data, says in (
        (b"# " + b"x" * 1_000_000, "too many bytes of a recipe"),
        (b"[data]\nsource = " + b"[" * 10_000 + b"]" * 10_000, "settings within settings"),
        (b"[data]\nsource = " + b"[" * 40 + b"]" * 40, "settings within settings"),
        (b".".join([b"a"] * 300_000) + b" = 1", "settings within settings"),
        (b"\xff\xfe", "is no recipe"),
        (b"a = " + b"1" * 5000, "is not valid TOML"),
    ):
        path.write_bytes(data)
        with pytest.raises(GliaError, match=says):
            Recipe.read(path)


def test_predict_and_evaluate_allow_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(
        "a,b,y\n" + "".join(f"{i},{'rs'[i % 2]},{'no' if i < 20 else 'yes'}\n" for i in range(40))
    )
    settings = {"model": "mlp", "hidden": [4], "lr": 0.01, "epochs": 1, "baselines": False, "doctor": False}
    glia.train("t.csv", target="y", name="run", **settings)
    (tmp_path / "new.csv").write_text(f"a,b,y\n1,{'x' * 1_000_001},no\n")
    for words in (["predict", "runs/run", "new.csv"], ["evaluate", "runs/run", "new.csv"]):
        monkeypatch.setattr("sys.argv", ["glia", *words])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 2 and "--limits cell_chars=" in capsys.readouterr().err
        for text, code in (("cell_chars=2e6", 0), ("cell_char=2e6", 2)):
            monkeypatch.setattr("sys.argv", ["glia", *words, "--limits", text])
            with pytest.raises(SystemExit) as end:
                main()
            assert (end.value.code or 0) == code, capsys.readouterr().err
    assert glia.open("runs/run").predict("new.csv", limits={"cell_chars": 2_000_000}).height == 1


@pytest.mark.parametrize("kind", [name for name in READERS if name != "tensor"])
def test_every_reader_of_files_holds_the_limits(kind: str) -> None:
    """Where `allowing` looks for them; a reader that keeps them elsewhere would ignore --limits in silence."""
    raised, known = {"pixels": 7}, get_type_hints(READERS[kind])
    held = {"limits": {"depth": 3}}
    where = next(name for name in ("limits", "options", "asked") if name in known)
    if where != "limits":
        inner = ReadOptions(limits=held["limits"])
        held = {where: inner if where == "options" else Asked("long", options=inner)}
    reader = READERS[kind].__new__(READERS[kind])
    for one in fields(reader):
        object.__setattr__(reader, one.name, held.get(one.name, 0))
    found = allowing(reader, raised)
    found = getattr(found, "asked", found)
    assert (found.limits if where == "limits" else found.options.limits) == {"depth": 3, "pixels": 7}


def test_a_quote_that_stays_open_loses_no_rows_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,b\n1,x\n2,"y\n3,z\n4,z\n')
    with pytest.raises(GliaError, match="line 3: cells cannot be told apart.*never closed"):
        load(path)
    path.write_text('a,b\n1,x\n2,"y\n3"\n4,"z"q\n')  # a cell of two lines, and a sign behind a quote, are no fault
    assert load(path)["b"].to_list() == ["x", "y\n3", "zq"]


def test_zeros_where_text_should_be(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n" * 2000 + bytes(500))
    with pytest.raises(GliaError, match="line 2002: a zero byte"):
        load(path)


def test_folders_that_differ_by_a_number(tmp_path: Path) -> None:
    for name in ("dog", "dog2", "dog10", "9" * 200):
        (tmp_path / name).mkdir()
        for i in range(4):
            Image.new("L", (8, 8), i + len(name)).save(tmp_path / name / f"p{i}.png")
    classes = glia.prepare(str(tmp_path)).task.classes
    assert classes == ("9" * 200, "dog", "dog2", "dog10")


def test_half_a_character(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    for text in ('{"a": "\\ud800"}', '{"\\uDFFF": 1}'):
        path.write_text('{"a": "\\ud83d\\ude00"}\n' + text + "\n")
        with pytest.raises(GliaError, match="line 2: half of a character"):
            load(path)


def test_dates_that_no_calendar_has(tmp_path: Path) -> None:
    days = pl.Series("day", [-2_000_000, 0, 10_000_000, 2**31 - 1, -(2**31), None], dtype=pl.Int32).cast(pl.Date)
    times = pl.Series("time", [-(2**63), 0, 2**63 - 1, 2**62, 1, None], dtype=pl.Int64).cast(pl.Datetime("ms"))
    pl.DataFrame({"day": days, "time": times}).write_parquet(tmp_path / "t.parquet")
    read = load(tmp_path / "t.parquet")
    assert [None if d is None else d.year for d in read["day"].to_list()] == [None, 1970, None, None, None, None]
    assert [None if d is None else d.year for d in read["time"].to_list()] == [None, 1970, None, None, 1970, None]


def test_a_panic_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"a": [1, 2]}).write_parquet(path)

    def panic(*given: Any, **named: Any) -> None:
        os.write(2, b"thread 'polars' panicked at mod.rs:1\n")
        raise pl.exceptions.PanicException("range end index 6432 out of range")

    monkeypatch.setattr(pl, "scan_parquet", panic)
    with pytest.raises(GliaError, match="cannot be read as Parquet; got range end"):
        load(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", ["U1", "datetime64[s]", complex])
def test_arrays_of_no_numbers(tmp_path: Path, kind: Any) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones((8, 4, 4)).astype(int).astype(kind), y=np.arange(8) % 2)
    with pytest.raises(GliaError, match="holds no pictures; got values of type"):
        glia.prepare(str(tmp_path / "a.npz"))


def test_settings_beyond_sense(tmp_path: Path) -> None:
    for settings in ({"lr": float("inf")}, {"lr": "nan"}, {"hidden": "8,0"}, {"weight_decay": float("inf")}):
        with pytest.raises(GliaError, match=f"setting {next(iter(settings))}"):
            Recipe.of(**settings)
    with pytest.raises(GliaError, match="cannot be looked at; got File name too long"):
        glia.prepare("x" * 5000)
    with pytest.raises(GliaError, match="does not fit in memory"):
        glia.build("mlp", glia.prepare("iris"), hidden=[10**13])


def test_a_run_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("")
    (tmp_path / "status.json").write_text("1.5")
    with pytest.raises(GliaError, match="status.json cannot be read; got float"):
        glia.resume(tmp_path)


def test_a_message_stays_one_that_people_can_read() -> None:
    with pytest.raises(GliaError) as fault:
        Recipe.from_toml(f"[data]\n{'x' * 100_000} = 1")
    assert len(str(fault.value)) < 1000 and str(fault.value).startswith("unknown setting in [data] of recipe 'xxx")
    with pytest.raises(GliaError, match="setting hidden .*less than or equal to 1000000000"):
        Recipe.of(hidden=[10**20])


def test_what_a_library_writes_below_python_is_held_back(tmp_path: Path, capfd: Any) -> None:
    path = tmp_path / "a.tif"
    Image.effect_noise((12, 12), 90).save(path, compression="tiff_lzw")
    data = path.read_bytes()
    paths = [tmp_path / f"{i}.tif" for i in range(8, 40)]
    for i, broken in enumerate(paths, 8):
        broken.write_bytes(data[:i] + b"\xff\xff\xff" + data[i + 3 :])
    with pytest.raises(Unreadable):
        decode(paths[0].read_bytes(), 1, (12, 12))
    assert "Using code not yet in table" in capfd.readouterr().err  # said by libtiff
    assert decode_all(paths, 1, (12, 12)).broken
    assert capfd.readouterr().err == ""
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"

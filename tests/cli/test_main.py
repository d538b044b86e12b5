"""The command line, as a person meets it: what works, and one clear line for what does not."""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from glia.cli.main import main

Glia = Callable[..., tuple[int, str, str]]


@pytest.fixture
def glia(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Glia:
    """``glia("train", "rows.csv")`` in a folder of its own: (exit code, output, errors)."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["glia", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def rows(path: Path, count: int = 150, **columns: object) -> Path:
    """A small table with a rule: `label` is yes where a + b > 0, and z = 3 a - b."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=count), rng.normal(size=count)
    frame = pl.DataFrame({"a": a, "b": b, "c": [["red", "blue", "green"][i % 3] for i in range(count)]})
    frame = frame.with_columns(label=pl.Series(np.where(a + b > 0, "yes", "no")), z=pl.Series(3 * a - b))
    frame.with_columns(**columns).write_csv(path)
    return path


QUICK = ("epochs=6", "threads=1", "lr=0.01")


def test_train_evaluate_predict_report_resume_list(glia: Glia, tmp_path: Path) -> None:
    rows(tmp_path / "rows.csv")
    code, out, err = glia("train", "rows.csv", "--target", "label", "--drop", "z", *QUICK)
    assert code == 0, err
    for word in ("rows.csv: 150 rows", "label: one of 2 classes (no, yes)", "majority class", "runs/rows/report.html"):
        assert word in out
    run = tmp_path / "runs" / "rows"
    for name in ("recipe.toml", "metrics.json", "history.csv", "report.html", "model/best.safetensors"):
        assert (run / name).is_file(), name
    assert json.loads((run / "status.json").read_text())["state"] == "finished"
    assert glia("evaluate", "runs/rows", "rows.csv")[0] == 0
    pl.read_csv("rows.csv").drop("label", "z").write_csv("new.csv")
    code, out, err = glia("predict", "runs/rows", "new.csv")
    assert code == 0 and "150 predictions" in out
    predicted = pl.read_csv("new-predictions.csv")
    assert predicted.columns == ["row", "prediction", "p_no", "p_yes"]
    truth = pl.read_csv("rows.csv")["label"]
    assert (predicted["prediction"] == truth).mean() > 0.85
    code, _, err = glia("predict", "runs/rows", "new.csv")
    assert code == 2 and "exists already" in err
    assert glia("report", "runs/rows")[:2] == (0, "runs/rows/report.html\n")
    assert glia("resume", "runs/rows")[0] == 2
    assert "runs/rows" in glia("list", "runs")[1]
    code, out, _ = glia("train", "--recipe", "runs/rows/recipe.toml", "--name", "again", "-q")
    assert code == 0
    same = ("model/best.safetensors", "chart.jsonl", "predictions/test.safetensors")
    assert all((run / name).read_bytes() == (run.parent / "again" / name).read_bytes() for name in same)


def test_regression_and_several_targets(glia: Glia, tmp_path: Path) -> None:
    rows(tmp_path / "rows.csv", on=pl.col("a") > 0, off=pl.col("b") > 0.3)
    code, out, err = glia("train", "rows.csv", "--target", "z", "--drop", "label", *QUICK, "epochs=40")
    assert code == 0, err
    metrics = json.loads((tmp_path / "runs/rows/metrics.json").read_text())
    assert metrics["test"]["r2"] > 0.9
    code, out, err = glia("train", "rows.csv", "--target", "on,off", "--drop", "label,z", *QUICK, "epochs=40")
    assert code == 0, err
    assert "yes or no for each of on, off" in out
    glia("predict", "runs/rows-2", "rows.csv", "-o", "p.parquet")
    assert pl.read_parquet("p.parquet").columns == ["row", "prediction_on", "p_on", "prediction_off", "p_off"]


def test_pictures(glia: Glia, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label, level in (("dark", 40), ("light", 180)):
        for number in range(20):
            path = tmp_path / "photos" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((level + rng.integers(0, 40, (20, 20, 3))).astype(np.uint8)).save(path)
    (tmp_path / "photos" / "dark" / "broken.png").write_bytes(b"\x89PNG and no more")
    code, out, err = glia("train", "photos", "--bad-limit", "0.2", *QUICK)
    assert code == 0, err
    assert "broken.png" in out
    code, out, err = glia("predict", "runs/photos", "photos/dark/3.png", "-o", "p.csv")
    assert code == 0, err
    assert pl.read_csv("p.csv")["prediction"].to_list() == ["dark"]


def test_a_loss_that_is_not_finite_is_said_and_the_run_kept(glia: Glia, tmp_path: Path) -> None:
    rows(tmp_path / "rows.csv")
    code, out, _ = glia("train", "rows.csv", "target=z", "model=mlp", "epochs=30", "lr=1e30", "clip=0", "optimizer=sgd")
    assert code == 1 and "the loss became" in out and "at step" in out
    run = tmp_path / "runs" / "rows"
    status = json.loads((run / "status.json").read_text())
    assert status["state"] == "failed" and "at step" in status["why"]
    assert (run / "report.html").is_file() and (run / "model").is_dir()


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["list"], ["list", "models"], ["list", "settings"]])
def test_help(glia: Glia, words: list[str]) -> None:
    code, out, _ = glia(*words)
    assert code == 0 and len(out.splitlines()) >= 1
    if words == ["train", "--help"]:
        assert "--weight-decay" in out and "--test-share" in out


def broken_inputs(folder: Path) -> None:
    """Files with something wrong in each."""
    rows(folder / "rows.csv")
    rows(folder / "one.csv", label=pl.lit("yes"))
    rows(folder / "void.csv", a=pl.lit(None), b=pl.lit(None), c=pl.lit(None), z=pl.lit(None))
    (folder / "empty.csv").write_text("")
    (folder / "head.csv").write_text("a,b,label\n")
    (folder / "text.csv").write_text("a,b,label\n" + "1,2,yes\n3,4,no\n" * 20 + "5,oops,no\n")
    (folder / "bad.parquet").write_bytes(b"PAR1 cut short")
    (folder / "noise.csv").write_bytes(bytes(range(256)) * 20)
    (folder / "nothing").mkdir()
    (folder / "torn" / "a").mkdir(parents=True)
    (folder / "torn" / "b").mkdir()
    for number in range(6):
        (folder / "torn" / "ab"[number % 2] / f"{number}.png").write_bytes(b"not a picture")


BROKEN = [
    (["train", "gone.csv"], ["gone.csv"]),
    (["train", "empty.csv", "target=label"], ["empty.csv"]),
    (["train", "head.csv", "target=label"], ["head.csv"]),
    (["train", "rows.csv"], ["target", "label"]),
    (["train", "rows.csv", "target=lable"], ["'lable'", "'label'", "rows.csv"]),
    (["train", "rows.csv", "target=label", "group=famly"], ["famly"]),
    (["train", "one.csv", "target=label"], ["label", "yes"]),
    (["train", "void.csv", "target=label"], ["void.csv"]),
    (["train", "text.csv", "target=label", "kinds=b=number"], ["text.csv", "'oops'", "b"]),
    (["train", "bad.parquet", "target=label"], ["bad.parquet"]),
    (["train", "noise.csv", "target=label"], ["noise.csv"]),
    (["train", "nothing"], ["nothing"]),
    (["train", "torn"], ["6 of 6", "a/0.png"]),
    (["train", "rows.csv", "target=label", "epochs=-1"], ["epochs", "-1"]),
    (["train", "rows.csv", "target=label", "epoks=3"], ["'epoks'", "'epochs'"]),
    (["train", "rows.csv", "target=label", "--optimiser", "adamw"], ["'optimiser'", "'optimizer'"]),
    (["train", "rows.csv", "target=label", "model=resnet9000"], ["resnet9000"]),
    (["train", "rows.csv", "target=label", "model=lenet5"], ["lenet5", "tabm"]),
    (["train", "rows.csv", "target=label", "optimizer=adm"], ["'adm'", "'adam"]),
    (["train", "rows.csv", "target=label", "schedule=cosin"], ["'cosin'", "'cosine'"]),
    (["train", "rows.csv", "target=label", "model=mlp", "width=7"], ["'width'", "mlp"]),
    (["train", "rows.csv", "target=label", "monitor=valid_los"], ["'valid_los'", "'valid_loss'"]),
    (["train", "rows.csv", "target=label", "name=../x"], ["name"]),
    (["train", "rows.csv", "other.csv", "target=label"], ["SOURCE"]),
    (["train", "--recipe", "gone.toml"], ["gone.toml"]),
    (["predict", "runs/gone", "rows.csv"], ["runs/gone"]),
    (["resume", "nothing"], ["nothing"]),
    (["list", "modles"], ["'modles'", "'models'"]),
]


@pytest.mark.parametrize(("words", "expected"), BROKEN, ids=[" ".join(words) for words, _ in BROKEN])
def test_bad_input_gets_one_line(glia: Glia, tmp_path: Path, words: list[str], expected: list[str]) -> None:
    broken_inputs(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    code, out, err = glia(*words)
    assert code == 2, out + err
    line = err.strip().removeprefix("glia: ")
    assert "\n" not in line and "Traceback" not in out + err
    for word in expected:
        assert word in line, line
    after = {path: path.stat().st_mtime_ns for path in before}
    assert before == after


def test_predictions_of_bad_rows(glia: Glia, tmp_path: Path) -> None:
    rows(tmp_path / "rows.csv")
    assert glia("train", "rows.csv", "target=label", "drop=z", *QUICK, "baselines=false", "-q")[0] == 0
    pl.DataFrame({"a": [1.0], "B": [2.0]}).write_csv("short.csv")
    code, _, err = glia("predict", "runs/rows", "short.csv", "-o", "p.csv")
    assert code == 2 and "'b'" in err and not Path("p.csv").exists()
    pl.DataFrame({"a": ["1", "x"], "b": [2.0, 3.0], "c": ["red", "violet"]}).write_csv("text.csv")
    code, _, err = glia("predict", "runs/rows", "text.csv", "-o", "p.csv")
    assert code == 2 and "'x'" in err and "text.csv" in err and not Path("p.csv").exists()
    pl.DataFrame({"a": [1.0, None], "b": [2.0, 3.0], "c": ["violet", None]}).write_csv("unseen.csv")
    assert glia("predict", "runs/rows", "unseen.csv", "-o", "p.csv")[0] == 0
    assert all(math.isfinite(p) for p in pl.read_csv("p.csv")["p_yes"])


def test_a_damaged_model_is_not_used(glia: Glia, tmp_path: Path) -> None:
    rows(tmp_path / "rows.csv")
    assert glia("train", "rows.csv", "target=label", *QUICK, "baselines=false", "-q")[0] == 0
    path = tmp_path / "runs/rows/model/best.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    code, _, err = glia("predict", "runs/rows", "rows.csv", "-o", "p.csv")
    assert code == 2 and "best.safetensors is damaged" in err


def test_train_tells_what_the_doctor_finds_once(glia: Glia, tmp_path: Path) -> None:
    table = pl.read_csv(rows(tmp_path / "rows.csv", 300))
    table.with_columns(alive=pl.col("label")).write_csv(tmp_path / "leak.csv")
    words = ("train", "leak.csv", "--target", "label", "--drop", "z", "--force", *QUICK, "baselines=false")
    code, out, err = glia(*words)
    assert code == 0, err
    assert out.count("GL109 telltale-column, column 'alive'") == 1 and "make sure that it is known" in out
    code, out, err = glia(*words, "--skip", "telltale-column")
    assert code == 0 and "GL109" not in out, err
    code, out, err = glia(*words, "--skip", "telltail-column")
    assert code == 2 and "telltale-column" in err and err.count("\n") == 1

"""glia trace, as a student meets it."""

import json
import sys
from collections import OrderedDict
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import glia as package
from glia.cli.main import main

Glia = Callable[..., tuple[int, str, str]]
NET = """
x = [0.5, 0.8]
y = [1.0]
loss = "half_mse"
lr = 0.1

[[layer]]
weights = [[0.4, -0.2], [0.3, 0.6]]
bias = [0.1, 0.0]
activation = "relu"

[[layer]]
weights = [[0.7, -0.5]]
bias = [0.2]
"""


@pytest.fixture
def glia(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Glia:
    """``glia("trace", "net.toml")`` in a folder of its own, at 80 columns: (exit code, output, errors)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

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


def squeezed(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_network_in_a_file(glia: Glia, tmp_path: Path) -> None:
    """z1 = 0.14 and 0.63, both above 0; z2 = 0.098 - 0.315 + 0.2 = -0.017; the error -1.017 is dL/dz2 itself."""
    (tmp_path / "net.toml").write_text(NET)
    code, out, _ = glia("trace", "net.toml")
    assert code == 0 and max(map(len, out.splitlines())) <= 80
    lines = squeezed(out)
    for wanted in (
        "0.4*0.5 + (-0.2)*0.8 + 0.1 = 0.14",
        "0.3*0.5 + 0.6*0.8 + 0 = 0.63",
        "0.7*0.14 + (-0.5)*0.63 + 0.2 = -0.017",
        "(-0.017 - 1)^2 / 2 = 0.5171",
        "dL/dz2 = ŷ - y (delta 2)",
        "-1.017",
        "dL/dw2 = dL/dz2 a1^T",
        "[-0.1424 -0.6407]",  # -1.017 * 0.14, -1.017 * 0.63
        "dL/da1 = w2^T dL/dz2",
        "[-0.7119 0.5085]",
        "b2 0.2 - 0.1 * (-1.017) = 0.3017",
    ):
        assert wanted in lines, wanted
    headings = [lines.index(word) for word in ("Forward", "Loss", "Backward")]
    assert headings == sorted(headings)


def test_json_and_options_of_the_command(glia: Glia, tmp_path: Path) -> None:
    net = {"x": [2, 1, 0.1], "layer": [{"activation": "softmax"}]}
    (tmp_path / "soft.json").write_text(json.dumps(net))
    code, out, _ = glia("trace", "soft.json")
    assert code == 0 and "[0.659 0.2424 0.09857]" in squeezed(out) and "Backward" not in out
    (tmp_path / "soft.json").write_text(json.dumps(net | {"y": 0}))
    code, out, _ = glia("trace", "soft.json", "--loss", "cross_entropy")
    assert code == 0 and "-log(0.659) = 0.417" in squeezed(out)


class Outside(HTMLParser):
    """What a page would load, and what runs in it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [f"{tag} {name}" for name, value in attrs if name in ("src", "style", "onload")]
        self.found += [f"{tag} {value}" for name, value in attrs if name == "href" and value != "data:,"]
        self.found += [tag] if tag == "script" else []

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_a_page(glia: Glia, tmp_path: Path) -> None:
    (tmp_path / "net.toml").write_text(NET)
    code, out, _ = glia("trace", "net.toml", "--html", "net.html")
    assert code == 0 and out.strip() == "net.html"
    page = Outside()
    page.feed((tmp_path / "net.html").read_text())
    assert not page.found
    for text in ("net", "0.14", "0.63", "−0.017", "−1.017", "0.5171", "0.3017"):
        assert text in page.texts, text
    assert "<svg" in (tmp_path / "net.html").read_text()
    code, _, err = glia("trace", "net.toml", "--html", "net.html")
    assert code == 2 and "exists already" in err
    assert glia("trace", "net.toml", "--html", "net.html", "--overwrite")[0] == 0


def test_names_of_a_network_are_escaped() -> None:
    model = torch.nn.Sequential(OrderedDict({"<b>x</b>": torch.nn.Linear(2, 1)}))
    page = package.trace(model, [1.0, 2.0], title="<script>").html()
    assert "<b>x" not in page and "<script" not in page and "&lt;b&gt;x" in page
    framed = package.trace(model, [1.0, 2.0])._repr_html_()
    assert framed.startswith("<iframe") and framed.count("<") == 2


@pytest.fixture
def run_of(glia: Glia, tmp_path: Path) -> Callable[[str], Path]:
    """``run_of("z")``: a small run that predicts that column of rows.csv."""

    def make(target: str) -> Path:
        rng = np.random.default_rng(0)
        a, b = rng.normal(size=120), rng.normal(size=120)
        columns = {"a": a, "b": b, "label": np.where(a + b > 0, "yes", "no"), "z": 100 + 30 * a}
        pl.DataFrame(columns).write_csv("rows.csv")
        drop = "label" if target == "z" else "z"
        words = ("--target", target, "--drop", drop, "--model", "mlp", "--hidden", "4", "epochs=4", "threads=1")
        code, _, err = glia("train", "rows.csv", *words, "--name", target, "-q")
        assert code == 0, err
        return tmp_path / "runs" / target

    return make


def test_a_row_of_a_run(glia: Glia, run_of: Callable[[str], Path]) -> None:
    folder = run_of("label")
    code, out, err = glia("trace", folder, "--row", 7, "--lr", 0.01)
    assert code == 0, err
    assert "Backward" in out and "Update" in out and "softmax(" in out
    run = package.open(folder)
    share = run.predict("rows.csv")["p_yes"][7]
    shown = next(line for line in squeezed(out)[squeezed(out).index("Loss") :] if line.startswith("["))
    assert float(shown.strip("[]").split()[1]) == pytest.approx(share, abs=1e-4)
    assert glia("trace", folder, "--row", 0, "--from", "rows.csv")[0] == 0
    code, _, err = glia("trace", folder, "--row", 120)
    assert code == 2 and "has no row 120" in err and "0 to 119" in err


def test_a_row_of_a_regression_has_a_standardised_target(glia: Glia, run_of: Callable[[str], Path]) -> None:
    folder = run_of("z")
    run = package.open(folder)
    target = pl.read_csv("rows.csv")["z"][3]
    code, out, _ = glia("trace", folder, "--row", 3)
    wanted = (target - run.task.center[0]) / run.task.scale[0]
    line = next(line for line in squeezed(out) if line.startswith("y "))
    assert code == 0 and float(line.split()[1]) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = [1, 2]", "has no layer"),
        ("[[layer]]\nweights = [1]", "has no x"),
        ("x = [1, 2", "cannot be read"),
        ("x = [1, 2]\n[[layer]]\nweights = [1, 2, 3]", "got 1 x 3; expected 2 numbers a row"),
        ("x = [1, 2]\n[[layer]]\nweights = [[1, 2], [3]]", "rows of one length"),
        ("x = [1, 2]\n[[layer]]\nweights = [1, 2]\nbias = [1, 2]", "got 2 numbers; expected 1"),
        ("x = [1, 2]\n[[layer]]\nweight = [1, 2]", "Try: 'weights'"),
        ("x = [1, 2]\n[[layer]]\nweights = [1, 2]\nactivation = 'rely'", "Try: 'relu'"),
        ("x = [1, 2]\n[[layer]]\nactivation = 3", "a name"),
        ("x = [1, 2]\n[[layer]]\nbias = 3", "bias without weights"),
        ("x = [1, 2]\n[[layer]]", "is empty"),
        ("x = [1, nan]\n[[layer]]\nweights = [1, 2]", "finite numbers"),
        ("x = [1, 2]\nlayer = 3", "one or more [[layer]]"),
        ("x = [1, 2]\ny = 1\n[[layer]]\nweights = [1, 2]", "y without a loss"),
        ("x = [1, 2]\ny = 1\nloss = 'mze'\n[[layer]]\nweights = [1, 2]", "Try: 'mse'"),
        ("x = [1, 2]\ny = [1, 2]\nloss = 'mse'\n[[layer]]\nweights = [1, 2]", "shape"),
        ("x = [1, 2]\ny = 1\nloss = 'mse'\nlr = 'a'\n[[layer]]\nweights = [1, 2]", "lr in"),
        ("x = [1, 2]\ny = 1\nloss = 'mse'\nlr = 0\n[[layer]]\nweights = [1, 2]", "above 0"),
        ("x = [1, 2]\ny = 5\nloss = 'cross_entropy'\n[[layer]]\nweights = [[1, 2], [3, 4]]", "cross_entropy"),
    ],
)
def test_bad_files_get_one_line(glia: Glia, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "net.toml").write_text(text)
    code, out, err = glia("trace", "net.toml")
    assert code == 2 and said in err and err.count("\n") == 1 and not out


def test_bad_words_get_one_line(glia: Glia, tmp_path: Path) -> None:
    (tmp_path / "net.toml").write_text(NET)
    (tmp_path / "net.json").write_bytes(b"\xff\xfe")
    for words, said in (
        (["nothing.toml"], "No such file"),
        (["net.json"], "not text"),
        (["runs/nothing"], "does not exist"),
        (["net.toml", "--row", "1"], "belong to a run"),
        (["net.toml", "--lr", "-1"], "above 0"),
        (["net.toml", "--loss", "mze"], "unknown loss"),
    ):
        code, out, err = glia("trace", *words)
        assert code == 2 and said in err and err.count("\n") == 1 and not out

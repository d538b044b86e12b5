"""glia doctor, as a person meets it: scripts of theirs, run as they are."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from glia.cli.main import main
from glia.doctor.examine import rules

Glia = Callable[..., tuple[int, str, str]]

SCRIPT = """
import sys
import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(0)
x = torch.randn(256, 6)
y = (x[:, 0] + x[:, 1] > 0).long()
model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=LR)
print("begins", *sys.argv[1:])
BEFORE
for epoch in range(12):
    for at in range(0, 192, 32):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x[at : at + 32]), y[at : at + 32])
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        print("epoch", epoch, (model(x[192:]).argmax(1) == y[192:]).float().mean().item())
AFTER
print("ends")
"""
WELL, SICK = "0.5", "1e-9"


def written(folder: Path, lr: str = WELL, before: str = "", after: str = "", name: str = "train.py") -> Path:
    path = folder / name
    path.write_text(SCRIPT.replace("LR", lr).replace("BEFORE", before).replace("AFTER", after))
    return path


@pytest.fixture
def glia(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Glia:
    """``glia("doctor", "train.py")`` in a folder of its own: (exit code, output, errors)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["glia", *map(str, words)])
        code = 0
        with torch.random.fork_rng(devices=[]):
            try:
                main()
            except SystemExit as stop:
                code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


QUICK = ("--trial-time", "0")


def answer(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def test_a_healthy_script(glia: Glia, tmp_path: Path) -> None:
    written(tmp_path)
    code, out, err = glia("doctor", "train.py", *QUICK)
    assert code == 0, out + err
    for word in ("begins", "epoch 11", "ends", "train.py", "72 steps", "held-out rows", "nothing wrong was found"):
        assert word in out


def test_a_sick_script_and_its_cure(glia: Glia, tmp_path: Path) -> None:
    written(tmp_path, SICK)
    code, out, _ = glia("doctor", "train.py")
    assert code == 1
    for word in ("lr_too_low", "cure", "tried", "->", "glia rule CODE explains"):
        assert word in out, out


@pytest.mark.parametrize("whole", [True, False])
def test_the_line_is_shown(glia: Glia, tmp_path: Path, whole: bool) -> None:
    path = written(tmp_path, SICK)
    out = glia("doctor", path if whole else "train.py", *QUICK)[1]
    assert "lr of SGD at train.py:11" in out
    assert "file=" in glia("doctor", path if whole else "train.py", "--format", "github", *QUICK)[1]


def test_json_to_a_file(glia: Glia, tmp_path: Path) -> None:
    written(tmp_path, SICK)
    code, out, _ = glia("doctor", "train.py", "--format", "json", "--output", "doctor.json")
    found = answer(tmp_path / "doctor.json")
    assert code == 1 and not found["healthy"] and "ends" in out and "lr_too_low" in out
    first = found["findings"][0]
    assert first["cause"] == "lr_too_low" and first["severity"] in ("error", "warning") and first["code"][:2] == "GL"
    assert {"where", "evidence", "why", "cure", "remedies"} <= first.keys()
    trial = first["remedies"][0]["trial"]
    assert trial["after"] > trial["before"] and trial["steps"] > 0 and first["remedies"][0]["change"]
    assert found["trials"] > 0 and found["exit_code"] == 0 and found["trainings"][0]["steps"] == 72


def test_json_to_standard_output_is_alone_there(glia: Glia, tmp_path: Path) -> None:
    written(tmp_path)
    code, out, err = glia("doctor", "train.py", "--format", "json", *QUICK)
    assert code == 0 and json.loads(out)["healthy"]
    assert "begins" in err and "ends" in err


def test_github_annotations(glia: Glia, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    written(tmp_path / "code", SICK)
    code, out, err = glia("doctor", "code/train.py", "--format", "github")
    lines = out.splitlines()
    assert code == 1 and lines and "begins" in err
    assert all(line.startswith(("::error ", "::warning ", "::notice ")) and "::" in line[8:] for line in lines)
    assert "title=GL313 rate-out-of-range::" in lines[0]
    assert glia("doctor", "code/train.py", "--format", "github", "-o", "notes.txt", *QUICK)[0] in (0, 1)
    assert (tmp_path / "notes.txt").is_file()


def test_an_early_end(glia: Glia, tmp_path: Path) -> None:
    written(tmp_path)
    code, out, _ = glia("doctor", "train.py", "--steps", 40, *QUICK)
    assert code in (0, 1) and "40 steps" in out and "ended early" in out and "\nends" not in out
    endless = "while True:\n    optimizer.zero_grad(); F.cross_entropy(model(x), y).backward(); optimizer.step()"
    written(tmp_path, before=endless)
    code, out, _ = glia("doctor", "train.py", "--time", 1, *QUICK)
    assert code in (0, 1) and "ended early" in out


def test_an_early_end_cannot_be_caught(glia: Glia, tmp_path: Path) -> None:
    swallow = "try:\n    for _ in range(90):\n        F.cross_entropy(model(x), y).backward(); optimizer.step()\n"
    swallow += "except Exception:\n    print('caught')"
    written(tmp_path, before=swallow)
    _, out, _ = glia("doctor", "train.py", "--steps", 40, *QUICK)
    assert "caught" not in out and "ended early" in out


def test_rules_may_be_left_out(glia: Glia, tmp_path: Path) -> None:
    written(tmp_path, SICK)
    glia("doctor", "train.py", "--format", "json", "-o", "all.json", *QUICK)
    found = answer(tmp_path / "all.json")["findings"]
    assert found
    skipped = [word for finding in found for word in ("--skip", finding["name"])]
    glia("doctor", "train.py", "--format", "json", "-o", "few.json", *QUICK, *skipped)
    assert not {f["code"] for f in found} & {f["code"] for f in answer(tmp_path / "few.json")["findings"]}
    code, out, err = glia("doctor", "train.py", "--skip", "dead-rely")
    assert code == 2 and "dead-relu" in err and "begins" not in out


def test_arguments_of_the_script(glia: Glia, tmp_path: Path) -> None:
    written(tmp_path, after="assert sys.argv[0].endswith('train.py')")
    assert "begins --rate 3 data.csv" in glia("doctor", *QUICK, "train.py", "--rate", "3", "data.csv")[1]
    assert "begins --steps 5" in glia("doctor", *QUICK, "train.py", "--", "--steps", "5")[1]
    assert sys.argv[0] == "glia"


def test_a_script_that_crashes(glia: Glia, tmp_path: Path) -> None:
    written(tmp_path, after="def broken():\n    return {}['missing']\nbroken()")
    code, out, err = glia("doctor", "train.py", "--format", "json", "-o", "doctor.json", *QUICK)
    found = answer(tmp_path / "doctor.json")
    assert found["exit_code"] == 1 and found["error"] == "KeyError: 'missing'"
    assert err.count("Traceback") == 1 and "in broken" in err and "runpy" not in err and "glia" not in err
    assert "72 steps" in out and "the script ended with exit code 1" in out
    assert code == 1


def test_a_script_that_exits(glia: Glia, tmp_path: Path) -> None:
    written(tmp_path, after="sys.exit(3)")
    code, out, err = glia("doctor", "train.py", *QUICK)
    assert code == 0 and "exit code 3" in out and "Traceback" not in err
    written(tmp_path, after="sys.exit('no disk')")
    code, out, err = glia("doctor", "train.py", *QUICK)
    assert code == 0 and "no disk" in err and "exit code 1" in out
    written(tmp_path, after="sys.exit(0)")
    assert glia("doctor", "train.py", *QUICK)[0] == 0


def test_a_script_that_changes_the_directory(glia: Glia, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    written(tmp_path, before="import os; os.chdir('elsewhere')")
    assert glia("doctor", "train.py", "--format", "json", "-o", "doctor.json", *QUICK)[0] == 0
    assert (tmp_path / "doctor.json").is_file() and Path.cwd() == tmp_path


def test_a_script_imports_what_lies_beside_it(glia: Glia, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "beside_the_script.py").write_text("RATE = 0.5\n")
    written(tmp_path / "code", "RATE", name="run.py")
    script = tmp_path / "code" / "run.py"
    script.write_text(
        "from beside_the_script import RATE\nif __name__ != '__main__':\n    raise ImportError\n" + script.read_text()
    )
    before = list(sys.path)
    assert glia("doctor", "code/run.py", *QUICK)[0] == 0
    assert sys.path == before
    sys.modules.pop("beside_the_script", None)


def test_a_script_that_never_trains(glia: Glia, tmp_path: Path) -> None:
    (tmp_path / "idle.py").write_text("print('hello')\n")
    code, out, err = glia("doctor", "idle.py")
    assert code == 2 and "hello" in out
    assert err.count("\n") == 1 and "idle.py never trains" in err


def test_two_models_in_turn(glia: Glia, tmp_path: Path) -> None:
    again = "model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))\n"
    again += "optimizer = torch.optim.SGD(model.parameters(), lr=1e-9)\n"
    again += "for step in range(60):\n    rows = slice(step % 6 * 32, step % 6 * 32 + 32)\n    optimizer.zero_grad()\n"
    again += "    F.cross_entropy(model(x[rows]), y[rows]).backward()\n    optimizer.step()\n"
    again += "with torch.no_grad():\n    (model(x[192:]).argmax(1) == y[192:]).float().mean()"
    written(tmp_path, after=again)
    code, out, _ = glia("doctor", tmp_path / "train.py", "--format", "json", "-o", "doctor.json")
    found = answer(tmp_path / "doctor.json")
    assert code == 1 and [part["steps"] for part in found["trainings"]] == [72, 60]
    assert "training 1 of 2  72 steps" in out and "training 2 of 2  60 steps" in out
    assert found["findings"][0]["cause"] == "lr_too_low"
    line = 1 + next(i for i, text in enumerate((tmp_path / "train.py").read_text().splitlines()) if "lr=1e-9" in text)
    assert f"train.py:{line}" in found["findings"][0]["where"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nothing.py",), "nothing.py"),
        (("train.py", "--format", "xml"), "json"),
        (("train.py", "--output", "x.json"), "--format json"),
    ],
)
def test_mistakes_are_one_line(glia: Glia, tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    written(tmp_path)
    code, out, err = glia("doctor", *words[1:], words[0])
    assert code == 2 and told in err and err.count("\n") == 1 and "begins" not in out


def test_the_script_alone_computes_the_same(glia: Glia, tmp_path: Path) -> None:
    written(tmp_path, after="torch.save(model.state_dict(), 'weights-' + sys.argv[1] + '.pt')")
    glia("doctor", "train.py", "watched", *QUICK)
    with torch.random.fork_rng(devices=[]):
        assert os.system(f"{sys.executable} {tmp_path / 'train.py'} alone > /dev/null") == 0
    watched, alone = (torch.load(tmp_path / f"weights-{name}.pt") for name in ("watched", "alone"))
    assert all(torch.equal(watched[key], alone[key]) for key in alone)


def test_rules_are_explained(glia: Glia) -> None:
    code, out, _ = glia("rule", "GL303")
    assert code == 0
    for word in ("GL303", "dead-relu", "dynamics", "Finds", "Hurts", "Cure", "Not a fault when", "Source"):
        assert word in out
    assert glia("rule", "dead-relu")[1] == glia("rule", "gl303")[1] == out
    code, _, err = glia("rule", "dead-rely")
    assert code == 2 and "dead-relu" in err and err.count("\n") == 1


def test_rules_and_causes_are_listed(glia: Glia) -> None:
    code, out, _ = glia("list", "rules")
    assert code == 0 and all(rule.code in out for rule in rules())
    code, out, _ = glia("list", "causes")
    assert code == 0 and "lr_too_high" in out and "data_leak" in out
    assert "loop" in glia("list", "causes", "missing_zero_grad")[1]

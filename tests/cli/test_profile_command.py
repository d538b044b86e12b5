"""glia profile on the command line: bad input is one line and exit code 2, JSON stands alone on standard output."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from glia.cli.main import app
from glia.errors import GliaError

STEPS = """
import torch
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x = torch.ones(8, 3)
for _ in range({count}):
    optimizer.zero_grad()
    loss = model(x).square().mean()
    loss.backward()
    optimizer.step()
print("done")
{end}
"""


def write(folder: Path, count: int = 20, end: str = "") -> Path:
    path = folder / "train.py"
    path.write_text(STEPS.format(count=count, end=end))
    return path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no.py"], "there is no such script"),
        (["runs/none"], "does not exist"),
        (["runs/none", "--rows", "5"], "arguments are for scripts"),
        (["no.py", "--format", "xml"], "format"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = CliRunner().invoke(app, ["profile", *arguments]).exception
    assert isinstance(error, GliaError) and error.exit_code == 2
    assert said in str(error) and "\n" not in str(error)


def test_json_stands_alone_and_a_script_keeps_its_exit_code(tmp_path: Path) -> None:
    script = write(tmp_path, end="raise SystemExit(3)")
    command = [sys.executable, "-m", "glia", "profile", script, "--format", "json", "--trial-time", "0"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    found = json.loads(answer.stdout)
    assert "done" in answer.stderr
    assert sum(found["shares"].values()) == pytest.approx(1)
    assert found["flops"] == 2 * 8 * 3 * 2  # forward, and the gradient of the weights


def test_a_page_that_exists_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine")
    error = CliRunner().invoke(app, ["profile", str(write(tmp_path)), "--out", str(page)]).exception
    assert isinstance(error, GliaError) and "exists already" in str(error)
    assert page.read_text() == "mine"

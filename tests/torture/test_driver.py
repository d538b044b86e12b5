"""The command that runs the experiments: what it prints, keeps, and gives back."""

from pathlib import Path

import pytest
from rich.console import Console

from glia.torture.result import Result
from torture.__main__ import attempt, main
from torture.experiments import Experiment
from torture.page import Record, keep, render


def made(name: str, *failed: str) -> Experiment:
    return Experiment(name, "it holds.", 2, 9, lambda count, folder, tell: Result(name, "it holds.", count, failed))


def test_what_failed_is_told_and_its_folder_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torture.__main__.tempfile.mkdtemp", lambda prefix: str(tmp_path))
    console = Console(record=True, width=200)
    assert not attempt(made("bad", "seed 7: one bit"), 5, console).held
    assert tmp_path.is_dir()
    good = attempt(made("good"), 5, console)
    assert good.held and 0 < good.cpu_seconds < 5
    assert not tmp_path.exists()
    broken = made("broken")._replace(run=lambda count, folder, tell: 1 / 0)  # type: ignore[arg-type, return-value]
    assert "ZeroDivisionError" in attempt(broken, 1, console).failed[0]
    said = console.export_text()
    assert "bad: 5 tried, 1 failed: FAILED" in said and "seed 7: one bit" in said and "good: 5 tried, 0 failed" in said


def test_the_exit_code_and_the_counts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("torture.__main__.experiments", lambda: [made("good"), made("bad", "x")])
    for words, code, said in (
        (["good"], 0, "good: 2 tried"),
        (["good", "N=7"], 0, "good: 7 tried"),
        (["N=large"], 1, "bad: 9 tried, 1 failed"),
        (["goood"], 2, "good"),
        (["N=x"], 2, "got 'x'"),
    ):
        monkeypatch.setattr("sys.argv", ["torture", "--dry", *words])
        assert main() == code
        assert said in capsys.readouterr().out


def test_the_page_keeps_what_was_not_run_again(tmp_path: Path) -> None:
    kept, page, escapes = tmp_path / "results.json", tmp_path / "R.md", tmp_path / "escapes.md"
    escapes.write_text("| bug | found by | test |\n")
    keep(kept, [Record.of(Result("a", "A holds.", 1000, (), 3.0, {"seed": "5"})), Record.of(Result("b", "B.", 1))])
    records = keep(kept, [Record.of(Result("b", "B.", 40, ("one | two",), cpu_seconds=7.0))])
    render(records, ["b", "a", "never-run"], escapes, page)
    text = page.read_text()
    assert "| a | A holds. | 1,000 | 0 | 3 |  | seed 5 |" in text
    assert "| b | B. | 40 | 1 | 0 | 7 |" in text and "* b: one \\| two" in text
    assert "torch 2" in text and "| bug | found by | test |" in text

"""The benchmark of speed: its own rows run end to end, and it notices a tool that does not do the work."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.speed import page, peak, steps, tools, turns, worker
from benchmarks.speed.job import Job, Trained, Unfit
from benchmarks.speed.networks import resnet20
from benchmarks.speed.works import ALL, BY_NAME, Work

FEW = {"task": "steps", "steps": 12, "epochs": 2}


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setattr(worker, "CACHE", tmp_path / "cache")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")  # three epochs are not enough, scikit-learn says
@pytest.mark.parametrize("name", ["glia", "plain", "lean", "sklearn"])
def test_each_row_trains_the_same_network(name: str, tmp_path: Path) -> None:
    found = worker.steps({**FEW, "tool": name, "work": "table"}, tmp_path)
    assert found["steps"] == 36
    assert found["ms"] > 0
    assert found["first_loss"] == pytest.approx(0.7, abs=0.1)  # two classes, nothing learnt
    assert found["loss"] < found["first_loss"] - 0.05


@pytest.mark.parametrize("work", ["texts", "gpt"])
def test_glia_and_the_plain_loop_do_the_other_works_alike(work: str, tmp_path: Path) -> None:
    few = {"task": "steps", "steps": 1, "epochs": 1, "work": work}
    losses = [worker.steps({**few, "tool": name}, tmp_path / name)["loss"] for name in ("glia", "plain")]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_a_tool_that_skips_epochs_or_shrinks_the_network_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def lazy(job: Job) -> Trained:
        job.marks.epoch()
        return Trained(lambda x: torch.zeros(len(x), 2), job.work.parameters())

    def small(job: Job) -> Trained:
        for _ in range(job.epochs):
            job.marks.epoch()
        return Trained(lambda x: torch.zeros(len(x), 2), job.work.parameters() - 1)

    for wrong, said in ((lazy, "1 epochs, not 3"), (small, "parameters")):
        monkeypatch.setattr(tools, "tool", lambda name, wrong=wrong: wrong)
        with pytest.raises(AssertionError, match=said):
            worker.steps({**FEW, "tool": "plain", "work": "table"}, tmp_path)


def test_a_fresh_process_answers_and_says_why_where_it_cannot() -> None:
    found = turns.ask({**FEW, "tool": "lean", "work": "texts"})
    assert found["none"] == str(Unfit("the rows are no tensors"))


def _answers(*ms: float, **more: float) -> turns.Answers:
    return turns.Answers(
        [{"ms": one, "cpu_ms": one, "rows": 32, "steps": 9, "first_loss": 1.0, "loss": 0.5} for one in ms]
    )


def test_ratios_are_of_medians_against_the_best_peer() -> None:
    found = {
        "table": {"glia": _answers(1, 2, 9), "plain": _answers(8), "sklearn": _answers(3, 4, 5), "lean": _answers(1)}
    }
    found["table"]["glia-float32"] = turns.Answers(none="float32 is the default")
    table = steps.compared(found)
    assert table.rows[0][1:4] == ["scikit-learn", "2.00", "2.00"]  # the lean loop is no peer
    assert turns.Answers([{"ms": v} for v in (1, 2, 3, 4, 5)]).spread("ms") == (2, 4)
    assert turns.rotated("abc", 4) == ["b", "c", "a"]


def test_the_page_keeps_lines_that_were_not_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    columns = ["work", "ms"]
    rows = [["a", "1"], ["b", "2"]]
    alike = [page.Figures("Time", columns, rows), page.Figures("Other", columns, [["a", "5"], ["b", "6"]])]
    page.write("Steps", ["about"], alike, path)
    page.write("Start", ["other"], [page.Figures("Time", columns, [["a", "7"]])], path)
    twice = [page.Figures("Time", columns, [["b", "3"]]), page.Figures("Other", columns, [["b", "4"]])]
    page.write("Steps", ["about"], twice, path)
    text = path.read_text()
    assert text.count("## Steps") == text.count("## Start") == 1
    first = text[: text.index("## Start")]
    assert "| a | 1 |" in first and "| b | 3 |" in first and "| b | 2 |" not in first
    assert "| a | 7 |" in text
    other = first[first.index("**Other**") :]
    assert "| a | 5 |" in other and "| b | 4 |" in other and "| a | 1 |" not in other


def test_the_mean_is_of_all_works_also_of_those_that_were_measured_before(tmp_path: Path) -> None:
    path, core = tmp_path / "RESULTS.md", [work for work in ALL if work.core]

    def compared(works: Sequence[Work], ms: float) -> page.Figures:
        names = ("glia", "glia-float32")
        return steps.compared(
            {work.name: {"plain": _answers(8)} | {name: _answers(ms) for name in names} for work in works}
        )

    page.write("Steps", [], [compared(core[:-1], 4)], path)
    assert "geometric mean" not in path.read_text()
    page.write("Steps", [], [compared(core[-1:], 2)], path)
    page.write("Steps", [], [compared(core[:1], 1)], path)
    assert "| geometric mean of the six |  | 2.83 | 2.83 | 2.83 | 2.83 |" in path.read_text()  # (8 4 2 2 2 2)^(1/6)


def test_a_busy_machine_is_said_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "os", SimpleNamespace(getloadavg=lambda: (9.0, 9.0, 9.0), cpu_count=lambda: 2))
    assert "not quiet" in page.busy()[0]
    monkeypatch.setattr(page, "os", SimpleNamespace(getloadavg=lambda: (0.2, 9.0, 9.0), cpu_count=lambda: 2))
    assert page.busy() == []


def test_operations_of_a_step_are_counted() -> None:
    table = BY_NAME["table"]
    products = 32 * (20 * 64 + 64 * 64 + 64 * 2)
    assert peak.flops(table) == 2 * (3 * products - 32 * 20 * 64)  # no gradient for the inputs
    assert sum(p.numel() for p in resnet20().parameters()) == 269_722

"""Several processes train one network: equal to one process and to torch's own way, and they end as one."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

import glia
from glia.errors import GliaError
from glia.runs import checkpoint
from glia.runs.folder import RunFolder
from glia.training import world as worlds
from glia.training.pulse import LostProcess
from glia.training.world import World
from glia.workbench import processes

FIXTURE = Path(__file__).with_name("world_cases.py")


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, Any]]]:
    """What `world_cases.py` found as one process and as two, by size and rank. One start for all cases."""
    folder = tmp_path_factory.mktemp("world")
    found = {}
    for size in (1, 2):
        told = {"WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _free_port(), "GLOO_SOCKET_IFNAME": "lo"}
        running = [
            subprocess.Popen(
                [sys.executable, FIXTURE, folder / f"{size}-{rank}.json"],
                env=os.environ | {name: str(value) for name, value in told.items()} | {"RANK": str(rank)},
            )
            for rank in range(size)
        ]
        assert [one.wait(500) for one in running] == [0] * size
        found[size] = [json.loads((folder / f"{size}-{rank}.json").read_text()) for rank in range(size)]
    return found


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.mark.parametrize(
    "name",
    [
        "mlp",
        "lstm",
        "lenet",
        "accumulate",
        "uneven",
        "loader",
        "average",
        "clip",
        "frozen",
        "none-in-some",
        "l1",
        "folds-run",
        "tabm-run",
        "mlp-run",
    ],
)
def test_two_processes_are_one(cases: Any, name: str) -> None:
    """Losses of each step, and figures of validation, are those of one process on the whole batch."""
    alone, together = cases[1][0][name], cases[2][0][name]
    assert len(alone["losses"]) == len(together["losses"]) >= 3
    torch.testing.assert_close(torch.tensor(together["losses"]), torch.tensor(alone["losses"]), rtol=1e-5, atol=0)
    near = 2e-4 if name.endswith("-run") else 1e-5  # there Adam has divided small differences by small gradients
    torch.testing.assert_close(torch.tensor(together["figures"]), torch.tensor(alone["figures"]), rtol=near, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "mlp",
        "lstm",
        "lenet",
        "uneven",
        "none-in-some",
        "batch-norm",
        "bfloat16",
        "dropout",
        "gan",
        "folds-run",
        "tabm-run",
        "mlp-run",
    ],
)
def test_all_processes_end_with_the_same_bits(cases: Any, name: str) -> None:
    first, second = (cases[2][rank][name] for rank in (0, 1))
    assert first["hash"] == second["hash"] and first["losses"] == second["losses"]


def test_bfloat16_is_near(cases: Any) -> None:
    alone, together = cases[1][0]["bfloat16"]["losses"], cases[2][0]["bfloat16"]["losses"]
    assert alone == pytest.approx(together, rel=0.03)


def test_as_distributed_data_parallel(cases: Any) -> None:
    """Torch's own way, on the same slices of equal length."""
    ours, theirs = cases[2][0]["mlp-sgd"]["weights"], cases[2][0]["ddp"]["weights"]
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(theirs), rtol=1e-5, atol=1e-6)


def test_noise_differs_between_processes_and_not_between_runs(cases: Any) -> None:
    again = [cases[2][rank]["dropout-again"] for rank in (0, 1)]
    assert [cases[2][rank]["dropout"]["losses"] for rank in (0, 1)] == [one["losses"] for one in again]
    assert cases[2][0]["draws"] != cases[2][1]["draws"]


def test_all_end_alike(cases: Any) -> None:
    """A loss that is not finite in one process, early stopping, a Step that updates by itself, other data in each."""
    first, second = cases[2]
    assert first["odd"] == second["odd"] and "(process 1)" in first["odd"]
    assert first["stopped-early"] == second["stopped-early"] < 60
    assert "not the same any more" in first["own-updates"] and "not the same any more" in second["own-updates"]
    assert "first batch is not the same" in first["other-data"]


def test_what_is_not_finite_ends_all_alike(cases: Any) -> None:
    """A gradient of one process alone, with the row that only that one has; a buffer of process 0."""
    first, second = cases[2]
    for name, words in {
        "bad-gradient": "gradient of",
        "bad-row": r"source: rows [35]",
        "bad-buffer": "buffer seen",
    }.items():
        assert first[name] == second[name] and words in first[name], name
    assert "(process 1)" in first["bad-row"] and "(process" not in first["bad-gradient"]


def test_shares_hold_every_row_once() -> None:
    for count in (0, 1, 2, 3, 7, 64):
        for size in (1, 2, 3, 5):
            parts = [list(range(count))[World(rank, size).part(count)] for rank in range(size)]
            assert sum(parts, []) == list(range(count)) and max(map(len, parts)) - min(map(len, parts)) <= 1


# Runs


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(203, 3, generator=generator)
    lines = [f"{a:.3f},{b:.3f},{c:.3f},{'yes' if a * b + c > 0 else 'no'}" for a, b, c in x.tolist()]
    path = tmp_path_factory.mktemp("table") / "small.csv"
    path.write_text("\n".join(["a,b,c,answer", *lines]))
    return path


def settings(table: Path, runs: Path, **more: Any) -> dict[str, Any]:
    plain = {"model": "mlp", "hidden": [8], "lr": 0.01, "dropout": 0.2, "norm": "batch", "batch_size": 20}
    quick = {"doctor": False, "baselines": False, "epochs": 4, "patience": 0, "threads": 1}
    return {"source": table, "target": "answer", "runs": runs, "processes": 2, **plain, **quick, **more}


# Python runs this first in every process that a run starts: what that does to files is noted, to read and to change.
NOTING = """
import os, sys
handle = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink")
def note(event, given):
    if event == "open" or event in CHANGES:
        changes = event in CHANGES or (given[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        os.write(handle, f"{'changes' if changes else 'reads'} {given[0]}\\n".encode())
sys.addaudithook(note)
"""


def test_a_run_of_two_processes_that_is_stopped_and_resumed(
    table: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit, in one folder, into which one process alone writes, and which one could go on with as well."""
    aside = tmp_path_factory.mktemp("aside")
    (aside / "sitecustomize.py").write_text(NOTING)
    monkeypatch.setenv("NOTES", str(aside / "notes"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(aside), os.environ.get("PYTHONPATH", "")]))
    whole = glia.train(**settings(table, tmp_path, name="whole"))

    def stop(session: Any, folder: Any, choices: Any) -> tuple[Any, ...]:
        return (lambda moment: os.kill(os.getpid(), signal.SIGTERM) if moment.step == 11 else None,)

    with pytest.raises(KeyboardInterrupt, match="glia resume"):
        glia.train(**settings(table, tmp_path, name="cut", begin=stop, checkpoint_s=1e9))
    assert checkpoint.latest(tmp_path / "cut")["progress"]["step"] in (11, 12)  # type: ignore[index]
    notes: list[str] = []
    again = glia.resume(tmp_path / "cut", tell=notes.append)
    assert not any("bit-exact" in note for note in notes)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut", "whole"]
    assert (whole.folder / "chart.jsonl").read_text() == (again.folder / "chart.jsonl").read_text()
    one, other = (RunFolder.open(run.folder).load_model("last")[1] for run in (whole, again))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not any(thread.name.startswith("glia-pulse") for thread in threading.enumerate())
    noted = (aside / "notes").read_text().splitlines()
    assert noted.count(f"reads {table}") >= 3, "the second process of each of three lives"
    assert not [line for line in noted if line.startswith(f"changes {tmp_path}")]


@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGKILL, "was ended by SIGKILL"), (signal.SIGSTOP, "not answer")]
)
def test_a_process_that_is_lost_is_named(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    children = []
    patience = 60.0 if number == signal.SIGKILL else 8.0  # on a busy machine a process may be slow to begin
    begin = processes._child
    monkeypatch.setattr(processes, "_child", lambda *told: children.append(begin(*told)) or children[-1])
    lost: list[float] = []

    def lose(moment: Any) -> None:
        if moment.step == 12 and not lost:
            lost.append(time.monotonic())
            os.kill(children[0].pid, number)

    with pytest.raises(LostProcess, match=rf"process 1 of 2 \(pid {'.*'}{words}.*glia resume") as caught:
        glia.train(**settings(table, tmp_path, epochs=500, begin=lambda *told: (lose,), stall_timeout=patience))
    assert caught.value.exit_code == 75 and time.monotonic() - lost[0] < (6 if number == signal.SIGKILL else 25)
    assert children[0].poll() is not None
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("met", [False, True])
def test_a_process_that_ends_before_all_have_joined_is_named(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, met: bool
) -> None:
    """It said that it is ready; torch would wait for it in vain, and hear no signal."""
    children = []
    begin, meet, join = processes._child, processes._start_group, worlds.join
    monkeypatch.setattr(processes, "_child", lambda *told: children.append(begin(*told)) or children[-1])
    monkeypatch.setattr(processes, "MEET_S", 15.0)
    ended: list[float] = []

    def end() -> None:
        children[0].kill()
        children[0].wait()
        ended.append(time.monotonic())

    def alone(store: Any, rank: int, size: int) -> None:
        end()
        meet(dist.PrefixStore("elsewhere", store), rank, size)  # should it have been faster

    def lonely(*told: Any) -> Any:
        end()
        return join(*told)

    monkeypatch.setattr(processes, "_start_group", meet if met else alone)
    monkeypatch.setattr(worlds, "join", lonely if met else join)
    with pytest.raises(LostProcess, match=r"process 1 of 2 .*was ended by SIGKILL.*glia resume") as caught:
        glia.train(**settings(table, tmp_path, stall_timeout=15.0))
    assert caught.value.exit_code == 75 and not dist.is_initialized()
    assert time.monotonic() - ended[0] < 8
    monkeypatch.undo()
    assert glia.resume(tmp_path / "small").metrics["test"]  # the next meeting is not spoilt by this one


def test_what_cannot_be_handed_over_is_refused_at_once(table: Path, tmp_path: Path) -> None:
    data = glia.prepare(table, target="answer")
    for more in ({"source": None, "data": data}, {"model": torch.nn.Linear(3, 2)}):
        with pytest.raises(GliaError, match="torchrun --nproc-per-node 2"):
            glia.train(**settings(table, tmp_path, **more))
    assert not list(tmp_path.iterdir())

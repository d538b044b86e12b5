"""Hostile files, some of each kind; and that the watch sees what it is there for."""

import contextlib
import os
import pickle
import socket
import subprocess
from pathlib import Path

import pytest
import torch

from glia.errors import DamagedError, GliaError
from glia.runs.folder import RunFolder
from glia.runs.machine import describe
from glia.workbench.believed import described, rebuilt, sound_state
from torture import hostile, payloads, traps
from torture.watched import CANARY, Job, Outcome, Watch


def test_nothing_of_a_hostile_file_runs(tmp_path: Path) -> None:
    result = hostile.run(27, tmp_path, lambda line: None)
    assert result.tried == 27 and not result.failed, "\n".join(result.failed)


def test_traps_have_names_of_their_own() -> None:
    names = [trap.name for trap in traps.all_traps()]
    assert len(names) >= 500 and len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("event", "arguments"),
    [
        ("pickle.find_class", ("os", "system")), ("os.system", ("true",)), ("os.exec", ("x", (), None)),
        ("subprocess.Popen", ("/bin/sh", ["sh"], None, None)), ("socket.connect", (None, ("127.0.0.1", 9))),
        ("open", ("/etc/made", "w", 0)), ("open", ("../made", None, os.O_CREAT | os.O_WRONLY)),
        ("os.mkdir", ("/made", 0o777, -1)), ("os.rename", ("runs/a", "/a", -1, -1)), ("os.remove", ("/etc/x", -1)),
        ("import", (f"{CANARY}_module", None)), ("exec", (compile("1", "somewhere", "eval"),)),
        ("exec", (compile(payloads.CODE, "<string>", "exec"),)), ("compile", (payloads.CODE, "<string>")),
    ],
)  # fmt: skip
def test_the_watch_sees(
    event: str, arguments: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    seen = os.memfd_create("seen")
    watch = Watch(Job([], str(tmp_path), [str(tmp_path / "runs")]), seen)
    watch("open", (str(tmp_path / "runs" / "x"), "w", 0))
    watch("open", ("/etc/passwd", "r", os.O_RDONLY))
    watch("subprocess.Popen", ("git", ["git"], None, None))
    assert not os.pread(seen, 1000, 0)
    watch(event, arguments)
    assert event in os.pread(seen, 1000, 0).decode()
    os.close(seen)


def test_faults_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trap = traps.Trap("x", (), lambda folder: None)
    (tmp_path / "outside").mkdir()
    monkeypatch.setattr(hostile, "kept", [{}])
    assert not list(hostile.faults(trap, Outcome(2, "glia: no\n"), tmp_path))
    for outcome in (
        Outcome(0, ""), Outcome(70, "Traceback\nKeyError"), Outcome(2, "one\ntwo"),
        Outcome(2, "glia: no", ["os.system"]),
        Outcome(-9, ""), Outcome(2, "glia: no", [], 99.0),
    ):  # fmt: skip
        assert list(hostile.faults(trap, outcome, tmp_path))
    (tmp_path / "outside" / "new").touch()
    assert list(hostile.faults(trap, Outcome(2, "glia: no\n"), tmp_path))


def test_payloads_would_do_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A payload that does nothing when it is unpickled proves nothing."""
    monkeypatch.chdir(tmp_path)
    for kind in ("system-0", "system-2", "system-4", "exec", "builtins"):
        with contextlib.suppress(pickle.UnpicklingError):
            pickle.loads(payloads.pickles()[kind])
        assert (tmp_path / CANARY).exists(), kind
        (tmp_path / CANARY).unlink()


def test_settings_of_a_repository_run_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True, capture_output=True)

    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    Path("a").write_text("a")
    git("add", "a")
    git("commit", "-qm", "a")
    clean = describe()["git"]
    assert len(clean) == 12
    Path("a").write_text("other")
    Path(".gitattributes").write_text("* filter=f\n")
    hooks = Path(".git/hooks")
    for name in ("post-index-change", "fsmonitor-watchman", "pre-auto-gc"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/{CANARY}\n")
        (hooks / name).chmod(0o755)
    with Path(".git/config").open("a") as config:
        config.write(f'[core]\n\tfsmonitor = "touch {CANARY}; false"\n[filter "f"]\n\tclean = touch {CANARY}; cat\n')
        config.write(f"[diff]\n\texternal = touch {CANARY}\n")
    assert describe()["git"] == f"{clean}+"
    assert not Path(CANARY).exists()


@pytest.mark.parametrize("kind", ["link", "pipe", "socket", "huge"])
@pytest.mark.parametrize("place", ["recipe.toml", "status.json", "checkpoints/step-000000001/state.json"])
def test_a_run_is_made_of_plain_files(kind: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    (run / "checkpoints" / "step-000000001").mkdir(parents=True)
    (run / "recipe.toml").touch()
    RunFolder.open(run)
    (tmp_path / "linked").symlink_to(run)  # the way to a run is the user's own
    RunFolder.open(tmp_path / "linked")
    path = run / place
    path.unlink(missing_ok=True)
    monkeypatch.chdir(path.parent)
    if kind == "link":
        (tmp_path / "elsewhere").touch()
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(path.name)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    else:
        with path.open("wb") as file:
            file.truncate(1 << 30)
    with pytest.raises(GliaError):
        RunFolder.open(run)


FACTS = {
    "kind": "table", "names": ["a"], "levels": [0], "median": [0.0], "scale": [1.0], "low": [0.0], "high": [1.0],
    "gaps": [False], "edges": [[0.0, 1.0]], "rows": 9,
}  # fmt: skip
PARTS = {
    "network": {"name": "mlp", "options": {"hidden": [4]}},
    "task": {"kind": "classify", "targets": ["y"], "classes": ["u", "v"]},
    "facts": FACTS,
    "reader": {"kind": "tensor", "fitted": {"shape": [1], "dtype": "float32"}},
}


def test_a_description_is_believed_only_as_far_as_its_weights_go() -> None:
    said = described(PARTS, "run")
    from glia.models.build import build

    weights = build("mlp", said.facts, said.task, hidden=[4]).state_dict()
    assert rebuilt(said, weights, "run").state_dict().keys() == weights.keys()
    for options in ({"hidden": [10**9]}, {"hidden": [10**12] * 4}, {"hidden": [4] * 10**6}, {"hidden": [5]}):
        lies = described(PARTS | {"network": {"name": "mlp", "options": options}}, "run")
        with pytest.raises(DamagedError):
            rebuilt(lies, weights, "run")
    lies = described(PARTS | {"facts": FACTS | {"levels": [10**9]}}, "run")
    with pytest.raises(DamagedError):
        rebuilt(lies, weights, "run")
    assert not any(torch.tensor([parameter.is_meta for parameter in rebuilt(said, weights, "run").parameters()]))


@pytest.mark.parametrize(
    "changes",
    [
        {"network": {"name": 7}}, {"network": []}, {"network": {"name": "mlp", "options": {"hidden": {"a": 1}}}},
        {"task": {"kind": "os:system", "targets": ["y"]}}, {"task": {"kind": "classify", "targets": ["y"]}},
        {"facts": FACTS | {"levels": ["1"]}}, {"facts": FACTS | {"median": []}},
        {"facts": FACTS | {"kind": ["table"]}},
        {"reader": {"kind": "os:system", "fitted": {}}}, {"reader": {"kind": "table", "fitted": {}}},
        {"reader": {"kind": "tensor", "fitted": {"shape": [1], "dtype": "load"}}},
    ],
)  # fmt: skip
def test_a_description_of_other_types_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(DamagedError):
        described(PARTS | changes, "run")


def test_a_state_of_other_types_is_refused() -> None:
    progress = {
        "epoch": 1, "batch": 0, "step": 9, "base_lr": 0.1, "rows": 0, "loss_sum": float("nan"), "metric_sum": 0.0,
        "valid_losses": [float("inf")], "done": False,
    }  # fmt: skip
    state = {"progress": progress, "model": {}, "optimizer": {}, "best": {}, "chart_bytes": 5}
    assert sound_state(state, "run") == state
    for wrong in ({"chart_bytes": -5}, {"progress": progress | {"step": "9"}}, {"progress": progress | {"epoch": -1}},
                  {"progress": 7}, {"model": None}):  # fmt: skip
        with pytest.raises(DamagedError):
            sound_state(state | wrong, "run")

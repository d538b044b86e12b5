"""A run made again from its record: equal to the last bit, or where it parts and why, or why it cannot be."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

import glia
from glia.errors import GliaError
from glia.runs import hashes
from glia.training.nonfinite import NonFinite
from glia.workbench.train import Stopped

QUICK: dict[str, Any] = {"batch_size": 32, "threads": 1, "baselines": False, "doctor": False}
MLP = {**QUICK, "model": "mlp", "hidden": [16], "dropout": 0.2, "target": "label", "epochs": 4}


def table(count: int = 150) -> pl.DataFrame:
    chance = np.random.default_rng(0)
    a, b = chance.normal(size=(2, count))
    return pl.DataFrame({"a": a, "b": b, "label": np.where(a * b > 0, "same", "other")})


def network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 2))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, of a rate that was worked out, from a file."""
    folder = tmp_path_factory.mktemp("kept")
    table().write_csv(folder / "rows.csv")
    return glia.train(folder / "rows.csv", **MLP, runs=folder / "runs", name="it", checkpoint_s=0.0).folder


@pytest.fixture
def copied(kept: Path, tmp_path: Path) -> Path:
    """The same run, to be tampered with."""
    run = Path(shutil.copytree(kept, tmp_path / "runs" / "it"))
    (run / "seals.json").unlink()
    return run


def changed(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    (path.parent / "seals.json").unlink(missing_ok=True)  # or the change would be found before it is tried


def test_a_run_from_a_file_is_made_again_to_the_last_bit(copied: Path) -> None:
    told: list[str] = []
    made = glia.reproduce(copied, tell=told.append)
    assert made.equal and made.verdict == "equal to the last bit" and made.loss_gap == 0.0 and not made.first
    assert made.again == copied.parent / "it-again" and made.run == copied
    assert {"tensors as it went", "losses of steps", "last checkpoint", "best weights", "predictions"} <= set(
        made.parts
    )
    assert not [line for line in told if "changed" in line or "bit-exact" in line]
    assert json.loads((made.again / "reproduction.json").read_text())["equal"] is True
    assert glia.reproduce(copied, name="third").again.name == "third"


def test_what_differs_first_is_told_with_its_step_and_size(copied: Path) -> None:
    rate = f"lr = {glia.open(copied).recipe.train.lr!r}"
    changed(copied / "recipe.toml", rate, rate[:-1] + ("1" if rate[-1] != "1" else "2"))
    made = glia.reproduce(copied)
    assert not made.equal and 0 < made.loss_gap < 0.1
    assert made.first.startswith("lr at step 1 (epoch 1): ") and " tensors at step " in made.first
    assert "nothing that is known to change numbers has changed" in made.verdict
    assert "numbers differ, by at most" in made.parts["best weights"]
    assert made.parts["tensors as it went"].endswith("all were equal at step 0")


def test_one_tensor_is_named(copied: Path) -> None:
    lines = [json.loads(line) for line in (copied / hashes.NAME).read_text().splitlines()]
    names = next(line["names"] for line in reversed(lines) if "names" in line)
    lines[-1]["hashes"][names.index("optimizer.state.1.exp_avg")] = "0" * 16
    (copied / hashes.NAME).write_text("".join(json.dumps(line) + "\n" for line in lines))
    made = glia.reproduce(copied)
    assert not made.equal
    assert made.first.startswith(f"1 of {len(names)} tensors at step {lines[-1]['step']} (epoch 4), ")
    assert "the first optimizer.state.1.exp_avg (0 of" not in made.first  # the checkpoint itself is equal
    assert made.parts["last checkpoint"] == "equal"


def test_another_machine_is_told_before_it_begins_and_in_the_verdict(copied: Path) -> None:
    changed(copied / "machine.json", '"cpu_capability": "', '"cpu_capability": "NEON or ')
    changed(copied / "machine.json", '"python": "', '"python": "2.')
    told: list[str] = []
    made = glia.reproduce(copied, tell=told.append)
    assert told[0].startswith("the order of the rows is exact, the numbers are not bit-exact: cpu capability NEON or ")
    assert told[1].startswith("other things that have changed: python 2.")
    assert made.equal and "although the machine is another: cpu capability NEON or" in made.verdict


def test_other_instructions_give_other_bits_and_that_is_said(copied: Path) -> None:
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("this CPU has no other instructions to turn off")
    command = [sys.executable, "-c", "from glia.cli.main import main; main()", "reproduce", str(copied), "--quiet"]
    env = {**os.environ, "ATEN_CPU_CAPABILITY": "default", "COLUMNS": "500"}
    answer = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert answer.returncode == 1, answer.stderr
    last = answer.stdout.strip().splitlines()[-1]
    assert "the order of the rows is exact, the numbers are not bit-exact: cpu capability " in last
    assert "ATEN_CPU_CAPABILITY not set -> default; the losses differ by at most " in last
    assert "first difference" in answer.stdout


def _no_rows(run: Path) -> None:
    changed(run / "recipe.toml", "rows.csv", "gone.csv")


def _other_rows(run: Path) -> None:
    table(151).write_csv(run.parent / "other.csv")
    recipe = glia.open(run).recipe
    changed(run / "recipe.toml", str(recipe.data.source), str(run.parent / "other.csv"))


def _own_network(run: Path) -> None:
    changed(run / "recipe.toml", 'model = "mlp"', 'model = "custom"')


def _in_memory(run: Path) -> None:
    changed(run / "recipe.toml", str(glia.open(run).recipe.data.source), "<DataFrame in memory>")


def _other_device(run: Path) -> None:
    changed(run / "recipe.toml", 'device = "cpu"', 'device = "mps"' if torch.cuda.is_available() else 'device = "cuda"')


def _damaged(run: Path) -> None:
    path = run / "model" / "best.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x00\x01")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_no_rows, "gone.csv"),
        (_other_rows, "the data are not those that"),
        (_own_network, "the network of .* was one of your own"),
        (_in_memory, "was trained on data in memory"),
        (_other_device, "got a machine without one"),
        (_damaged, "best.safetensors is damaged"),
        (lambda run: shutil.rmtree(run), "does not exist"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_again_is_one_line(copied: Path, spoil: Callable[[Path], None], said: str) -> None:
    spoil(copied)
    with pytest.raises(GliaError, match=said) as error:
        glia.reproduce(copied)
    assert error.value.exit_code == 2


def test_rows_and_a_network_of_your_own(tmp_path: Path) -> None:
    run = glia.train(table(), target="label", model=network(), epochs=3, lr=0.01, runs=tmp_path, name="own", **QUICK)
    made = glia.reproduce(run.folder, source=table(), model=network())
    assert made.equal, made.parts
    other = glia.reproduce(run.folder, source=table(), model=network(1))
    assert other.first.startswith("4 of 4 tensors before the first step, the first model.0.weight")
    with pytest.raises(GliaError, match="the data are not those"):
        glia.reproduce(run.folder, source=table(149), model=network())


def test_a_run_that_was_stopped_is_compared_as_far_as_it_went(tmp_path: Path) -> None:
    def begin(*_: Any) -> Any:
        return (lambda moment: os.kill(os.getpid(), signal.SIGINT) if moment.step == 6 else None,)

    with pytest.raises(Stopped):
        glia.train(table(), **MLP, lr=0.01, runs=tmp_path, name="cut", begin=begin)
    made = glia.reproduce(tmp_path / "cut", source=table())
    assert made.equal and made.parts["losses of steps"] == "equal, 6 steps until it was stopped"
    assert made.parts["tensors as it went"].startswith("equal, at ")


def test_a_run_that_failed_fails_again_the_same(tmp_path: Path) -> None:
    class Bursts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.calls = network(), 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += self.training
            out: torch.Tensor = self.body(x)
            return out * float("nan") if self.calls > 5 else out

    own = {"target": "label", "epochs": 3, "lr": 0.01, "runs": tmp_path, "name": "bad", **QUICK}
    with pytest.raises(NonFinite):
        glia.train(table(), model=Bursts(), **own)
    made = glia.reproduce(tmp_path / "bad", source=table(), model=Bursts())
    assert made.equal, made.parts
    healed = glia.reproduce(tmp_path / "bad", source=table(), model=nn.Sequential(network()))
    assert not healed.equal and healed.parts["its end"].startswith("failed (the loss")

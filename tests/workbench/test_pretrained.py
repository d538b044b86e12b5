"""Transfer learning end to end: weights in, stages thawed by plan, a run that repeats and goes on to the same bits."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import glia
from glia.errors import GliaError
from glia.models.build import IMAGENET_MEAN
from glia.nn.stages import stages, within
from glia.runs import checkpoint
from glia.runs.packing import pack

COMMAND = [sys.executable, "-c", "from glia.cli.main import main; main()"]
ROOT = Path(__file__).resolve().parents[2]
SAME = ("chart.jsonl", "model/best.safetensors", "model/last.safetensors", "predictions/test.safetensors")
SETTINGS: dict[str, Any] = {"model": "resnet8", "width": 4, "batch_size": 32, "baselines": False, "threads": 1}


def pictures(path: Path, kinds: int, count: int = 160, seed: int = 0) -> Path:
    """Colour pictures of 16 x 16, a bright bar in one of `kinds` places."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 90, (count, 16, 16, 3), dtype=np.uint8), np.arange(count) % kinds
    for number, kind in enumerate(y):
        x[number, 3 * kind : 3 * kind + 3] += 90
    np.savez(path, x=x, y=np.array([f"bar {kind}" for kind in y]))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four.npz, a run on it, and three.npz."""
    folder = tmp_path_factory.mktemp("transfer")
    pictures(folder / "four.npz", 4)
    pictures(folder / "three.npz", 3, seed=1)
    glia.train(folder / "four.npz", name="first", runs=folder, epochs=4, **SETTINGS)
    return folder


def train(place: Path, **settings: Any) -> tuple[glia.Run, list[str]]:
    told: list[str] = []
    source = settings.pop("source", place / "three.npz")
    return glia.train(source, runs=place, tell=told.append, **SETTINGS | settings), told


def weights(run: glia.Run, which: str = "last") -> dict[str, torch.Tensor]:
    return load_file(run.folder / "model" / f"{which}.safetensors")


def test_the_head_is_new_and_the_rest_rests_until_it_thaws(place: Path) -> None:
    given = load_file(place / "first" / "model" / "best.safetensors")
    asked: dict[str, Any] = {"pretrained": str(place / "first"), "seed": 3, "lr": 0.05}
    never, told = train(place, epochs=3, unfreeze_at="never", **asked)
    assert any(line.startswith("loaded ") and "not loaded: output.weight 4x16 -> 3x16" in line for line in told)
    assert "only the head of 5 stages trains at first, and to the end" in told
    after = weights(never)
    for name, value in given.items():
        assert torch.equal(value, after[name]) != name.startswith("output"), name  # batch norm's figures too
    last_two, told = train(place, epochs=3, unfreeze_at="3", **asked)
    assert any("the last 2 from epoch 3" in line for line in told)
    changed = {name for name, value in given.items() if not torch.equal(value, weights(last_two)[name])}
    before_head, head = stages(last_two.model)[-2:]
    assert all(within(name, [*before_head, *head]) for name in changed)
    assert all(any(within(name, part) for name in changed) for part in (before_head, head))
    assert any(name.endswith("norm1.running_mean") for name in changed)


def test_everything_is_written_down_and_can_be_repeated(place: Path) -> None:
    run, told = train(place, epochs=4, pretrained=str(place / "first"), name="noted")
    record = json.loads((run.folder / "weights.json").read_text())
    best = (place / "first" / "model" / "best.safetensors").read_bytes()
    assert record["sha256"] == hashlib.sha256(best).hexdigest()
    assert record["fresh"] == ["output.weight", "output.bias"] and record["thawing"]["frozen"] == 4
    recipe = run.recipe
    assert recipe.model.pretrained == str((place / "first").resolve())
    assert recipe.train.freeze == 4 and recipe.train.unfreeze_at == (2, 2, 3, 3) and 0 < recipe.train.lr_decay < 1
    choices = {choice["setting"]: choice["why"] for choice in json.loads((run.folder / "choices.json").read_text())}
    assert {"normalise", "freeze", "lr_decay", "lr"} <= set(choices)
    assert not {f["name"] for f in run.findings} & {"frozen-parameters", "parameter-without-gradient"}, told
    assert not [f for f in run.findings if f["severity"] != "note"], told
    again = glia.train(recipe=recipe, runs=place, name="again")
    for name, value in weights(run).items():
        assert torch.equal(value, weights(again)[name]), name
    assert glia.open(run.folder).evaluate(place / "three.npz")["accuracy"] > 0.9


def test_a_run_brings_its_network(place: Path) -> None:
    """Neither its name nor its size need be given; what is given counts."""
    settings: dict[str, Any] = {"epochs": 1, "baselines": False, "pretrained": str(place / "first"), "runs": place}
    run = glia.train(place / "three.npz", **settings)
    assert (run.recipe.model.model, run.recipe.model.width) == ("resnet8", 4)
    with pytest.raises(GliaError, match="of another size"):
        glia.train(place / "three.npz", width=8, **settings)


def test_the_same_answers_keep_their_head(place: Path) -> None:
    run, told = train(place, source=place / "four.npz", pretrained=str(place / "first"), epochs=1, lr=1e-9)
    assert not any("not loaded" in line or "stays new" in line for line in told)
    given = load_file(place / "first" / "model" / "best.safetensors")
    assert torch.allclose(weights(run)["output.weight"], given["output.weight"], atol=1e-6)
    pictures(place / "others.npz", 4)
    with np.load(place / "others.npz") as packed:
        np.savez(place / "others.npz", x=packed["x"], y=np.array([f"other {name}" for name in packed["y"]]))
    _, told = train(place, source=place / "others.npz", pretrained=str(place / "first"), epochs=1)
    assert any("the head stays new: output.weight, output.bias" in line for line in told)


def test_pictures_are_normalised_as_the_weights_expect(place: Path) -> None:
    given = load_file(place / "first" / "model" / "best.safetensors")
    run, _ = train(place, epochs=1, pretrained=str(place / "first"))
    assert torch.equal(weights(run)["normalise.mean"], given["normalise.mean"])
    fresh, _ = train(place, epochs=1)
    assert not torch.equal(weights(fresh)["normalise.mean"], given["normalise.mean"])


def test_bad_requests_are_refused_before_anything_is_read(place: Path) -> None:
    for settings, match in (
        ({"pretrained": str(place / "absent.safetensors")}, "there are no weights"),
        ({"freeze": "all"}, "would stay as they were drawn"),
        ({"freeze": "some", "pretrained": str(place / "first")}, "setting freeze"),
        ({"unfreeze_at": "3,2", "pretrained": str(place / "first"), "epochs": 1}, "unfreeze_at"),
        ({"freeze": 9, "pretrained": str(place / "first"), "epochs": 1}, "0 to 4, or all"),
        ({"width": 8, "pretrained": str(place / "first")}, "of another size: stem.0.weight"),
    ):
        before = sorted(path.name for path in place.iterdir())
        with pytest.raises(GliaError, match=match) as raised:
            train(place, **settings)
        assert "\n" not in str(raised.value)
        assert sorted(path.name for path in place.iterdir()) == before


def test_a_network_of_ones_own(place: Path) -> None:
    """Its stages are worked out; freeze needs no file, for the weights may be in it already."""
    body = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))

    class Floats(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.body(x.float() / 255)

    model = Floats()
    before = body[1].weight.clone()
    _, told = train(place, model=model, width=None, freeze="all", unfreeze_at="never", epochs=2)
    assert torch.equal(body[1].weight, before) and "only the head of 2 stages trains at first, and to the end" in told


def fingerprint(run: Path) -> dict[str, str]:
    found = {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in SAME}
    state = checkpoint.latest(run)
    assert state is not None
    return found | {"state": hashlib.sha256(b"".join(pack(state))).hexdigest()}


def lines(run: Path) -> int:
    chart = run / "chart.jsonl"
    return chart.read_bytes().count(b"\n") if chart.exists() else 0


def test_killed_and_gone_on_with(place: Path) -> None:
    """With the file of weights gone in between: a checkpoint holds all that it gave."""
    kept = place / "kept.safetensors"
    save_file(load_file(place / "first" / "model" / "best.safetensors"), kept)
    asked = ["--pretrained", "kept.safetensors", "--unfreeze-at", "2,9", "--lr-decay", "0.4", "epochs=16", "lr=0.05"]
    more = [f"{name}={value}" for name, value in SETTINGS.items()]
    command = [*COMMAND, "train", "three.npz", "--runs", "cuts", "-q", "checkpoint_s=0", "dropout=0.2", *asked, *more]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    options: dict[str, Any] = {"env": environment, "cwd": place}
    subprocess.run([*command, "--name", "whole"], check=True, stdout=subprocess.DEVNULL, **options)
    child = subprocess.Popen([*command, "--name", "cut"], **options)
    run = place / "cuts" / "cut"
    deadline = time.monotonic() + 120
    while lines(run) < 20 and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    assert child.poll() is None, "it ended before it could be killed"
    child.send_signal(signal.SIGKILL)
    child.wait()
    kept.rename(place / "away.safetensors")
    subprocess.run([*COMMAND, "resume", str(run), "-q"], check=True, stdout=subprocess.DEVNULL, **options)
    assert fingerprint(run) == fingerprint(place / "cuts" / "whole")


def test_beginning_again_needs_the_same_weights(place: Path) -> None:
    """Without a checkpoint a run that goes on reads its weights again."""
    run, _ = train(place, epochs=2, pretrained=str(place / "first"), name="anew")
    expected = weights(run)
    for name in ("status.json", "seals.json"):
        (run.folder / name).unlink()
    for folder in (run.folder / "checkpoints").iterdir():
        folder.rename(place / f"moved-{folder.name}")
    (run.folder / "chart.jsonl").unlink()
    again = glia.resume(run.folder)
    for name, value in weights(again).items():
        assert torch.equal(value, expected[name]), name
    record = json.loads((run.folder / "weights.json").read_text())
    (run.folder / "weights.json").write_text(json.dumps(record | {"sha256": "0" * 64}))
    for name in ("status.json", "seals.json"):
        (run.folder / name).unlink()
    for folder in (run.folder / "checkpoints").iterdir():
        folder.rename(place / f"moved-again-{folder.name}")
    with pytest.raises(GliaError, match="changed since this run began"):
        glia.resume(run.folder)


def test_published_names_bring_the_scale_of_imagenet(place: Path) -> None:
    pytest.importorskip("glia.models.resnet")
    from glia.models.build import build_for

    try:
        body = build_for("resnet18", glia.prepare(place / "three.npz"), width=4)
    except GliaError:
        pytest.skip("no resnet18 in the catalogue")
    keys = {key.removeprefix("network."): value for key, value in body.state_dict().items() if "normalise" not in key}
    save_file(keys, place / "resnet18.safetensors")
    settings = {"model": "resnet18", "pretrained": str(place / "resnet18.safetensors"), "epochs": 1}
    run, told = train(place, name="published", limit_rows=40, **settings)
    assert torch.allclose(weights(run)["normalise.mean"].flatten(), torch.tensor(IMAGENET_MEAN))
    assert any("(torchvision)" in line for line in told)

"""A training on clips from end to end: what it says depends on the order of the frames, and nothing on the workers."""

from pathlib import Path

import numpy as np
import onnxruntime
import polars as pl
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import glia
from glia.cli.main import app
from glia.data.batches import Batches
from glia.errors import GliaError
from glia.predict.outputs import outputs_of
from glia.training.loop import Moment
from glia.workbench.session import Session, Watcher
from tests.data.clips import class_folders, moving, write

SMALL = {"width": 4, "threads": 1, "batch_size": 8}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("video")
    class_folders(root / "clips", 30)
    class_folders(root / "new", 6, first=1000)
    return root


@pytest.fixture(scope="module")
def run(place: Path) -> glia.Run:
    return glia.train(place / "clips", epochs=14, augment="none", runs=place / "runs", name="whole", **SMALL)


def test_the_order_of_frames_decides(run: glia.Run, tmp_path: Path) -> None:
    """A clip backwards gets the other answer."""
    assert run.recipe.model.model == "tsm"
    for number in range(12):
        write(tmp_path / "forwards" / f"c{number}", moving(2000 + number, right=True))
        write(tmp_path / "backwards" / f"c{number}", moving(2000 + number, right=False))
    forwards, backwards = (run.predict(tmp_path / name)["prediction"].to_list() for name in ("forwards", "backwards"))
    assert forwards.count("right") >= 11
    assert backwards.count("left") >= 11
    assert not run.findings


def test_commands_go_through(run: glia.Run, place: Path, tmp_path: Path) -> None:
    assert run.evaluate(place / "new")["accuracy"] >= 0.9
    one = run.predict(place / "new" / "left" / "clip1000")
    assert one["clip"].to_list() == ["clip1000"]
    made = [str(tmp_path / "said.csv"), str(tmp_path / "net.pt2")]
    told = CliRunner().invoke(app, ["predict", str(run.folder), str(place / "new"), "--out", made[0]])
    assert told.exit_code == 0, told.output
    said = pl.read_csv(made[0])
    assert said.columns == ["clip", "prediction", "p_left", "p_right"]
    assert sorted(said["clip"])[0] == "left/clip1000"
    program = torch.export.load(run.export(made[1])).module()
    (raw,) = run.reader.stream(place / "new")
    torch.testing.assert_close(program(raw.inputs)[:, 1], torch.tensor(said["p_right"].to_list()), atol=1e-5, rtol=0)
    session = onnxruntime.InferenceSession(run.export(tmp_path / "net.onnx"))
    told = session.run(None, {session.get_inputs()[0].name: raw.inputs.numpy()})[0]
    np.testing.assert_allclose(told[:, 1], said["p_right"].to_list(), atol=1e-4)


def test_few_clips_are_looked_at_at_once(run: glia.Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clip is many pictures: a thousand at once, as of pictures, would fill the memory."""
    seen = []
    ask = run.model.forward
    monkeypatch.setattr(run.model, "forward", lambda x: seen.append(len(x)) or ask(x))
    part = glia.prepare(place / "clips").train
    many = Batches(part.inputs.repeat(4, 1, 1, 1, 1), part.targets.repeat(4), part.rows.repeat(4))
    assert len(outputs_of(run.model, many, run.task)) == len(many)
    assert max(seen) <= 64


def test_the_page_shows_frames(run: glia.Run) -> None:
    page = (run.folder / "report.html").read_text("utf-8")
    assert "the clips" in page and "new-clips/" in page
    with Image.open(run.folder / "predictions" / "worst" / "0.png") as sheet:
        assert sheet.size == (50, 33)  # six frames of 16 pixels, three in a line, a pixel between them
        pixels = np.asarray(sheet)
    frames = [pixels[y : y + 16, x : x + 16] for y in (0, 17) for x in (0, 17, 34)]
    steps = np.diff([(frame > 150).any(0).nonzero()[0].mean() for frame in frames])
    assert (steps == 1).all() or (steps == -1).all()  # in their order


@pytest.mark.parametrize("workers", [0, 2])
def test_stopped_and_gone_on_with_is_the_same(place: Path, tmp_path: Path, workers: int) -> None:
    options = {**SMALL, "runs": tmp_path, "epochs": 3, "lr": 0.002, "baselines": False, "doctor": False}
    whole = glia.train(place / "clips", name="whole", **options)

    def stop(session: Session, *_: object) -> tuple[Watcher, ...]:
        def watch(moment: Moment) -> None:
            if moment.step == 7:
                raise KeyboardInterrupt

        return (watch,)

    with pytest.raises(KeyboardInterrupt):
        glia.train(place / "clips", name="cut", begin=stop, checkpoint_s=0, workers=workers, **options)
    again = glia.resume(tmp_path / "cut")
    for one, other in zip(whole.model.state_dict().values(), again.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("broken", ["one class", "no frames", "sizes"])
def test_bad_clips_are_one_line(place: Path, tmp_path: Path, broken: str) -> None:
    root = class_folders(tmp_path / "clips", 6)
    if broken == "one class":
        (root / "right").rename(tmp_path / "right")
    for clip in list(root.glob("left/*"))[:3]:
        if broken == "no frames":
            for frame in clip.iterdir():
                frame.unlink()
        if broken == "sizes":
            Image.new("L", (20, 20)).save(clip / "frame_3.png")
    told = CliRunner().invoke(app, ["train", str(root), "--kind", "video", "--runs", str(tmp_path / "runs")])
    assert isinstance(told.exception, GliaError) and told.exception.exit_code == 2
    says = {"one class": "only one class", "no frames": "no frames in it", "sizes": "frames of different sizes"}
    assert says[broken] in str(told.exception) and "\n" not in str(told.exception)

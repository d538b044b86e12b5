"""Clips from folders of frames: what is one, which frames of it are read, and what happens to broken ones."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from glia.data.facts import ImageFacts, VideoFacts
from glia.data.video import frames as rows_room
from glia.data.video.augment import by_name
from glia.data.video.frames import spread
from glia.data.video.reader import VideoReader
from glia.data.video.source import is_video_source
from glia.errors import GliaError
from glia.workbench.prepare import prepare
from tests.data.clips import FRAMES, SIDE, class_folders, moving, write


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("clips"), 20)


def test_class_folders_of_clips_are_clips(clips: Path) -> None:
    found = prepare(clips)
    assert isinstance(found.facts, VideoFacts)
    assert found.facts.shape == (FRAMES, 1, SIDE, SIDE)
    assert found.task.classes == ("left", "right")
    assert [len(part) for part in (found.train, found.valid, found.test) if part is not None] == [29, 3, 8]
    for row, inputs in zip(found.train.rows.tolist(), found.train.at(torch.arange(len(found.train))).inputs):
        name = found.reader.name_of(row)  # type: ignore[attr-defined]
        number = int(name.rpartition("clip")[2])
        np.testing.assert_array_equal(inputs[:, 0].numpy(), moving(number, right=name.startswith("right")))


def test_statistics_are_those_of_the_training_clips(clips: Path) -> None:
    found = prepare(clips)
    pixels = found.train.at(torch.arange(len(found.train))).inputs.double() / 255
    assert isinstance(found.facts, VideoFacts)
    assert found.facts.mean[0] == pytest.approx(pixels.mean().item(), abs=1e-9)
    assert found.facts.std[0] == pytest.approx(pixels.std(unbiased=False).item(), abs=1e-9)


def test_what_trains_as_pictures_stays_pictures(tmp_path: Path) -> None:
    """Pictures in folders inside their class's folder, too, unless they are numbered frames in every such folder."""
    shape = (5, SIDE, SIDE)
    for place, label in enumerate(("cat", "dog")):
        pictures = np.random.default_rng(place).integers(0, 255, shape).astype(np.uint8)
        for kind, names in {
            "flat": [f"{label}/{i}.png" for i in range(5)],
            "named": [f"{label}/indoors/{name}.png" for name in "abcde"],
            "mixed": [f"{label}/a/{i}.png" for i in range(4)] + [f"{label}/loose.png"],
            "gaps": [f"{label}/a/{i}.png" for i in (1, 5, 6, 90, 900)],
            "counted_on": [f"{label}/{folder}/{2 * i + j}.png" for i, folder in enumerate("ab") for j in range(2)],
            "wrapped": [f"only/{label}/{i}.png" for i in range(5)],
        }.items():
            for name, picture in zip(names, pictures):
                path = tmp_path / kind / name
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(path)
    for kind in ("flat", "named", "mixed", "gaps", "counted_on", "wrapped"):
        assert not is_video_source(tmp_path / kind), kind
        assert isinstance(prepare(tmp_path / kind).facts, ImageFacts), kind


def test_either_kind_can_be_asked_for(clips: Path) -> None:
    assert isinstance(prepare(clips, kind="image").facts, ImageFacts)


def test_train_and_test_folders_are_the_parts(tmp_path: Path) -> None:
    class_folders(tmp_path / "data" / "train", 10)
    class_folders(tmp_path / "data" / "test", 3, first=100)
    found = prepare(tmp_path / "data")
    assert isinstance(found.facts, VideoFacts)
    assert found.test is not None
    assert len(found.test) == 6
    (raw,) = VideoReader.from_dict(found.reader.to_dict()).stream(tmp_path / "data", targets=True)
    assert len(raw.names) == 6  # the test part alone
    assert raw.targets is not None
    assert [name.split("/")[-2] for name in raw.names] == [found.task.classes[i] for i in raw.targets.tolist()]


def test_a_table_names_clips(tmp_path: Path, clips: Path) -> None:
    names = sorted(path.relative_to(clips).as_posix() for path in clips.glob("*/*"))
    shutil.copytree(clips, tmp_path / "all")
    lines = [f"all/{name},{i % 3 / 10 + 0.01 * i},group{i // 4}" for i, name in enumerate(names)]
    (tmp_path / "clips.csv").write_text("\n".join(["folder,speed,person", *lines]) + "\n")
    found = prepare(tmp_path / "clips.csv", target="speed", group="person")
    assert isinstance(found.facts, VideoFacts)
    assert found.task.kind == "regress"
    assert found.test is not None
    test, train = ({row // 4 for row in part.rows.tolist()} for part in (found.test, found.train))
    assert not test & train


def test_tables_of_texts_name_no_clips(tmp_path: Path, clips: Path) -> None:
    """Texts that are too long for a file's name, that hold a zero byte, or that name one folder again and again."""
    odd = pl.DataFrame({"text": ["long " * 1000, "x" * 300, "zero \0 byte"], "label": ["a", "b", "a"]})
    assert not is_video_source(odd)
    odd.write_csv(tmp_path / "texts.csv")
    assert not is_video_source(tmp_path / "texts.csv")
    shutil.copytree(clips / "left", tmp_path / "left")
    (tmp_path / "table.csv").write_text("where,size\n" + "left/clip0,1\nleft/clip2,2\n" * 20)
    assert not is_video_source(tmp_path / "table.csv")


def test_frames_are_spread_evenly_and_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    assert spread(6, 6) == [0, 1, 2, 3, 4, 5]
    assert spread(100, 4) == [12, 37, 62, 87]
    assert spread(2, 4) == [0, 0, 1, 1]
    grey = np.broadcast_to(np.arange(0, 240, 2, dtype=np.uint8)[:, None, None], (120, SIDE, SIDE))
    for label in ("a", "b"):
        for i in range(4):
            write(tmp_path / label / f"c{i}", grey[i:])
    found = prepare(tmp_path, valid_share=0.25)
    assert isinstance(found.facts, VideoFacts)
    assert found.facts.frames == rows_room.MOST_FRAMES
    seen = found.train.at(torch.tensor([0])).inputs[0, :, 0, 0, 0]
    assert (seen.int().diff() > 0).all(), seen


def test_a_broken_frame_is_left_out_and_counted(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "clips", 20)
    (root / "left" / "clip4" / "frame_2.png").write_bytes(b"\x89PNG nothing")
    with Image.open(root / "right" / "clip5" / "frame_3.png") as whole:
        whole.load()
    data = (root / "right" / "clip5" / "frame_3.png").read_bytes()
    (root / "right" / "clip5" / "frame_3.png").write_bytes(data[: len(data) // 2])
    found = prepare(root)
    (said,) = [note for note in found.notes if "frames could not be read" in note]
    assert said.startswith("2 frames")
    assert "clip4/frame_2.png (not a picture)" in said
    assert sum(item["count"] for item in found.card["dropped"]) == 2
    assert found.card["rows"] == 40
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        (raw,) = found.reader.stream(root / "left" / "clip4")
    assert "clip4/frame_2.png" in str(caught[0].message)
    expected = moving(4, right=False)[[0, 1, 3, 4, 5]][spread(5, FRAMES)]
    np.testing.assert_array_equal(raw.inputs[0, :, 0].numpy(), expected)


def test_a_few_broken_clips_are_left_out_and_many_are_an_error(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "clips", 20)
    for frame in (root / "left" / "clip4").iterdir():
        frame.unlink()
    Image.new("L", (SIDE, SIDE + 1)).save(root / "right" / "clip5" / "frame_2.png")
    found = prepare(root)
    assert found.card["rows"] == 38
    whys = {item["what"]: item["why"] for item in found.card["dropped"]}
    assert whys["left/clip4"] == "unreadable: no frames in it"
    assert "frames of different sizes: 16 x 16 (frame_0.png) and 16 x 17 (frame_2.png)" in whys["right/clip5"]
    with pytest.raises(GliaError, match=r"2 of 40 clips .* cannot be read: .*no frames in it") as caught:
        prepare(root, bad_limit=0.01)
    assert "\n" not in str(caught.value)


def test_one_class_says_so(tmp_path: Path) -> None:
    class_folders(tmp_path / "clips", 6)
    shutil.rmtree(tmp_path / "clips" / "right")
    with pytest.raises(GliaError, match="there is only one class to learn"):
        prepare(tmp_path / "clips", kind="video")


def test_equal_clips_stay_in_one_part(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "clips", 10)
    for copy in range(8):
        shutil.copytree(root / "left" / "clip0", root / "left" / f"copy{copy}")
    found = prepare(root)
    parts = [part for part in (found.train, found.valid, found.test) if part is not None]
    first = torch.from_numpy(moving(0, right=False))[:, None]
    held = [any(torch.equal(first, one) for one in part.at(torch.arange(len(part))).inputs) for part in parts]
    assert sum(held) == 1


def test_clips_that_stay_in_their_files_are_the_same(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = prepare(clips)
    monkeypatch.setattr(rows_room, "MEMORY_SHARE", 0.0)
    again = prepare(clips)
    assert isinstance(again.train.inputs, rows_room.FileClips)
    index = torch.tensor([3, 0, 7])
    assert torch.equal(again.train.at(index).inputs, whole.train.at(index).inputs)
    assert again.facts == whole.facts


def test_all_frames_of_a_clip_are_augmented_alike() -> None:
    """A clip of one picture stays one; two clips do not get the same; any batch and any worker gives the same."""
    still = torch.randint(0, 255, (4, 1, 1, SIDE, SIDE), dtype=torch.uint8).expand(4, FRAMES, 1, SIDE, SIDE)
    change = by_name("shift=0.3,rotate=20,zoom=0.2,flip=0.5")
    assert change is not None
    index = torch.tensor([5, 9, 2, 7])
    changed, _ = change(still, torch.zeros(4), 1, 0, index)
    assert torch.equal(changed, changed[:, :1].expand_as(changed))
    assert not torch.equal(changed, still)
    same, _ = change(still[:1].expand_as(still), torch.zeros(4), 1, 0, index)
    assert not torch.equal(same[0], same[1])
    alone, _ = change(still[2:3], torch.zeros(1), 1, 0, index[2:3])
    assert torch.equal(alone[0], changed[2])
    with pytest.raises(GliaError, match="blend"):
        by_name("mixup")


def test_the_reader_is_the_same_from_its_record(clips: Path) -> None:
    reader = prepare(clips).reader
    again = VideoReader.from_dict(json.loads(json.dumps(reader.to_dict())))
    assert again == reader
    one, other = (next(iter(r.stream(clips / "left"))) for r in (reader, again))
    assert torch.equal(one.inputs, other.inputs)
    assert one.names[:2] == ["clip0", "clip2"]

"""Reading pictures for prediction: the same bytes as in training, from sources of every kind."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from glia.data.images.prepare import prepare_images
from glia.data.images.reader import ImageReader
from glia.data.prepared import Prepared
from glia.errors import GliaError
from glia.recipe import Recipe


def prepare(source: Any, **settings: Any) -> Prepared:
    return prepare_images(Recipe.of(source=source, **settings).data, 0)


def picture(seed: int, side: tuple[int, int] = (12, 10), mode: str = "RGB") -> Image.Image:
    shape = side if mode == "L" else (*side, 3)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def fill(folder: Path, count: int, seed: int = 0, **options: Any) -> None:
    folder.mkdir(parents=True)
    for i in range(count):
        picture(seed + i, **options).save(folder / f"p{i}.png")


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    fill(tmp_path / "pets/cat", 20)
    fill(tmp_path / "pets/dog", 30, seed=100)
    return tmp_path / "pets"


def table_of(pets: Path) -> Path:
    rows = [f"pets/{file.parent.name}/{file.name},{file.parent.name}" for file in sorted(pets.rglob("*.png"))]
    path = pets.parent / "pets.csv"
    path.write_text("\n".join(["file,animal", *rows]) + "\n")
    return path


def reader_of(folder: Path, **settings: Any) -> ImageReader:
    return ImageReader.from_dict(json.loads(json.dumps(prepare(folder, **settings).reader.to_dict())))


def test_reading_gives_what_training_saw(pets: Path) -> None:
    data = prepare(pets, image_size=8)
    pieces = list(reader_of(pets, image_size=8).stream(pets, targets=True, rows=16))
    assert [len(piece.names) for piece in pieces] == [16, 16, 16, 2]
    inputs, targets = (torch.cat([piece[i] for piece in pieces]) for i in (0, 1))  # type: ignore[misc]
    assert isinstance(data.train.inputs, torch.Tensor)
    assert torch.equal(inputs[data.train.rows], data.train.inputs)
    assert torch.equal(targets[data.train.rows], data.train.targets)
    assert pieces[0].names[:2] == ["cat/p0.png", "cat/p1.png"]


def test_any_nesting_single_files_lists_and_tables_can_be_read(pets: Path, tmp_path: Path) -> None:
    reader = reader_of(pets)
    picture(1, (30, 50), mode="L").save(tmp_path / "one.jpg")
    alone = next(reader.stream(tmp_path / "one.jpg"))
    assert alone.inputs.shape == (1, 3, 12, 10)
    assert (alone.names, alone.targets) == (["one.jpg"], None)
    listed = next(reader.stream([pets / "cat/p0.png", str(pets / "dog/p3.png")]))
    assert len(listed.names) == 2
    deep = tmp_path / "deep/er/still"
    fill(deep, 3)
    assert next(reader.stream(tmp_path / "deep")).names == [f"er/still/p{i}.png" for i in range(3)]
    table = next(reader.stream(table_of(pets)))
    assert len(table.names) == 50
    array = next(reader.stream(np.asarray(picture(3))))
    assert np.array_equal(array.inputs[0].numpy(), np.asarray(picture(3)).transpose(2, 0, 1))


def test_only_the_test_folder_is_evaluated_where_there_is_one(tmp_path: Path) -> None:
    for part, count in (("train", 6), ("test", 2)):
        for i, name in enumerate("ab"):
            fill(tmp_path / part / name, count, seed=1000 * count + 100 * i)
    reader = reader_of(tmp_path)
    assert next(reader.stream(tmp_path, targets=True)).names == ["a/p0.png", "a/p1.png", "b/p0.png", "b/p1.png"]
    assert len(next(reader.stream(tmp_path)).names) == 16


def test_unreadable_pictures_get_no_prediction_and_a_warning(pets: Path) -> None:
    reader = reader_of(pets)
    (pets / "cat/p3.png").write_bytes(b"text")
    with pytest.warns(UserWarning, match=r"1 of 50 .*cat/p3.png \(not a picture\)"):
        names = [name for piece in reader.stream(pets) for name in piece.names]
    assert len(names) == 49
    with pytest.raises(GliaError, match="not a picture"):
        list(reader.stream(pets / "cat/p3.png"))


def test_labels_that_reading_cannot_know(pets: Path, tmp_path: Path) -> None:
    reader = reader_of(pets)
    fill(tmp_path / "new/bird", 2)
    with pytest.raises(GliaError, match="class 'bird'"):
        list(reader.stream(tmp_path / "new", targets=True))
    with pytest.raises(GliaError, match="no class folder"):
        list(reader.stream(tmp_path / "new/bird", targets=True))

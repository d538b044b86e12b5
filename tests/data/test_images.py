"""Pictures to Prepared: folders and tables of paths, broken files, parts, copies, real photos."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from glia.data.facts import ImageFacts
from glia.data.images import pixels
from glia.data.images.decode import decode
from glia.data.images.listing import by_class_folders, natural
from glia.data.images.pixels import FileRows
from glia.data.images.prepare import is_image_source, prepare_images
from glia.data.images.reader import ImageReader
from glia.data.mapped import MappedRows
from glia.data.prepared import Prepared
from glia.errors import GliaError
from glia.recipe import Recipe


def prepare(source: Any, seed: int = 0, **settings: Any) -> Prepared:
    return prepare_images(Recipe.of(source=source, **settings).data, seed)


def facts_of(data: Prepared) -> ImageFacts:
    assert isinstance(data.facts, ImageFacts)
    return data.facts


def name_of(data: Prepared, row: int) -> str:
    assert isinstance(data.reader, ImageReader)
    return data.reader.name_of(row)


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


# listing


def test_names_sort_as_people_count() -> None:
    assert sorted(["p10", "p2", "P1", "a"], key=natural) == ["a", "P1", "p2", "p10"]


def test_class_folders(pets: Path) -> None:
    data = prepare(pets, image_size=8)
    assert is_image_source(str(pets))
    assert data.task.classes == ("cat", "dog")
    assert data.card["parts"] == {"train": 36, "valid": 4, "test": 10}
    assert data.card["classes"]["cat"] == {"train": 14, "valid": 2, "test": 4}
    for place in (0, 17, 35):
        row = int(data.train.rows[place])
        name = name_of(data, row)
        expected = decode((pets / name).read_bytes(), 3, (8, 8))
        assert np.array_equal(data.train.at(torch.tensor([place])).inputs[0].numpy(), expected)
        assert data.task.classes[int(data.train.targets[place])] == name.split("/")[0]


def test_statistics_come_from_training_rows_alone(pets: Path) -> None:
    data = prepare(pets)
    x = data.train.inputs
    assert isinstance(x, torch.Tensor)
    x = x.double() / 255
    assert facts_of(data).mean == pytest.approx(x.mean((0, 2, 3)).tolist())
    assert facts_of(data).std == pytest.approx(x.std((0, 2, 3), correction=0).tolist())


def test_grey_folders_have_one_channel(tmp_path: Path) -> None:
    fill(tmp_path / "a", 10, mode="L")
    fill(tmp_path / "b", 10, seed=50, mode="L")
    assert facts_of(prepare(tmp_path)).channels == 1
    picture(99).save(tmp_path / "b" / "colour.png")
    assert facts_of(prepare(tmp_path)).channels == 3


@pytest.mark.parametrize("valid", ["valid", "val", "Validation"])
def test_folders_of_parts(tmp_path: Path, valid: str) -> None:
    for part, count in (("train", 10), (valid, 3), ("test", 4)):
        for i, name in enumerate(("x1", "x2", "x10")):
            fill(tmp_path / part / name, count, seed=1000 * count + 100 * i)
    data = prepare(tmp_path)
    assert data.card["parts"] == {"train": 30, "valid": 9, "test": 12}
    assert data.task.classes == ("x1", "x2", "x10")
    assert data.test is not None
    assert {name_of(data, int(row)).split("/")[0] for row in data.test.rows} == {"test"}


def test_archives_are_often_one_folder_deeper(pets: Path) -> None:
    (pets.parent / "__MACOSX").mkdir()
    assert prepare(pets.parent).task.classes == ("cat", "dog")


def test_other_files_are_counted_and_left_alone(pets: Path) -> None:
    (pets / "cat" / "notes.txt").write_text("x")
    (pets / "readme.md").write_text("x")
    (pets / "cat" / ".hidden.png").write_text("x")
    picture(5).save(pets / "loose.png")
    (pets / "bird").mkdir()
    data = prepare(pets)
    assert data.card["rows"] == 50
    assert [(item["what"], item["count"]) for item in data.card["dropped"]] == [
        ("files", 2),
        ("pictures outside class folders", 1),
    ]
    assert any("bird" in note for note in data.notes)


def test_the_order_of_the_file_system_does_not_matter(pets: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for file in sorted(pets.rglob("*.png"), reverse=True):
        (copy / file.parent.name).mkdir(parents=True, exist_ok=True)
        (copy / file.parent.name / file.name).write_bytes(file.read_bytes())
    one, other = prepare(pets), prepare(copy)
    assert by_class_folders(pets).names == by_class_folders(copy).names
    assert one.card["fingerprint"] == other.card["fingerprint"]
    assert torch.equal(one.train.rows, other.train.rows)
    picture(77).save(copy / "cat/p0.png")
    assert prepare(copy).card["fingerprint"] != one.card["fingerprint"]


def test_one_class_is_nothing_to_learn(tmp_path: Path) -> None:
    fill(tmp_path / "cat", 5)
    with pytest.raises(GliaError, match="only one class"):
        prepare(tmp_path)
    with pytest.raises(GliaError, match="no class folders"):
        prepare(tmp_path / "cat")


# broken files


def test_broken_pictures_are_named_and_skipped(pets: Path) -> None:
    (pets / "cat/p3.png").write_bytes(b"")
    cut = (pets / "dog/p7.png").read_bytes()
    (pets / "dog/p7.png").write_bytes(cut[:120])
    data = prepare(pets)
    assert data.card["rows"] == 48
    assert {item["what"] for item in data.card["dropped"]} == {"cat/p3.png", "dog/p7.png"}
    assert any("2 pictures could not be read" in note and "an empty file" in note for note in data.notes)
    names = {name_of(data, int(row)) for row in data.train.rows}
    assert not names & {"cat/p3.png", "dog/p7.png"}
    with pytest.raises(GliaError, match=r"2 of 50 pictures in .*pets cannot be read: cat/p3.png \(an empty file\)"):
        prepare(pets, bad_limit=0.01)


def test_the_rows_beside_a_broken_one_keep_their_labels(pets: Path) -> None:
    (pets / "cat/p0.png").write_bytes(b"no")
    data = prepare(pets, test_share=0, valid_share=0)
    for place, row in enumerate(data.train.rows.tolist()):
        name = name_of(data, row)
        expected = np.asarray(Image.open(pets / name)).transpose(2, 0, 1)
        assert np.array_equal(data.train.at(torch.tensor([place])).inputs[0].numpy(), expected)
        assert data.task.classes[int(data.train.targets[place])] == name.split("/")[0]


# copies


def test_copies_of_a_file_stay_in_one_part(pets: Path) -> None:
    for i in range(15):
        (pets / "dog" / f"copy{i}.png").write_bytes((pets / "dog" / f"p{i}.png").read_bytes())
    data = prepare(pets, valid_share=0.2)
    assert data.card["duplicates"] == 15
    seen: dict[bytes, str] = {}
    for part in ("train", "valid", "test"):
        for row in getattr(data, part).rows.tolist():
            content = (pets / name_of(data, row)).read_bytes()
            assert seen.setdefault(content, part) == part
    assert len(seen) == 50


# tables of paths


def write_table(pets: Path, *columns: str, separator: str = ",") -> Path:
    """A CSV beside the folder `pets`, with the columns asked for."""
    lines = [separator.join(columns)]
    for i, file in enumerate(sorted(pets.rglob("*.png"))):
        cells = {
            "file": f"pets/{file.parent.name}/{file.name}",
            "animal": file.parent.name,
            "age": f"{i * 0.37:.2f}",
            "furry": str(i % 2),
            "big": str(i // 2 % 2),
            "owner": f"o{i // 5}",
            "split": ("train", "train", "train", "val", "test")[i % 5],
        }
        lines.append(separator.join(cells[column] for column in columns))
    path = pets.parent / "pets.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_of_paths(pets: Path) -> None:
    path = write_table(pets, "file", "animal", separator=";")
    assert is_image_source(path)
    data = prepare(path)
    assert data.task.targets == ("animal",)
    assert data.task.classes == ("cat", "dog")
    assert data.card["parts"]["test"] == 10


def test_a_table_needs_a_target_when_it_offers_several(pets: Path) -> None:
    path = write_table(pets, "file", "animal", "age")
    with pytest.raises(GliaError, match="animal, age"):
        prepare(path)
    assert prepare(path, target="animal").task.kind == "classify"
    assert prepare(path, target="age").task.kind == "regress"
    assert prepare(path, drop="age").task.targets == ("animal",)


def test_a_table_with_several_labels_groups_and_parts(pets: Path) -> None:
    path = write_table(pets, "file", "furry", "big", "owner")
    data = prepare(path, target="furry,big", group="owner", valid_share=0.2)
    assert data.task.kind == "multilabel"
    owners = [set((batches.rows // 5).tolist()) for batches in (data.train, data.valid, data.test) if batches]
    assert sum(map(len, owners)) == len(set().union(*owners)) == 10
    named = prepare(write_table(pets, "file", "animal", "split"))
    assert named.card["parts"] == {"train": 30, "valid": 10, "test": 10}
    assert named.test is not None
    assert set((named.test.rows % 5).tolist()) == {4}


def test_missing_files_and_labels_of_a_table(pets: Path) -> None:
    path = write_table(pets, "file", "animal")
    path.write_text(path.read_text() + "pets/cat/gone.png,cat\npets/cat/p1.png,\n")
    data = prepare(path)
    assert data.card["rows"] == 50
    assert {(item["what"], item["count"]) for item in data.card["dropped"]} == {("rows", 1), ("pets/cat/gone.png", 1)}


def test_plain_tables_are_no_picture_sources(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "logo.csv").write_text("logo,b\nabsent.png,2\nabsent2.png,4\n")
    for source in (tmp_path / "t.csv", tmp_path / "logo.csv", tmp_path, "iris", tmp_path / "absent.csv", 5):
        assert not is_image_source(source)


# other files for validation and test


def test_a_test_folder_given_apart(pets: Path, tmp_path: Path) -> None:
    fill(tmp_path / "held/cat", 3, seed=500)
    fill(tmp_path / "held/dog", 3, seed=600)
    data = prepare(pets, test=str(tmp_path / "held"))
    assert data.card["parts"] == {"train": 45, "valid": 5, "test": 6}
    fill(tmp_path / "held/bird", 1, seed=700)
    with pytest.raises(GliaError, match="class 'bird' .of held/bird/p0.png"):
        prepare(pets, test=str(tmp_path / "held"))


# pictures that do not fit in memory


def test_decoding_on_demand_gives_the_same(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = prepare(pets, image_size=9)
    monkeypatch.setattr(pixels, "free_bytes", lambda: 1000)
    monkeypatch.setattr(pixels, "DISK_SHARE", 0)
    loose = prepare(pets, image_size=9)
    assert isinstance(loose.train.inputs, FileRows)
    assert loose.facts == held.facts
    for one, other in zip(held.train.epoch(0, 0, 8), loose.train.epoch(0, 0, 8), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other))
    (pets / "cat/p0.png").unlink()
    everything = torch.arange(len(loose.train))
    with pytest.raises(GliaError, match="p0.png can no longer be read"):
        for part in (loose.train, loose.valid, loose.test):
            assert part is not None
            part.at(everything[: len(part)])


def test_decoded_pictures_on_disk_are_the_same(pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (pets / "cat/p1.png").write_bytes(b"no picture")
    monkeypatch.setenv("GLIA_CACHE", str(tmp_path / "cache"))
    held = prepare(pets, image_size=9)
    monkeypatch.setattr(pixels, "free_bytes", lambda: 1000)
    aside = prepare(pets, image_size=9)
    assert isinstance(aside.train.inputs, MappedRows) and "on the disk" in " ".join(aside.notes)
    assert not list((tmp_path / "cache" / "pictures").iterdir())  # the file has no name
    assert aside.facts == held.facts
    for part in ("train", "valid", "test"):
        ours, theirs = getattr(held, part), getattr(aside, part)
        for one, other in zip(ours.epoch(0, 0, 8), theirs.epoch(0, 0, 8), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other))
    (pets / "cat/p0.png").unlink()  # nothing is read again
    assert len(aside.train.at(torch.arange(len(aside.train))).inputs) == len(aside.train)


def test_large_pictures_are_augmented_ahead_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed, kind in enumerate(("cat", "dog")):
        fill(tmp_path / "large" / kind, 12, seed=100 * seed, side=(70, 80))
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1}, raising=False)
    ahead, asked = prepare(tmp_path / "large"), prepare(tmp_path / "large", workers=0)
    assert ahead.train.workers == 1 and asked.train.workers == 0
    assert ahead.valid is not None and ahead.valid.workers == 0  # held in memory as the network takes them
    for one, other in zip(ahead.train.epoch(0, 1, 5), asked.train.epoch(0, 1, 5), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0})
    assert prepare(tmp_path / "large").train.workers == 0
    assert prepare(tmp_path / "large", workers=2).train.workers == 2


def test_small_pictures_need_no_thread_but_for_their_files(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1}, raising=False)
    assert prepare(pets, augment="flip").train.workers == 0
    monkeypatch.setattr(pixels, "free_bytes", lambda: 1000)
    for share in (pixels.DISK_SHARE, 0.0):  # decoded once, onto the disk; decoded each time
        monkeypatch.setattr(pixels, "DISK_SHARE", share)
        aside = prepare(pets)
        assert aside.valid is not None and aside.train.workers == aside.valid.workers == 1


def test_time_and_columns_that_folders_lack(pets: Path) -> None:
    with pytest.raises(GliaError, match="time"):
        prepare(pets, time="taken")
    with pytest.raises(GliaError, match="group"):
        prepare(pets, group="owner")


# real photos


def test_ants_and_bees(shared_data: Callable[[str], Path]) -> None:
    data = prepare(shared_data("hymenoptera"), image_size=64)
    assert data.task.classes == ("ants", "bees")
    assert data.card["rows"] == 397
    assert data.card["parts"]["valid"] == 153
    assert data.card["classes"]["ants"]["valid"] == 70
    assert data.card["format"]["distinct_sizes"] > 100
    assert data.card["augment"]["flip"] == 0.5


def test_photos_of_cifar_as_folders(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    stored = np.load(shared_data("cifar10/cifar10_jpg.npz"))
    ends, files, answers = stored["end_train"], stored["jpg_train"], stored["y_train"]
    for i in range(300):
        folder = tmp_path / f"class {answers[i]}"
        folder.mkdir(exist_ok=True)
        (folder / f"{i}.jpg").write_bytes(files[ends[i - 1] if i else 0 : ends[i]].tobytes())
    data = prepare(tmp_path)
    assert data.card["rows"] == 300
    assert data.card["format"]["sizes"] == {"32x32": 300}
    assert data.card["format"]["resize"] == "none"
    assert facts_of(data).mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=0.04)
    row = int(data.train.rows[5])
    name = name_of(data, row)
    expected = np.asarray(Image.open(tmp_path / name)).transpose(2, 0, 1)
    assert np.array_equal(data.train.at(torch.tensor([5])).inputs[0].numpy(), expected)

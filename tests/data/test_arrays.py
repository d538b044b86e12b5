"""Pictures as arrays: layouts, value ranges, labels, .npz and .npy files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from glia.data.batches import Batches
from glia.data.facts import ImageFacts
from glia.data.images.arrayfiles import is_array_source, open_arrays
from glia.data.images.arrays import channels_first, label_columns, to_uint8, value_range, with_channels
from glia.data.images.prepare import is_image_source, prepare_images
from glia.data.images.reader import ImageReader
from glia.data.prepared import Prepared
from glia.errors import GliaError
from glia.recipe import Recipe


def random_pictures(*shape: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def prepare(source: Any, seed: int = 0, **settings: Any) -> Prepared:
    return prepare_images(Recipe.of(source=source, **settings).data, seed)


def facts_of(data: Prepared) -> ImageFacts:
    assert isinstance(data.facts, ImageFacts)
    return data.facts


def pixels_of(batches: Batches | None) -> torch.Tensor:
    assert batches is not None and isinstance(batches.inputs, torch.Tensor)
    return batches.inputs


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def labels(n: int, classes: int = 2) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.arange(n) % classes


def test_layouts_are_told_apart() -> None:
    assert channels_first(np.zeros((5, 8, 9)), False).shape == (5, 1, 8, 9)
    assert channels_first(np.zeros((5, 8, 9, 3)), False).shape == (5, 3, 8, 9)
    assert channels_first(np.zeros((5, 3, 8, 9)), False).shape == (5, 3, 8, 9)
    assert channels_first(np.zeros((5, 3, 8, 3)), False).shape == (5, 3, 3, 8)  # both fit: NumPy keeps colours last
    assert channels_first(np.zeros((5, 3, 8, 3)), True).shape == (5, 3, 8, 3)
    with pytest.raises(GliaError, match=r"\(5, 7, 8, 9\)"):
        channels_first(np.zeros((5, 7, 8, 9)), False)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0.0, 0.7]), (0, 1)),
        (np.array([-1.0, 0.7]), (-1, 1)),
        (np.array([0, 16]), (0, 16)),
        (np.array([0.0, 254.5]), (0, 255)),
        (np.array([0, 4000], np.uint16), (0, 65535)),
        (np.array([-3.0, 5.0]), (-3, 5)),
        (np.array([0, 1], np.uint8), (0, 255)),
    ],
)
def test_value_ranges(values: np.ndarray[Any, Any], expected: tuple[float, float]) -> None:
    assert value_range([values]) == expected


def test_floats_and_bytes_of_one_picture_are_the_same() -> None:
    x = random_pictures(4, 1, 5, 5)
    assert np.array_equal(to_uint8(x / 255, 0, 1), x)
    assert np.array_equal(to_uint8(x.astype(np.float64) / 127.5 - 1, -1, 1), x)
    assert np.array_equal(to_uint8(x.astype(np.uint16) * 257, 0, 65535), x)


def test_colours_are_converted_as_pillow_does() -> None:
    from PIL import Image

    x = random_pictures(2, 4, 6, 6)
    image = Image.fromarray(x[0, :3].transpose(1, 2, 0))
    assert np.array_equal(with_channels(x[:1, :3], 1)[0, 0], np.asarray(image.convert("L")))
    clear = x.copy()
    clear[:, 3] = 0
    assert (with_channels(clear, 3) == 255).all()
    clear[:, 3] = 255
    assert np.array_equal(with_channels(clear, 3), x[:, :3])


def test_labels_of_every_shape() -> None:
    assert label_columns(np.array([[3], [1]]), (), "auto") == {"label": ["3", "1"]}
    assert label_columns(np.eye(3), (), "auto") == {"label": ["0", "1", "2"]}
    assert label_columns(np.array([1.0, np.nan]), ("age",), "auto") == {"age": ["1", ""]}
    assert label_columns(np.array([b"cat", b"dog"]), (), "auto") == {"label": ["cat", "dog"]}
    assert list(label_columns(np.array([[1, 1], [0, 1]]), ("a", "b"), "auto")) == ["a", "b"]


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("X_train", "Y_train", "X_test", "Y_test"),
    ],
)
def test_official_parts_of_an_npz(tmp_path: Path, names: tuple[str, str, str, str]) -> None:
    x, extra = random_pictures(40, 6, 7), random_pictures(10, 6, 7, seed=1)
    save(tmp_path / "d.npz", **dict(zip(names, (x, labels(40), extra, labels(10)))))
    data = prepare(tmp_path / "d.npz")
    assert data.test is not None and data.valid is not None
    assert torch.equal(pixels_of(data.test), torch.from_numpy(extra)[:, None])
    assert (len(data.train), len(data.valid)) == (36, 4)
    mine = data.train.rows
    assert torch.equal(pixels_of(data.train), torch.from_numpy(x)[mine][:, None])
    assert torch.equal(data.train.targets, mine % 2)
    assert data.task.classes == ("0", "1")
    train = x[mine.numpy()] / 255
    assert facts_of(data).mean == pytest.approx((train.mean(),), rel=1e-9)
    assert facts_of(data).std == pytest.approx((train.std(),), rel=1e-9)


@pytest.mark.parametrize("names", [("x", "y"), ("X", "y"), ("images", "labels"), ("images", "person")])
def test_an_npz_without_parts_is_split(tmp_path: Path, names: tuple[str, str]) -> None:
    save(tmp_path / "d.npz", **dict(zip(names, (random_pictures(50, 6, 6), labels(50, 5)))))
    assert is_image_source(str(tmp_path / "d.npz"))
    data = prepare(str(tmp_path / "d.npz"))
    assert data.card["parts"] == {"train": 36, "valid": 4, "test": 10}
    assert all(count["test"] == 2 for count in data.card["classes"].values())


def test_class_names_may_lie_in_the_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=random_pictures(20, 6, 6), y=labels(20), class_names=np.array(["cat", "dog"]))
    data = prepare(tmp_path / "d.npz")
    assert data.task.classes == ("cat", "dog")
    raw = next(data.reader.stream((random_pictures(2, 6, 6), np.array([1, 0])), targets=True))
    assert raw.targets is not None
    assert raw.targets.tolist() == [1, 0]


def test_npy_with_its_labels_beside_it(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", random_pictures(20, 6, 6))
    assert is_image_source(tmp_path / "x.npy")
    with pytest.raises(GliaError, match="y.npy"):
        prepare(tmp_path / "x.npy")
    np.save(tmp_path / "y.npy", labels(20))
    assert prepare(tmp_path / "x.npy").card["rows"] == 20


def test_nothing_is_unpickled_and_damage_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", x=np.array([None, {}], dtype=object), y=labels(2))
    np.savez(tmp_path / "mixed.npz", x=random_pictures(2, 4, 4), y=np.array([{}, None], dtype=object))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "mixed.npz").read_bytes()[:200])
    for name in ("objects", "mixed", "cut"):
        with pytest.raises(GliaError) as caught:
            open_arrays(tmp_path / f"{name}.npz")
        assert name in str(caught.value)


def test_lengths_must_agree() -> None:
    with pytest.raises(GliaError, match="3 pictures and 4 labels"):
        open_arrays((random_pictures(3, 4, 4), labels(4)))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((0, 5, 5)), np.zeros(0), "no pictures"),
        (np.zeros((4, 0, 5)), np.arange(4) % 2, "holds no pictures"),
        (random_pictures(9, 5, 5), np.zeros(9), "only one class"),
        (np.zeros((4, 5, 5), complex), np.arange(4) % 2, "complex"),
    ],
)
def test_nothing_to_learn_from_is_one_clear_line(x: Any, y: Any, message: str) -> None:
    with pytest.raises(GliaError, match=message):
        prepare((x, y))


def test_numbers_that_never_repeat_are_no_classes() -> None:
    assert prepare((random_pictures(20, 5, 5), np.arange(20))).task.kind == "regress"


def test_what_is_no_array_source(tmp_path: Path) -> None:
    np.savez(tmp_path / "table.npz", x=np.zeros((5, 4)), y=labels(5))
    for source in (tmp_path / "table.npz", (np.zeros((5, 4)), labels(5)), "nowhere.npz", [1, 2], None):
        assert not is_array_source(source)


def test_torch_tensors_have_colours_first() -> None:
    x = torch.from_numpy(random_pictures(20, 3, 8, 3))
    assert facts_of(prepare((x, torch.arange(20) % 2))).width == 3


def test_pictures_with_nan_count_as_unreadable() -> None:
    x = random_pictures(40, 4, 4) / 255
    x[7, 0, 0] = np.nan
    data = prepare((x, labels(40)))
    assert data.card["rows"] == 39
    assert data.card["dropped"] == [{"what": "pictures", "why": "NaN or infinite values", "count": 1}]
    x[:10] = np.inf
    with pytest.raises(GliaError, match="10 of 40"):
        prepare((x, labels(40)))


def test_a_measured_range_comes_from_training_rows_alone() -> None:
    x, y = np.random.default_rng(0).normal(size=(60, 5, 5)), labels(60)
    plain = prepare((x, y))
    assert plain.test is not None
    x[plain.test.rows.numpy()] *= 100
    reader = prepare((x, y)).reader
    assert isinstance(reader, ImageReader)
    train = x[plain.train.rows.numpy()]
    assert (reader.low, reader.high) == (train.min(), train.max())


def test_exact_copies_never_stand_in_two_parts() -> None:
    x = np.repeat(random_pictures(30, 5, 5), 4, axis=0)
    data = prepare((x, np.repeat(labels(30, 3), 4)), valid_share=0.2)
    assert data.card["duplicates"] == 90
    parts = [set((batches.rows // 4).tolist()) for batches in (data.train, data.valid, data.test) if batches]
    assert len(parts) == 3
    assert sum(map(len, parts)) == len(set().union(*parts)) == 30


def test_training_copies_of_official_test_pictures_are_left_out(tmp_path: Path) -> None:
    x = random_pictures(50, 5, 5)
    np.savez(tmp_path / "d.npz", x_train=x[:40], y_train=labels(40), x_test=x[35:], y_test=labels(15))
    data = prepare(tmp_path / "d.npz")
    assert data.card["parts"]["test"] == 15
    assert data.card["parts"]["train"] + data.card["parts"]["valid"] == 35
    dropped = {"what": "pictures", "why": "exact copies of pictures in the test part", "count": 5}
    assert dropped in data.card["dropped"]


def test_one_picture_with_two_labels_is_told() -> None:
    x = random_pictures(40, 5, 5)
    x[1] = x[0]
    assert any("different labels" in note for note in prepare((x, labels(40))).notes)


def test_numbers_to_predict() -> None:
    rng = np.random.default_rng(0)
    data = prepare((random_pictures(50, 5, 5), rng.normal(3, 2, 50)))
    assert data.task.kind == "regress"
    assert data.train.targets.shape == (len(data.train), 1)
    assert float(data.train.targets.mean()) == pytest.approx(0, abs=1e-6)
    assert float(data.train.targets.std(correction=0)) == pytest.approx(1, abs=1e-6)


def test_several_labels_at_once() -> None:
    y = np.random.default_rng(0).integers(0, 2, (50, 3))
    data = prepare((random_pictures(50, 5, 5), y), target="a,b,c")
    assert (data.task.kind, data.task.targets) == ("multilabel", ("a", "b", "c"))
    assert torch.equal(data.train.targets, torch.from_numpy(y).float()[data.train.rows])


def test_a_class_that_only_the_test_part_has_is_named(tmp_path: Path) -> None:
    x = random_pictures(50, 5, 5)
    np.savez(tmp_path / "d.npz", x_train=x[:40], y_train=labels(40), x_test=x[40:], y_test=labels(10, 3))
    with pytest.raises(GliaError, match="class '2'"):
        prepare(tmp_path / "d.npz")


def test_limit_rows_takes_them_by_lot_and_the_same_again() -> None:
    source = (random_pictures(200, 5, 5), np.sort(labels(200)))
    data = prepare(source, limit_rows=50)
    assert data.card["rows"] == 50
    assert data.card["fingerprint"] == prepare(source, limit_rows=50).card["fingerprint"]
    assert all(count["train"] > 5 for count in data.card["classes"].values())


def test_digits() -> None:
    data = prepare("digits")
    assert data.card["rows"] == 1797
    assert data.task.classes == tuple("0123456789")
    assert facts_of(data).height == facts_of(data).width == 8
    assert isinstance(data.train.inputs, torch.Tensor)
    assert int(data.train.inputs.max()) == 255
    pictures, digits = load_digits(return_X_y=True)
    for batch in data.train.ordered(512):
        rows = data.train.rows[batch.index]
        assert torch.equal(batch.targets, torch.from_numpy(digits)[rows])
        like = torch.from_numpy(pictures).view(-1, 1, 8, 8)[rows] * (255 / 16)
        assert (batch.inputs - like).abs().max() <= 0.5


def test_reader_reads_as_training_did_and_survives_json() -> None:
    import json

    x = random_pictures(40, 6, 6) / 255
    data = prepare((x, labels(40)), image_size=4)
    reader = ImageReader.from_dict(json.loads(json.dumps(data.reader.to_dict())))
    assert reader == data.reader
    pieces = list(reader.stream((x, labels(40)), targets=True, rows=16))
    assert [len(piece.names) for piece in pieces] == [16, 16, 8]
    inputs, targets = (torch.cat([piece[i] for piece in pieces]) for i in (0, 1))  # type: ignore[misc]
    assert isinstance(data.train.inputs, torch.Tensor)
    assert torch.equal(inputs[data.train.rows], data.train.inputs)
    assert torch.equal(targets[data.train.rows], data.train.targets)
    one = next(reader.stream(x[3]))
    assert torch.equal(one.inputs, inputs[3:4])
    assert one.targets is None


def test_mnist(shared_data: Callable[[str], Path]) -> None:
    data = prepare(shared_data("mnist/mnist.npz"))
    assert data.card["parts"] == {"train": 54000, "valid": 6000, "test": 10000}
    assert facts_of(data).mean == pytest.approx((0.1307,), abs=5e-4)  # the figures everybody normalises MNIST by
    assert facts_of(data).std == pytest.approx((0.3081,), abs=5e-4)
    assert data.card["duplicates"] == 0


def test_faces(shared_data: Callable[[str], Path]) -> None:
    data = prepare(shared_data("orl-faces/orl_faces.npz"))
    assert len(data.task.classes) == 40
    assert data.task.classes[:3] == ("0", "1", "2")
    assert data.task.targets == ("person",)
    assert all(count["test"] == 2 for count in data.card["classes"].values())

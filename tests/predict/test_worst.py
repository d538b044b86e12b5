"""worst: the largest losses first, told by name, with cells or a picture; never anybody else's cells."""

import io
import json
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from glia.data.batches import Batches
from glia.data.task import Task
from glia.predict.worst import row_losses, worst

CLASSES = Task("classify", ("y",), ("cat", "dog"))


def part(batches: Batches, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    return {"rows": batches.rows, "outputs": outputs, "targets": targets}


def entries(files: dict[str, bytes]) -> list[dict[str, Any]]:
    return json.loads(files["worst.json"])


def table(frame: pl.DataFrame, rows: list[int], targets: Tensor) -> Batches:
    x = torch.tensor(frame.select("x0", "x1", "x2").to_numpy(), dtype=torch.float32)
    return Batches(x[rows], targets, torch.tensor(rows))


def test_losses_are_those_of_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    want = torch.randint(0, 3, (20,), generator=generator)
    task = Task("classify", ("y",), ("a", "b", "c"))
    got = row_losses(task, logits.softmax(1).numpy(), want.numpy())
    np.testing.assert_allclose(got, F.cross_entropy(logits, want, reduction="none"))
    labels = (logits > 0.3).double()
    got = row_losses(Task("multilabel", ("a", "b", "c")), logits.sigmoid().numpy(), labels.numpy())
    want_loss = F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(1)
    np.testing.assert_allclose(got, want_loss)
    values = Task("regress", ("a", "b"), center=(0.0, 0.0), scale=(10.0, 1.0))
    np.testing.assert_allclose(row_losses(values, np.array([[20.0, 1.0]]), np.array([[0.0, 0.0]])), [2.5])


def test_a_table_tells_rows_and_cells(reader: Any, frame: Any) -> None:
    source = frame(5000).with_columns(city=pl.Series(["Bern"] * 4999 + [None]))
    rows = [7, 4321, 4999]
    targets = torch.tensor([0, 1, 1])
    batches = table(source, rows, targets)
    outputs = torch.tensor([[0.9, 0.1], [0.99, 0.01], [0.6, 0.4]])
    files = worst(CLASSES, part(batches, outputs, targets), batches, reader(), source, most=2)
    assert list(files) == ["worst.json"]
    first, second = entries(files)
    assert (first["name"], first["target"], first["predicted"]) == ("row 4321", "dog", "cat")
    assert first["loss"] == pytest.approx(-math.log(0.01))
    assert first["share"] == pytest.approx(0.99)
    assert first["cells"]["city"] == "Bern"
    assert float(first["cells"]["x0"]) == pytest.approx(source["x0"][4321])
    assert (second["name"], second["cells"]["city"], second["picture"]) == ("row 4999", "", None)


def test_a_source_that_changed_or_went_gives_no_cells(reader: Any, frame: Any) -> None:
    source, targets = frame(10), torch.tensor([0, 1])
    batches = table(source, [3, 5], targets)
    found = part(batches, torch.full((2, 2), 0.5), targets)
    other = source.with_columns(x0=pl.when(pl.col("x1") == source["x1"][5]).then(9.0).otherwise("x0"))
    files = worst(CLASSES, found, batches, reader(), other)
    assert [entry["cells"] is None for entry in entries(files)] == [False, True]

    class Gone(reader):  # type: ignore[misc]
        def stream(self, source: Any, **_: Any) -> Any:
            raise FileNotFoundError(source)

    assert [entry["cells"] for entry in entries(worst(CLASSES, found, batches, Gone(), "gone.csv"))] == [None, None]


def test_pictures_come_as_png_with_the_name_of_their_file(reader: Any) -> None:
    images = torch.randint(0, 256, (3, 3, 8, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 0, 1])
    batches = Batches(images, targets, torch.tensor([4, 5, 6]))

    class Pictures(reader):  # type: ignore[misc]
        def name_of(self, row: int) -> str:
            return f"cats/{row}.jpg"

    outputs = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    files = worst(CLASSES, part(batches, outputs, targets), batches, Pictures("image"), "pictures")
    first = entries(files)[0]
    assert (first["name"], first["picture"], first["cells"]) == ("cats/5.jpg", "worst/0.png", None)
    assert set(files) == {"worst.json", "worst/0.png", "worst/1.png", "worst/2.png"}
    shown = np.array(Image.open(io.BytesIO(files["worst/0.png"])))
    assert np.array_equal(shown, images[1].permute(1, 2, 0).numpy())


def test_grey_pictures(reader: Any) -> None:
    batches = Batches(torch.full((1, 1, 4, 4), 7, dtype=torch.uint8), torch.tensor([0]), torch.tensor([0]))
    files = worst(CLASSES, part(batches, torch.tensor([[0.4, 0.6]]), batches.targets), batches, reader("image"), "x")
    picture = Image.open(io.BytesIO(files["worst/0.png"]))
    assert (picture.mode, picture.getpixel((0, 0))) == ("L", 7)


def test_rows_without_sound_outputs_are_the_worst_and_the_file_is_plain_json(reader: Any, frame: Any) -> None:
    source, targets = frame(3), torch.tensor([0, 1, 0])
    batches = table(source, [0, 1, 2], targets)
    outputs = torch.tensor([[0.0, 1.0], [math.nan, math.nan], [0.7, 0.3]])
    files = worst(CLASSES, part(batches, outputs, targets), batches, reader(), source)
    assert b"NaN" not in files["worst.json"]
    first = entries(files)[0]
    assert (first["name"], first["loss"], first["predicted"], first["share"]) == ("row 1", None, None, None)


def test_answers_in_words(reader: Any, frame: Any) -> None:
    source = frame(2)
    labels = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    batches = table(source, [0, 1], labels)
    outputs = torch.tensor([[0.1, 0.2], [0.4, 0.6]])
    both = Task("multilabel", ("red", "blue"))
    said = [
        (e["target"], e["predicted"])
        for e in entries(worst(both, part(batches, outputs, labels), batches, reader(), source))
    ]
    assert said == [("red, blue", "none"), ("none", "blue")]
    values = Task("regress", ("p", "q"), center=(0.0, 0.0), scale=(1.0, 1.0))
    first = entries(worst(values, part(batches, outputs, labels), batches, reader(), source))[0]
    assert (first["target"], first["predicted"], first["share"]) == ("p 1, q 1", "p 0.1, q 0.2", None)

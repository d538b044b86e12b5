"""The works: a network, rows for it that can be learnt, and how many of them a step and an epoch take."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset, TensorDataset

from benchmarks.speed import networks


@dataclass(frozen=True)
class Rows:
    """Training rows. x, y: where they are tensors in memory. collate, workers: what a DataLoader needs besides.

    check: some inputs and answers, by which it is seen that a network has learnt. bytes: what they take in memory.
    glia: what `glia.train` is given instead of `data=(x, y)`.
    """

    dataset: Dataset[Any]
    check: tuple[Tensor, Tensor]
    x: Tensor | None = None
    y: Tensor | None = None
    collate: Callable[[list[Any]], Any] | None = None
    workers: int = 0
    glia: dict[str, Any] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in (self.x, self.y) if t is not None)


@dataclass(frozen=True)
class Work:
    """One line of the table. steps: of an epoch; epochs: measured ones, after one that warms up.

    tokens: the answer is a token at every place. core: one of the six that the goals are about. flops: of a step, where
    torch's counter does not see all.
    """

    name: str
    title: str
    network: Callable[[], nn.Module]
    rows: Callable[[int, Path], Rows]
    batch: int
    steps: int
    epochs: int
    tokens: bool = False
    core: bool = True
    flops: float | None = None

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(logits.flatten(0, 1), y.flatten()) if self.tokens else F.cross_entropy(logits, y)

    def first_network(self) -> nn.Module:
        """The same first weights in every tool that takes a module."""
        torch.manual_seed(0)
        return self.network()

    def parameters(self) -> int:
        return sum(p.numel() for p in self.first_network().parameters())


def _in_memory(x: Tensor, y: Tensor) -> Rows:
    return Rows(TensorDataset(x, y), (x[:512], y[:512]), x, y)


def _noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def _classes(count: int, classes: int) -> Tensor:
    return torch.randint(0, classes, (count,), generator=torch.Generator().manual_seed(2))


def _table(count: int, folder: Path) -> Rows:
    """Two classes by a quadratic rule, some of the answers wrong."""
    x = _noise(count, 20)
    y = (x[:, 0] * x[:, 1] + x[:, 2] + 0.3 * x[:, 3] > 0).long()
    wrong = torch.rand(count, generator=torch.Generator().manual_seed(3)) < 0.05
    return _in_memory(x, torch.where(wrong, 1 - y, y))


def _patterns(*shape: int) -> Callable[[int, Path], Rows]:
    """Ten patterns under noise."""

    def rows(count: int, folder: Path) -> Rows:
        y, x = _classes(count, 10), _noise(count, *shape)
        x += 0.3 * torch.randn((10, *shape), generator=torch.Generator().manual_seed(4))[y]
        return _in_memory(x, y)

    return rows


def _tokens(count: int, folder: Path) -> Rows:
    """A chain of 65 letters: each is followed by one of four, at random."""
    after = torch.randint(0, 65, (65, 4), generator=torch.Generator().manual_seed(5))
    which = torch.randint(0, 4, (129, count), generator=torch.Generator().manual_seed(6))
    text = [_classes(count, 65)]
    for step in range(1, 129):
        text.append(after[text[-1], which[step]])
    all_of = torch.stack(text, 1)
    return _in_memory(all_of[:, :-1].contiguous(), all_of[:, 1:].contiguous())


class _Jpegs(Dataset[Any]):
    """Pictures as torchvision's ImageFolder with a usual transform gives them: decoded anew each time."""

    def __init__(self, paths: list[Path], labels: list[int], side: int):
        self.paths, self.labels, self.side = paths, labels, side

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.paths[index]) as picture:
            pixels = np.asarray(picture.convert("RGB").resize((self.side, self.side)), dtype=np.float32)
        return torch.from_numpy(pixels.transpose(2, 0, 1) / 255), self.labels[index]


def _photographs(count: int, folder: Path) -> Rows:
    """JPEG files of 128 x 128 in ten folders, a colour and stripes each under noise; made where they are not yet."""
    top, paths, labels = folder / f"jpegs-{count}", [], []
    draw = np.random.default_rng(0)
    colours = draw.uniform(60, 190, (10, 3))
    across = np.arange(128)
    for number in range(count):
        label = number % 10
        path = top / f"class{label}" / f"{number:05}.jpg"
        paths.append(path)
        labels.append(label)
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        stripes = 30 * np.sin(across * (label + 2) / 20 + draw.uniform(0, 6))[None, :, None]
        coarse = draw.normal(0, 40, (16, 16, 3)).repeat(8, 0).repeat(8, 1)
        pixels = np.clip(colours[label] + stripes + coarse, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path, quality=85)
    data = _Jpegs(paths, labels, 64)
    some = [data[i] for i in range(min(128, count))]
    check = torch.stack([x for x, _ in some]), torch.tensor([y for _, y in some])
    # No row is held out anywhere: the work is the same for all.
    own = {"source": str(top), "image_size": 64, "augment": "none", "valid_share": 0.0, "test_share": 0.0}
    return Rows(data, check, workers=2, glia=own)


VOCABULARY = 5200  # words that are made up, and room for a tokeniser's own


class _TextRows(Dataset[Any]):
    def __init__(self, texts: list[Tensor], labels: Tensor):
        self.texts, self.labels = texts, labels

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.texts[index], self.labels[index]


def _filled(rows: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    texts, labels = zip(*rows)
    return nn.utils.rnn.pad_sequence(list(texts), batch_first=True), torch.stack(labels)


def _spelled(number: int) -> str:
    """A word for a number below 26 ** 3."""
    return "".join(chr(97 + number // power % 26) for power in (676, 26, 1))


def _texts(count: int, folder: Path) -> Rows:
    """Texts of 5 to 200 words, most of them short; the words of one kind of text are not quite those of the other."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, count)
    lengths = np.clip(draw.lognormal(3.4, 0.7, count), 5, 200).astype(int)
    words = [draw.integers(1 + 500 * label, 4501 + 500 * label, length) for label, length in zip(labels, lengths)]
    data = _TextRows([torch.from_numpy(one) for one in words], torch.from_numpy(labels))
    own = {
        "source": {"text": [" ".join(map(_spelled, one)) for one in words], "label": labels.tolist()},
        "kind": "text", "text": "text", "target": "label", "tokenizer": "words", "vocabulary": VOCABULARY,
        "augment": "none", "valid_share": 0.0, "test_share": 0.0,
    }  # fmt: skip
    return Rows(data, _filled([data[i] for i in range(min(256, count))]), collate=_filled, glia=own)


def _lstm_flops(batch: int, steps: int, inputs: int, units: int) -> float:
    """Forward and twice that back: four gates of a state and an input at each place."""
    return 3 * 2.0 * batch * steps * 4 * units * (inputs + units)


ALL = (
    Work("table", "table MLP 20-64-64-2, batch 32", lambda: networks.dense(20, 64, 64, 2), _table, 32, 625, 12),
    Work(
        "mlp", "MLP 784-256-128-10, batch 128", lambda: networks.dense(784, 256, 128, 10), _patterns(784), 128, 100, 12
    ),
    Work("lenet", "LeNet-5, batch 128", networks.lenet, _patterns(1, 28, 28), 128, 100, 5),
    Work(
        "lstm", "LSTM 128, 32 x 100 x 64", lambda: networks.Recurrent(64, 128, 10), _patterns(100, 64), 32, 100, 5,
        flops=_lstm_flops(32, 100, 64, 128),
    ),
    Work("gpt", "GPT 4 x 128, 16 x 128 tokens", networks.gpt, _tokens, 16, 30, 3, tokens=True),
    Work("resnet", "ResNet-20, batch 128 x 32 x 32", networks.resnet20, _patterns(3, 32, 32), 128, 12, 2),
    Work("million", "table of 1,000,000 rows, MLP 20-64-64-2, batch 256", lambda: networks.dense(20, 64, 64, 2), _table,
         256, math.ceil(1e6 / 256), 1, core=False),
    Work("jpegs", "10,000 JPEG files, CNN at 64 x 64, batch 64", networks.Photographs, _photographs, 64,
         math.ceil(1e4 / 64), 2, core=False),
    Work("texts", "10,000 texts of 5 to 200 words, batch 32", lambda: networks.Texts(VOCABULARY), _texts, 32,
         math.ceil(1e4 / 32), 2, core=False),
)  # fmt: skip
BY_NAME = {work.name: work for work in ALL}

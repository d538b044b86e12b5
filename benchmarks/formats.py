"""Does bfloat16 train networks with batch norm to the same figures? The same trainings in two formats, seed by seed.

    python -m benchmarks.formats                      # all of them
    python -m benchmarks.formats resnet20 --seeds 16  # prints, and leaves the page as it is

Each seed gives one pair of trainings by `glia.fit`: the same first weights, rows, batches and rates, once in float32
and once in bfloat16 (autocast; validation too). The control is float32 with nothing but its rounding changed: products
of matrices by oneDNN, which is as exact and adds in another order. What rounding alone does to a training is no loss
of exactness, so the control is the measure of what a difference is worth.

Rows are those of the training parts: the first ones train, the next ones validate. Trainings that are done stand in
formats.jsonl; those with the same settings, processor and torch are not made again, so a run that was cut goes on.
Writes FORMATS.md.

Verdict, settled before any figure was seen: bfloat16 is equal where, for the validation loss and for the validation
accuracy after the last epoch, the 95 % interval of the mean paired difference holds 0 or lies on the better side, and
the mean difference is no larger than the standard deviation of float32 over seeds.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from scipy.stats import ttest_1samp
from torch import Tensor, nn

import glia
from benchmarks.accuracy import CIFAR10, SHARED
from glia.data.batches import Batches
from glia.data.facts import ImageFacts
from glia.data.task import Task
from glia.models.build import build
from glia.optim import build as optim
from glia.optim import schedules
from glia.runs import machine
from glia.seed import mix
from glia.training.numbers import exact_onednn

PAGE, KEPT = (Path(__file__).with_name(f"{name}") for name in ("FORMATS.md", "formats.jsonl"))
SEEDS, BATCH = 8, 32
FORMATS = {
    "float32": {"precision": "float32"},
    "bfloat16": {"precision": "bfloat16"},
    "control": {"precision": "float32", "products": "onednn"},
}
MEASURES = ("train_loss", "valid_loss", "valid_accuracy")
JUDGED = {"valid_loss": -1, "valid_accuracy": 1}  # what is judged, and which way is better
CONSOLE = Console(highlight=False)
Make = Callable[[ImageFacts, int], nn.Module]


@dataclass(frozen=True)
class Work:
    """A network with batch norm, its rows, and how it is trained.

    lr: the highest rate; it rises over a tenth of the steps and falls to 0 along a line, as in `glia.train`.
    """

    about: str
    data: str
    make: Make
    rows: int = 3000
    valid: int = 2000
    epochs: int = 4
    optimizer: str = "nesterov"
    lr: float = 0.0

    def settings(self) -> dict[str, Any]:
        given = {name: getattr(self, name) for name in ("data", "rows", "valid", "epochs", "optimizer", "lr")}
        about = machine.describe()
        return given | {"batch": BATCH, "cpu": about["cpu"], "torch": about["versions"]["torch"]}


def residual(facts: ImageFacts, seed: int) -> nn.Module:
    return build("resnet20", facts, Task("classify", ("class",), CIFAR10), seed=seed)


def _drawn(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(seed, "weights"))
        return make()


def convolutional(facts: ImageFacts, seed: int) -> nn.Module:
    def make() -> nn.Module:
        layers: list[nn.Module] = []
        for inputs, outputs in ((1, 16), (16, 32)):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
        return nn.Sequential(Scaled(facts), *layers, nn.Flatten(), nn.Linear(32 * 49, 10))

    return _drawn(make, seed)


def dense(facts: ImageFacts, seed: int) -> nn.Module:
    def make() -> nn.Module:
        layers: list[nn.Module] = []
        for inputs, outputs in ((784, 256), (256, 128)):
            layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()]
        return nn.Sequential(Scaled(facts), nn.Flatten(), *layers, nn.Linear(128, 10))

    return _drawn(make, seed)


class Scaled(nn.Module):
    """Bytes to numbers of mean 0 and deviation 1."""

    def __init__(self, facts: ImageFacts):
        super().__init__()
        self.mean, self.std = 255 * facts.mean[0], 255 * facts.std[0]

    def forward(self, x: Tensor) -> Tensor:
        return (x.float() - self.mean) / self.std


WORKS = {
    "dense": Work("layers of 256 and 128 units", "mnist", dense, optimizer="adamw", lr=1e-3),
    "convolutions": Work("convolutions of 16 and 32 channels", "mnist", convolutional, lr=0.02),
    "resnet20": Work("ResNet-20", "cifar10", residual, rows=2000, lr=0.1),
}


def pictures(data: str, count: int) -> tuple[Tensor, Tensor]:
    """uint8 (N, C, H, W) and class indices of the first training rows."""
    if data == "mnist":
        with np.load(SHARED / "mnist/mnist.npz") as packed:
            x, y = packed["x_train"][:count, None], packed["y_train"][:count]
    else:
        with np.load(SHARED / "cifar10/cifar10_jpg.npz") as packed:
            ends, files, y = packed["end_train"][:count], packed["jpg_train"], packed["y_train"][:count]
        parts = np.split(files[: ends[-1]], ends[:-1])
        x = np.stack([np.asarray(Image.open(BytesIO(part.tobytes()))) for part in parts]).transpose(0, 3, 1, 2)
    return torch.tensor(x), torch.tensor(y, dtype=torch.int64)


def rows_of(work: Work) -> tuple[Batches, Batches, ImageFacts]:
    x, y = pictures(work.data, work.rows + work.valid)
    train = x[: work.rows].float() / 255
    channels = train.transpose(0, 1).flatten(1)
    facts = ImageFacts(*x.shape[1:], tuple(channels.mean(1).tolist()), tuple(channels.std(1).tolist()), work.rows)
    parts = [slice(work.rows), slice(work.rows, None)]
    one, other = (Batches(x[part], y[part], torch.arange(len(x))[part]) for part in parts)
    return one, other, facts


def training(work: Work, data: tuple[Batches, Batches, ImageFacts], seed: int, form: str) -> dict[str, Any]:
    """Figures of each epoch, and CPU seconds."""
    train, valid, facts = data
    model = work.make(facts, seed)
    optimizer = optim.build(work.optimizer, model, lr=work.lr)
    steps = train.steps(BATCH)
    schedule = schedules.build("linear", work.epochs * steps, steps, 0.1)
    began, seen = time.process_time(), []
    run = glia.fit(
        model, (train, valid), optimizer=optimizer, lr=work.lr, schedule=schedule, epochs=work.epochs, batch_size=BATCH,
        seed=seed, measure_every=10**9, **FORMATS[form],
    )  # fmt: skip
    for moment in run:
        if moment.kind == "epoch":
            seen.append([moment.figures[name] for name in MEASURES])
    return {"seconds": time.process_time() - began, "epochs": seen}


def measured(name: str, work: Work, seeds: int) -> dict[str, list[dict[str, Any]]]:
    """Trainings by format, one a seed; those that are kept are not made again."""
    lines = KEPT.read_text().splitlines() if KEPT.exists() else []
    known = {
        (one["work"], one["seed"], one["format"], json.dumps(one["settings"])): one for one in map(json.loads, lines)
    }
    found: dict[str, list[dict[str, Any]]] = {form: [] for form in FORMATS}
    data = rows_of(work)
    settings = work.settings()
    for seed in range(seeds):
        for form in FORMATS:
            one = known.get((name, seed, form, json.dumps(settings)))
            if one is None:
                one = {"work": name, "seed": seed, "format": form, "settings": settings}
                one |= training(work, data, seed, form)
                with KEPT.open("a") as file:
                    file.write(json.dumps(one) + "\n")
                last = ", ".join(f"{m} {v:.4f}" for m, v in zip(MEASURES, one["epochs"][-1], strict=True))
                CONSOLE.print(f"{name}, seed {seed}, {form}: {last}, {one['seconds']:.0f} s")
            found[form].append(one)
    return found


@dataclass(frozen=True)
class Gap:
    """Mean paired difference and its 95 % interval (Student's t over seeds)."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, ours: list[float], theirs: list[float]) -> "Gap":
        apart = [a - b for a, b in zip(ours, theirs, strict=True)]
        if len(set(apart)) == 1:
            return cls(apart[0], apart[0], apart[0])
        interval = ttest_1samp(apart, 0.0).confidence_interval(0.95)
        return cls(statistics.mean(apart), float(interval.low), float(interval.high))

    def __str__(self) -> str:
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"

    def equal(self, better: int, spread: float) -> bool:
        """better: 1 where higher is better, -1 where lower is. spread: deviation of float32 over seeds."""
        harmless = self.high >= 0 if better > 0 else self.low <= 0
        return harmless and abs(self.mean) <= spread


def at(found: list[dict[str, Any]], epoch: int, measure: str) -> list[float]:
    return [one["epochs"][epoch][MEASURES.index(measure)] for one in found]


def table(found: dict[str, list[dict[str, Any]]], epochs: int) -> list[str]:
    heads = ("epoch", "measure", "float32", "bfloat16", "bfloat16 - float32", "control - float32")
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for measure in MEASURES:
        for epoch in range(epochs):
            each = {form: at(found[form], epoch, measure) for form in FORMATS}
            told = [f"{statistics.mean(v):.4f} ±{statistics.stdev(v):.4f}" for v in (each["float32"], each["bfloat16"])]
            gaps = [str(Gap.of(each[form], each["float32"])) for form in ("bfloat16", "control")]
            lines.append(f"| {epoch + 1} | {measure.replace('_', ' ')} | {' | '.join([*told, *gaps])} |")
    return lines


def verdict(found: dict[str, list[dict[str, Any]]], form: str) -> tuple[bool, str]:
    """Of one format beside float32: equal or not, and why in words."""
    passed, told = True, []
    for measure, better in JUDGED.items():
        ours, plain = at(found[form], -1, measure), at(found["float32"], -1, measure)
        gap, spread = Gap.of(ours, plain), statistics.stdev(plain)
        passed &= gap.equal(better, spread)
        told.append(f"{measure.replace('_', ' ')} {gap}, seeds ±{spread:.4f}")
    return passed, f"{form} {'equal' if passed else 'NOT SHOWN EQUAL'}: {'; '.join(told)}"


def section(name: str, work: Work, found: dict[str, list[dict[str, Any]]]) -> list[str]:
    seconds = {form: statistics.median(one["seconds"] for one in found[form]) for form in FORMATS}
    took = ", ".join(f"{form} {value:.1f}" for form, value in seconds.items())
    about = (
        f"{work.about[0].upper()}{work.about[1:]}, with batch norm; {work.data}, {work.rows:,} training "
        f"and {work.valid:,} validation rows, {work.epochs} epochs of batches of {BATCH}, {work.optimizer}, "
        f"rate {work.lr:g}, {len(found['float32'])} seeds. CPU seconds of a training, median: {took}."
    )
    verdicts = [f"* {verdict(found, form)[1]}" for form in ("bfloat16", "control")]
    return ["", f"## {name}", "", about, "", *table(found, work.epochs), "", *verdicts]


def page(sections: list[str]) -> str:
    about = machine.describe()
    top = [
        "# bfloat16 and batch norm",
        "",
        "`make bench-formats` prints and writes this: the same trainings by `glia.fit` in float32 and in bfloat16,",
        "seed by seed with the same first weights, rows, batches and rates; ± is the standard deviation over seeds,",
        "differences are means of pairs with their 95 % interval. The control is float32 whose products of matrices go",
        "to oneDNN: as exact, added in another order. Rows are of the training parts; validation is in the format of",
        "the training.",
        "",
        "Settled before any figure was seen: bfloat16 is equal where, for loss and accuracy of validation after the",
        "last epoch, the interval holds 0 or lies on the better side, and the mean difference is no larger than the",
        "standard deviation of float32 over seeds.",
        "",
        "Not shown here: trainings of thousands of steps, data other than pictures, answers other than classes, GPUs.",
        "",
        f"{about['cpu']} ({about['cpu_capability']}), 1 thread, torch {about['versions']['torch']}.",
    ]  # fmt: skip
    return "\n".join([*top, *sections]) + "\n"


def main(words: list[str]) -> int:
    """Print and write the tables; exit code 1 where bfloat16 is not shown equal."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument(
        "works", nargs="*", help=f"of {', '.join(WORKS)}; all, if none is named, and then the page is written"
    )
    asked.add_argument("--seeds", type=int, default=SEEDS)
    options = asked.parse_args(words)
    torch.set_num_threads(1)
    if not exact_onednn():
        CONSOLE.print("skipped: oneDNN multiplies in bfloat16 on this CPU, so there is no control")
        return 0
    sections, passed = [], True
    for name in options.works or WORKS:
        if not (SHARED / WORKS[name].data).is_dir():
            CONSOLE.print(f"{name}: skipped, the data set {WORKS[name].data} is not beside this checkout")
            continue
        found = measured(name, WORKS[name], options.seeds)
        made = section(name, WORKS[name], found)
        print("\n".join(made))
        sections += made
        passed &= verdict(found, "bfloat16")[0]
    if not options.works:
        PAGE.write_text(page(sections))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Digits that a small DCGAN makes up after half an hour on MNIST, named by a classifier trained beside it.

    python -m benchmarks.digits_gan --out digits.png

Of 1,000 pictures: the share that the classifier (at least 99 % right on the test digits) is more than 90 % sure of,
where 80 % or more is the goal, and how many of the ten digits occur. Both networks are trained here, every
time. Needs data/mnist/mnist.npz beside this checkout, as benchmarks.accuracy does.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

import glia
from glia.data.batches import Batches
from glia.data.facts import ImageFacts
from glia.data.task import Task
from glia.models.build import build
from glia.models.gan import GAN
from glia.optim import build as optim
from glia.optim import schedules
from glia.training.adversarial import adversarial

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
DIGITS = Task("classify", ("digit",), tuple("0123456789"))
SURE, EDGE = 0.9, 2
PAIRS, RATE, LATENT = 32, 4e-4, 16  # rows a step; a digit has few ways to vary, so few numbers to draw it from
SLOWER = 0.4  # the discriminator's rate, as a share: at the full one it is soon too sure to teach anything


def digits(path: Path) -> tuple[Batches, Batches, ImageFacts]:
    """Training and test pictures (N, 1, 28, 28) with their digits."""
    with np.load(path) as arrays:
        parts = [(torch.from_numpy(arrays[f"x_{p}"])[:, None], arrays[f"y_{p}"]) for p in ("train", "test")]
    train, test = (Batches(x, torch.from_numpy(y).long(), torch.arange(len(y))) for x, y in parts)
    pixels = parts[0][0].float() / 255
    return train, test, ImageFacts(1, 28, 28, (pixels.mean().item(),), (pixels.std().item(),), len(train))


def classifier(path: Path) -> tuple[nn.Module, float]:
    """A LeNet-5 trained with the defaults, and its accuracy on the test digits."""
    with TemporaryDirectory() as folder:
        run = glia.train(path, model="lenet5", baselines=False, runs=folder)
        return run.model, run.metrics["test"]["accuracy"]


def painter(train: Batches, facts: ImageFacts, epochs: int, width: int) -> GAN:
    """A DCGAN of pictures of 32 x 32: the digits with an empty edge, so that the maps can be halved three times."""
    padded = Batches(F.pad(train.inputs, (EDGE,) * 4), train.targets, train.rows)
    side = facts.height + 2 * EDGE
    net = build(
        "dcgan", replace(facts, height=side, width=side), DIGITS, width=width, latent=LATENT, discriminator_lr=SLOWER
    )
    adam = optim.build("adam", net, lr=RATE, weight_decay=0.0, momentum=0.5)
    steps = padded.steps(PAIRS)
    plan = schedules.build("linear", epochs * steps, steps)
    for moment in glia.fit(
        net, padded, step=adversarial(), optimizer=adam, epochs=epochs, batch_size=PAIRS, lr=RATE, schedule=plan,
        valid_every=epochs, measure_every=1000,
    ):  # fmt: skip
        if moment.kind == "epoch":
            figures = ", ".join(f"{name} {value:.3f}" for name, value in moment.figures.items())
            print(f"  epoch {moment.epoch + 1}: {figures}", flush=True)
    return net


def named(judge: nn.Module, pictures: Tensor) -> tuple[float, list[int]]:
    """Share of the pictures that the classifier is sure of, and how many of those are a 0, a 1 ..."""
    with torch.inference_mode():
        surest, digit = torch.cat([judge(part) for part in pictures.split(500)]).softmax(1).max(1)
    sure = surest > SURE
    return sure.float().mean().item(), digit[sure].bincount(minlength=10).tolist()


def grid(pictures: Tensor, columns: int = 16) -> Image.Image:
    """(N, 1, H, W) uint8, row by row."""
    rows = len(pictures) // columns
    tiles = pictures[: rows * columns, 0].view(rows, columns, *pictures.shape[2:])
    return Image.fromarray(tiles.permute(0, 2, 1, 3).flatten(2).flatten(0, 1).numpy())


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--data", type=Path, default=SHARED / "mnist" / "mnist.npz")
    asked.add_argument("--epochs", type=int, default=12, help="of the DCGAN")
    asked.add_argument("--width", type=int, default=32, help="maps of the DCGAN next to the picture")
    asked.add_argument("--out", type=Path, help="where a grid of 256 pictures goes, as PNG")
    given = asked.parse_args()
    if not given.data.is_file():
        print(f"skipped: there is no {given.data}")
        return 0
    train, test, facts = digits(given.data)
    began = time.monotonic()
    judge, right = classifier(given.data)
    print(
        f"classifier: {right:.2%} of the test digits right (99 % needed), {time.monotonic() - began:.0f} s", flush=True
    )
    began = time.monotonic()
    net = painter(train, facts, given.epochs, given.width)
    made = net.sample(1000, torch.Generator().manual_seed(1))[:, :, EDGE:-EDGE, EDGE:-EDGE]
    share, kinds = named(judge, made)
    count = sum(kind > 0 for kind in kinds)
    print(f"dcgan: {time.monotonic() - began:.0f} s, {given.epochs} epochs at width {given.width}")
    print(f"named with a confidence above {SURE}: {share:.1%} of 1,000 made digits (goal 80 %)")
    print(f"  of the true test digits: {named(judge, test.inputs)[0]:.1%}")
    print(f"digits that occur: {count} of 10 (goal 10); {kinds}")
    if given.out:
        grid(made[:256]).save(given.out)
        print(f"pictures: {given.out}")
    return 0 if right >= 0.99 and share >= 0.8 and count == 10 else 1


if __name__ == "__main__":
    sys.exit(main())

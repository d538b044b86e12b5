"""Multi30k from English to German with the defaults: BLEU against time, tokens a second, padding.

    python -m benchmarks.translation                    # about an hour of two quiet cores
    python -m benchmarks.translation --epochs 2         # what two passes reach
    python -m benchmarks.translation --speed            # tokens a second and padding alone

BLEU and chrF are sacrebleu's, on the 1,000 pairs of the test of 2016; the curve is BLEU of 300 validation pairs,
written greedily, after each epoch. Beside the speed stands a plain loop: the same network and tokeniser, torch's
DataLoader with shuffled batches that are filled up to their longest row. Needs data/multi30k beside this checkout.
"""

import argparse
import gzip
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

import glia
from benchmarks.accuracy import SHARED
from glia.data.prepared import Prepared
from glia.predict.translation import measured, rows_at, translated
from glia.training.translate import translating
from glia.workbench.session import Session

CONSOLE = Console(highlight=False)
GOAL = 30.0  # BLEU on the test of 2016
PUBLISHED = "36.5 from German, lower case (Transformer of 3 layers, bentrevett/pytorch-seq2seq)"
CURVE_PAIRS, SPEED_STEPS = 300, 12
PARTS = {"train": "source", "val": "valid", "test_2016_flickr": "test"}


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--model", default="auto")
    asked.add_argument("--epochs", type=int, help="passes over the training pairs; not given: the default")
    asked.add_argument("--speed", action="store_true", help="tokens a second and padding alone")
    asked.add_argument("--no-speed", action="store_true", help="leave them out")
    given = asked.parse_args()
    if not (SHARED / "multi30k").is_dir():
        print(f"skipped: there is no {SHARED / 'multi30k'}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        files = unpacked(Path(folder))
        if not given.no_speed:
            speed(glia.prepare(**files))
        return 0 if given.speed else figure(files, given.model, given.epochs, Path(folder))


def unpacked(folder: Path) -> dict[str, str]:
    """The settings that name the pairs, which are written to `folder`."""
    settings = {}
    for part, setting in PARTS.items():
        names = [folder / f"{part}.{language}" for language in ("en", "de")]
        for name in names:
            name.write_bytes(gzip.decompress((SHARED / "multi30k" / f"{name.name}.gz").read_bytes()))
        settings[setting] = ",".join(map(str, names))
    return settings


def figure(files: dict[str, str], model: str, epochs: int | None, folder: Path) -> int:
    """Train, print BLEU against time, then the figure beside the goal."""
    curve = Curve()
    settings: dict[str, Any] = {"epochs": epochs} if epochs else {}
    run = glia.train(**files, model=model, runs=folder, tell=CONSOLE.print, begin=curve.begin, **settings)
    test, valid = run.metrics["test"], run.metrics["valid"]
    others = ", ".join(f"{one['name']} {one['test']['bleu']:.1f}" for one in run.metrics["baselines"])
    reached = test["bleu"] >= GOAL
    CONSOLE.print(
        f"{run.recipe.model.model}, {run.recipe.train.epochs} epochs, {curve.cpu / 60:.1f} minutes of CPU in training: "
        f"test BLEU {test['bleu']:.1f} ± {test['bleu_error']:.1f}, chrF {test['chrf']:.1f}, perplexity "
        f"{test['perplexity']:.2f}, validation BLEU {valid['bleu']:.1f}; goal {GOAL:.0f}, "
        f"{'reached' if reached else 'not reached'}. Without a network: {others}. Published: {PUBLISHED}."
    )
    return 0 if reached or epochs else 1


class Curve:
    """BLEU of some validation pairs after each epoch, and what time training had taken by then."""

    def __init__(self) -> None:
        self.cpu = self.wall = 0.0

    def begin(self, session: Session, folder: Any, choices: Any) -> tuple[Any, ...]:
        index = torch.arange(min(CURVE_PAIRS, len(session.data.valid or ())))
        self.session, self.texts = session, rows_at(session.data.valid.inputs, index)  # type: ignore[union-attr]
        self.wanted = rows_at(session.data.valid.targets, index).texts  # type: ignore[union-attr]
        self.at = time.process_time(), time.monotonic()
        return (self.watch,)

    def watch(self, moment: Any) -> None:
        if moment.kind != "epoch":
            return
        self.cpu += time.process_time() - self.at[0]
        self.wall += time.monotonic() - self.at[1]
        reader: Any = self.session.data.reader
        said = reader.written.decode(translated(self.session.model, self.texts, reader, beam=1))
        loss = moment.figures["valid_loss"]
        CONSOLE.print(
            f"epoch {moment.epoch + 1}: {self.cpu:.0f} s of CPU ({self.wall:.0f} s by the clock), validation loss "
            f"{loss:.3f}, BLEU {measured(said, self.wanted)['bleu']:.1f}"
        )
        self.at = time.process_time(), time.monotonic()


def speed(data: Prepared) -> None:
    """Tokens of training a second of CPU, and the share of what is computed that is padding."""
    table = Table(box=None, header_style="dim")
    for name in ("batches", "padding", "tokens/s of CPU"):
        table.add_column(name, justify="left" if name == "batches" else "right")
    step, pad = translating(data.facts.pad, 0.1), data.facts.pad  # type: ignore[union-attr]
    for name, numbers in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        for source, batches in (("glia", _ours), ("DataLoader", _loader)):
            torch.manual_seed(0)
            net = glia.build("transformer-small", data).train()
            optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
            tokens, seconds = _timed(net, optimizer, step, islice(batches(data), SPEED_STEPS), numbers, pad)
            table.add_row(f"{source}, {name}", f"{_padding(batches(data), pad):.1%}", f"{tokens / seconds:,.0f}")
    CONSOLE.print(table)


def _timed(
    net: nn.Module, optimizer: Any, step: Any, batches: Iterator[Any], numbers: Any, pad: int
) -> tuple[int, float]:
    """Tokens of both sides, and seconds of CPU; the first two steps are for warming up."""
    tokens, began = 0, 0.0
    for place, batch in enumerate(batches):
        if place == 2:
            tokens, began = 0, time.process_time()
        with torch.autocast("cpu", numbers, enabled=numbers != torch.float32):
            loss = step(net, batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        tokens += int((batch.inputs != pad).sum() + (batch.targets != pad).sum())
    return tokens, time.process_time() - began


def _padding(batches: Iterator[Any], pad: int) -> float:
    empty = whole = 0
    for batch in batches:
        for side in (batch.inputs, batch.targets):
            empty, whole = empty + int((side == pad).sum()), whole + side.numel()
    return empty / whole


def _ours(data: Prepared) -> Iterator[Any]:
    return data.train.epoch(0, 0, 128)


class _Plain:
    def __init__(self, inputs: Any, targets: Any):
        self.inputs, self.targets = inputs, targets


def _loader(data: Prepared) -> Iterator[Any]:
    """What a plain script does: tokenise with Hugging Face's library, shuffle, fill up."""
    reader: Any = data.reader
    texts, said = data.train.inputs.texts, data.train.targets.texts  # type: ignore[union-attr]
    sources = [torch.tensor([*row, reader.tokens.end]) for row in reader.tokens.encode(texts)]
    targets = [torch.tensor(row) for row in reader.written.encode(said, ends=True)]

    def together(rows: list[int]) -> _Plain:
        pad = reader.tokens.pad
        return _Plain(*(pad_sequence([side[i] for i in rows], True, pad) for side in (sources, targets)))

    order = torch.Generator().manual_seed(0)
    return iter(DataLoader(range(len(texts)), 128, shuffle=True, collate_fn=together, generator=order))  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())

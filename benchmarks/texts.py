"""Texts on real data: accuracy beside TF-IDF, filling up, and how fast tokens come, beside a plain DataLoader.

    python -m benchmarks.texts           # Stanford Sentiment Treebank, whole sentences
    python -m benchmarks.texts speed     # the reading alone, without training

Goals: 80 % of the test sentences in ten minutes, no less than TF-IDF with logistic regression on the same rows; under
10 % of the tokens of an epoch are filling.
"""

import sys
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console
from torch.utils.data import DataLoader

import glia
from glia.data.batches import Batches
from glia.data.prepared import Prepared

SST2 = Path(__file__).resolve().parents[2] / "shared" / "data" / "sst2"
CONSOLE = Console(highlight=False)
BATCH, EPOCHS = 64, 3
GOAL, MOST_SECONDS, MOST_FILLING = 0.80, 600, 0.10


def settings() -> dict[str, object]:
    """The rows as their authors divided them."""
    return {"target": "1", "valid": str(SST2 / "dev.tsv.gz"), "test": str(SST2 / "test.tsv.gz")}


def filling(part: Batches, pad: int) -> tuple[float, float, float]:
    """Share of an epoch's tokens that are filling, tokens a second, seconds an epoch."""
    tokens = empty = 0
    began = time.perf_counter()
    for epoch in range(EPOCHS):
        for batch in part.epoch(0, epoch, BATCH):
            empty += int((batch.inputs == pad).sum())
            tokens += batch.inputs.numel()
    spent = time.perf_counter() - began
    return empty / tokens, (tokens - empty) / spent, spent / EPOCHS


def plain_loop(data: Prepared) -> tuple[float, float]:
    """The same texts by the library's tokeniser and torch's DataLoader: share of filling, tokens a second."""
    from tokenizers import Tokenizer

    inner = Tokenizer.from_str(data.reader.tokens.json)  # type: ignore[attr-defined]  # it is a TextReader
    inner.enable_padding(pad_id=data.facts.pad)  # type: ignore[union-attr]  # of texts
    pieces = data.reader.stream(str(SST2 / "train.tsv.gz"))
    texts = [text for raw in pieces for text in raw.cells["0"].to_list()]

    def collate(rows: list[str]) -> torch.Tensor:
        return torch.tensor([one.ids for one in inner.encode_batch(rows, add_special_tokens=False)])

    tokens = empty = 0
    began = time.perf_counter()
    for _ in range(EPOCHS):
        for batch in DataLoader(texts, BATCH, shuffle=True, collate_fn=collate):  # type: ignore[arg-type]  # a list will do
            empty += int((batch == data.facts.pad).sum())  # type: ignore[union-attr]  # of texts
            tokens += batch.numel()
    return empty / tokens, (tokens - empty) / (time.perf_counter() - began)


def speed() -> bool:
    """Filling and tokens a second; whether the filling is as little as it should be."""
    began = time.perf_counter()
    data = glia.prepare(str(SST2 / "train.tsv.gz"), **settings())
    CONSOLE.print(f"reading, dividing and learning the tokeniser: {time.perf_counter() - began:.1f} s")
    share, rate, each = filling(data.train, data.facts.pad)
    theirs, slow = plain_loop(data)
    CONSOLE.print(f"glia: {share:.1%} filling, {rate:,.0f} tokens/s, {each:.2f} s an epoch")
    CONSOLE.print(
        f"tokenizers and DataLoader: {theirs:.1%} filling, {slow:,.0f} tokens/s; glia {rate / slow:.1f} times"
    )
    return share < MOST_FILLING


def accuracy() -> bool:
    """The default network; whether it reaches its goals."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = glia.train(str(SST2 / "train.tsv.gz"), runs=folder, tell=lambda line: None, **settings())
        found = run.metrics["test"]["accuracy"]
        beside = {one["name"]: one["test"]["accuracy"] for one in run.metrics["baselines"]}
        spent, training = time.perf_counter() - began, run.status["seconds"]
    CONSOLE.print(f"sst2: accuracy {found:.4f} on test in {spent:.0f} s (training and figures {training:.0f} s)")
    CONSOLE.print(", ".join(f"{name} {value:.4f}" for name, value in beside.items()))
    return found >= max(GOAL, beside["TF-IDF + linear model"]) and spent <= MOST_SECONDS


def main() -> int:
    if not SST2.is_dir():
        CONSOLE.print(f"skipped: {SST2} is not there")
        return 0
    reached = [speed()] + ([] if "speed" in sys.argv[1:] else [accuracy()])
    CONSOLE.print("every goal reached" if all(reached) else "a goal is missed")
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())

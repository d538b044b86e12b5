"""The job of language models: how likely they find a text, beside counts of short stretches of it."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.data.batches import Batches
from glia.data.corpus.reader import CorpusReader
from glia.data.corpus.windows import CHECK_TOKENS, Windows
from glia.data.prepared import Prepared, Reader
from glia.data.task import Task
from glia.errors import GliaError
from glia.predict.job import Judged
from glia.predict.ngrams import NAMES, Ngrams
from glia.predict.outputs import evaluating
from glia.predict.writing import Taste, as_text, write

_LOGITS = 1 << 24  # numbers of logits at once
_LINES = 256
SAMPLES, SAMPLE_TOKENS, SAMPLE_SEED = 2, 300, 0


@dataclass
class Tally:
    """Losses added up, in nats. by_place: of each place in the window."""

    tokens: int = 0
    nats: float = 0.0
    means: list[float] = field(default_factory=list)  # of each window
    by_place: Any = 0.0
    windows: int = 0

    def add(self, losses: Tensor) -> None:
        """losses (n, L)."""
        losses = losses.double()
        self.tokens += losses.numel()
        self.nats += losses.sum().item()
        self.means += losses.mean(1).tolist()
        self.by_place = self.by_place + losses.sum(0)
        self.windows += len(losses)

    def metrics(self, bytes_per_token: float) -> dict[str, float]:
        """Bits a token first; bits a byte of text compare tokenisers."""
        found = measures(self.nats / max(self.tokens, 1), bytes_per_token)
        spread = float(np.std(self.means, ddof=1)) if len(self.means) > 1 else math.nan
        return found | {"bits_error": spread / math.sqrt(max(len(self.means), 1)) / math.log(2)}


def measures(nats: float, bytes_per_token: float) -> dict[str, float]:
    """Of a mean loss in nats a token, all figures."""
    bits = nats / math.log(2)
    return {
        "bits": bits,
        "loss": nats,
        "bits_per_byte": bits / max(bytes_per_token, 1e-9),
        "perplexity": math.exp(min(nats, 700.0)),
    }


class LanguageModels:
    """The next token at every place of a text."""

    def fitted(self, model: nn.Module, data: Prepared) -> None:
        """Nothing: weights are all."""

    def judge(self, model: nn.Module, part: Batches, data: Prepared) -> Judged:
        """On the windows of a part; of a training part on as many as validation may have, at even distances."""
        read = _windows(part)
        most = max(1, CHECK_TOKENS // read.context)
        index = torch.linspace(0, len(part) - 1, min(len(part), most), dtype=torch.float64).long()
        tally = Tally()
        for some in index.split(rows_at_once(read.context, data.task.outputs)):
            batch = part.at(some)
            tally.add(losses(model, batch.inputs, batch.targets))
        places = (tally.by_place / max(tally.windows, 1)).tolist()
        curves: dict[str, Any] = {
            "kind": "language", "rows": tally.windows, "left_out": 0,
            "places": [round(value / math.log(2), 5) for value in places],
        }  # fmt: skip
        if part is (data.test or data.valid or data.train):
            curves["samples"] = samples(model, data.reader, read)
        return Judged(tally.metrics(read.bytes / read.tokens), curves)

    def examples(
        self, model: nn.Module, judged: Judged, part: Batches, data: Prepared, source: Any
    ) -> dict[str, bytes]:
        return {}

    def baselines(self, data: Prepared) -> list[dict[str, Any]]:
        """Counts of single tokens, pairs and threes of the training part."""
        began = time.perf_counter()
        train = _windows(data.train)
        counted = Ngrams(_tokens(train), data.task.outputs)
        seconds = round(time.perf_counter() - began, 3)
        entries: list[dict[str, Any]] = [{"name": name} for name in NAMES]
        for where in ("valid", "test"):
            part = getattr(data, where)
            if part is None:
                continue
            read = _windows(part)
            shares = counted.shares(_tokens(read)[: 8 * CHECK_TOKENS])
            for entry, share in zip(entries, shares, strict=True):
                if len(share):
                    entry[where] = measures(float(-np.log(share).mean()), read.bytes / read.tokens)
        return [{**entry, "seconds": seconds if entry["name"] != "uniform" else 0.0} for entry in entries]

    def evaluate(self, model: nn.Module, task: Task, reader: Reader, source: Any) -> dict[str, float]:
        """On all of another text, in windows side by side."""
        corpus, tally = _corpus(reader), Tally()
        part = corpus.part(source)
        context = min(corpus.context, len(part) - 1)
        read, told, _ = part.windows(context, most=len(part))
        with evaluating(model):
            for some in torch.arange(len(read)).split(rows_at_once(context, task.outputs)):
                tally.add(losses(model, read.take(some), told.take(some)))
        return tally.metrics(part.bytes / len(part))

    def frames(
        self, model: nn.Module, task: Task, reader: Reader, source: Any, *, batch_rows: int = 4096, keep: bool = False
    ) -> Iterator[pl.DataFrame]:
        """Each line by itself, as if it began a text: its number, tokens, log-likelihood in nats, perplexity, bits a
        byte. The end of the line counts as one of its tokens. keep: the line too."""
        corpus = _corpus(reader)
        line = 0
        with evaluating(model):
            for texts in corpus.lines(source, min(batch_rows, _LINES)):
                tokens = [corpus.encode(text).astype(np.int64).tolist() for text in texts]
                nats = line_losses(model, tokens, corpus)
                sizes = [max(len(text.encode("utf-8", "replace")), 1) for text in texts]
                frame = pl.DataFrame(
                    {
                        "line": range(line + 1, line + len(texts) + 1),
                        "tokens": [len(one) for one in tokens],
                        "log_likelihood": [-value for value in nats],
                        "perplexity": [math.exp(min(v / max(len(t), 1), 700)) for v, t in zip(nats, tokens)],
                        "bits_per_byte": [v / math.log(2) / size for v, size in zip(nats, sizes)],
                    }
                )
                line += len(texts)
                yield frame.with_columns(text=pl.Series([t[:-1] for t in texts])) if keep else frame


def losses(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Nats of each token that came: (n, L) float32."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    with evaluating(model), torch.inference_mode():
        logits = model(inputs.to(device)).float().cpu()
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)


def line_losses(model: nn.Module, lines: list[list[int]], corpus: CorpusReader) -> list[float]:
    """Nats of each line. A longer one than the context is read in windows that overlap by half."""
    start = corpus.start()[-1:]
    rows: list[tuple[int, list[int], int]] = []  # line, tokens read with the one before, how many of them are told
    for number, line in enumerate(lines):
        said, at = start + line, 0  # the tokens said[at + 1:] are still to be told
        while at < len(said) - 1:
            end = min(at + (corpus.context if at == 0 else max(1, corpus.context // 2)), len(said) - 1)
            rows.append((number, said[max(0, end - corpus.context) : end + 1], end - at))
            at = end
    found = [0.0] * len(lines)
    rows.sort(key=lambda row: len(row[1]))
    size = rows_at_once(corpus.context, corpus.tokens.size)
    for some in (rows[i : i + size] for i in range(0, len(rows), size)):
        longest = max(len(tokens) for _, tokens, _ in some)
        filled = torch.tensor([tokens + [corpus.tokens.pad] * (longest - len(tokens)) for _, tokens, _ in some])
        each = losses(model, filled[:, :-1], filled[:, 1:]).double()
        for (number, tokens, told), row in zip(some, each, strict=True):
            found[number] += row[len(tokens) - 1 - told : len(tokens) - 1].sum().item()
    return found


def samples(model: nn.Module, reader: Reader, read: Windows) -> list[dict[str, str]]:
    """What it writes after a line end, and after the beginning of a part, beside what came there."""
    corpus = _corpus(reader)
    first = _tokens(read)[: min(read.context, 48) + SAMPLE_TOKENS].astype(np.int64).tolist()
    cut = min(read.context, 48, max(1, len(first) // 2))
    found = []
    for prompt, truth in ((corpus.start(), []), (first[:cut], first[cut:]))[:SAMPLES]:
        with evaluating(model):
            text = "".join(as_text(write_tokens(model, corpus, prompt, SAMPLE_TOKENS), corpus.tokens))
        shown, came = corpus.tokens.decode([prompt, truth])
        found.append({"prompt": shown, "text": text, "came": came})
    return found


def write_tokens(
    model: nn.Module, corpus: CorpusReader, prompt: list[int], count: int, *, taste: Taste | None = None,
    seed: int = SAMPLE_SEED,
) -> Iterator[int]:  # fmt: skip
    """Tokens after a prompt, none of them special."""
    return write(model, prompt, count, corpus.context, taste=taste or Taste(), seed=seed, never=corpus.special)


def rows_at_once(context: int, vocabulary: int) -> int:
    """How many windows may be read together."""
    return max(1, min(256, _LOGITS // (context * max(vocabulary, 1))))


def _windows(part: Batches) -> Windows:
    if not isinstance(part.inputs, Windows):
        raise GliaError("these rows are no windows of a text", got=type(part.inputs).__name__)
    return part.inputs


def _tokens(read: Windows) -> Any:
    """All tokens of the part."""
    return read.values[read.first : read.first + read.tokens]


def _corpus(reader: Reader) -> CorpusReader:
    if not isinstance(reader, CorpusReader):
        raise GliaError("this run read no plain text", got=reader.kind)
    return reader

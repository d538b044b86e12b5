"""The job of translations: measured against those of people by BLEU and chrF, beside what needs no network."""

import json
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from glia.data.batches import Batches
from glia.data.facts import PairFacts
from glia.data.pairs.reader import PairReader, Sentences
from glia.data.prepared import Prepared, Reader
from glia.data.ragged import Ragged
from glia.data.task import Task
from glia.errors import GliaError
from glia.predict.beams import BEAM, search, writer
from glia.predict.job import Judged
from glia.predict.outputs import evaluating
from glia.training.translate import translating

MOST_PAIRS, MOST_SEEN = 2_000, 400  # pairs of a held-out part, and of the training part, that are translated
BATCH = 64
WORST, SHOWN = 12, 4
SHOWN_TOKENS = 40  # of a text whose attention is shown
DRAWS = 200  # samples of the bootstrap


def measured(said: Sequence[str], wanted: Sequence[str]) -> dict[str, float]:
    """BLEU with its standard error (of a bootstrap over texts) and chrF, as sacrebleu defines them, 0 to 100."""
    from sacrebleu import BLEU, CHRF

    resampled = DRAWS if len(said) > 1 else 1
    bleu = BLEU(references=[list(wanted)]).corpus_score(list(said), None, n_bootstrap=resampled)
    found = {"bleu": bleu.score, "chrf": CHRF().corpus_score(list(said), [list(wanted)]).score}
    width = getattr(bleu, "_ci", None) if resampled > 1 else None
    return found | ({} if width is None or width < 0 else {"bleu_error": width / 1.96})


def translated(
    model: nn.Module, source: Sentences | Ragged, reader: PairReader, *, beam: int = BEAM
) -> list[list[int]]:
    """Tokens of the translation of each row, without begin and end. Rows of like lengths are written together."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    one, found = reader.written, [list[int]()] * len(source)
    with evaluating(model), torch.no_grad():
        for index in source.lengths.argsort(stable=True).split(max(1, 2 * BATCH // beam)):
            limits = (2 * source.lengths[index] + 10).clamp_max(reader.length)
            on = writer(model, source.take(index).to(device))
            written = search(on, limits, one.begin, one.end, beam=beam)
            for place, (tokens, _) in zip(index.tolist(), written):
                found[place] = tokens
    return found


class Translations:
    """A text for each text."""

    def fitted(self, model: nn.Module, data: Prepared) -> None:
        """Nothing: weights are all."""

    def judge(self, model: nn.Module, part: Batches, data: Prepared) -> Judged:
        facts, reader = _facts(data), _reader(data.reader)
        index = _some(part, MOST_SEEN if part is data.train else MOST_PAIRS)
        sources, wanted = (rows_at(side, index) for side in (part.inputs, part.targets))
        loss = _loss(model, part, facts)
        tokens = translated(model, sources, reader)
        said = reader.written.decode(tokens)
        metrics = measured(said, wanted.texts) | {"perplexity": math.exp(min(loss, 700.0)), "loss": loss}
        curves: dict[str, Any] = {"kind": "translate", "rows": len(index), "left_out": 0}
        if part is not data.train:
            each = _chrf(said, wanted.texts)
            curves["lengths"] = _by_length(each, sources.lengths)
            curves["attention"] = _attention(model, sources, tokens, reader)
            curves["worst"] = _worst(part, index, sources.texts, wanted.texts, said, each)
        return Judged(metrics, curves)

    def examples(
        self, model: nn.Module, judged: Judged, part: Batches, data: Prepared, source: Any
    ) -> dict[str, bytes]:
        worst = judged.curves.pop("worst", [])  # they have a file of their own
        return {"worst.json": json.dumps(worst, ensure_ascii=False, indent=1).encode()}

    def baselines(self, data: Prepared) -> list[dict[str, Any]]:
        train = rows_at(data.train.inputs, torch.arange(len(data.train)))
        known = rows_at(data.train.targets, torch.arange(len(data.train))).texts
        began = time.perf_counter()
        nearest = _Nearest(train.texts, known)
        entries = []
        for name, say in (("copy the source", list[str]), ("nearest training text, TF-IDF", nearest)):
            entry: dict[str, Any] = {"name": name}
            for where in ("valid", "test"):
                part = getattr(data, where)
                if part is not None:
                    index = _some(part, MOST_PAIRS)
                    wanted = rows_at(part.targets, index).texts
                    entry[where] = measured(say(rows_at(part.inputs, index).texts), wanted)
            entries.append({**entry, "seconds": round(time.perf_counter() - began, 3)})
            began = time.perf_counter()
        return entries

    def evaluate(self, model: nn.Module, task: Task, reader: Reader, source: Any) -> dict[str, float]:
        """On every pair of a source that has both sides."""
        said, wanted, losses, tokens = list[str](), list[str](), 0.0, 0.0
        one = _reader(reader)
        step = translating(one.tokens.pad)
        for raw in one.stream(source, targets=True, rows=BATCH):
            there = [i for i, (text, target) in enumerate(raw.cells.iter_rows()) if text and target]
            if not there:
                continue
            cells = raw.cells[there]
            sources, targets = one.sources(cells["text"].to_list()), one.targets(cells["target"].to_list())
            said += one.written.decode(translated(model, sources, one))
            wanted += cells["target"].to_list()
            batch = Batches(sources, targets, torch.arange(len(there))).at(torch.arange(len(there)))
            outcome = _outcome(model, step, batch)
            losses, tokens = losses + float(outcome.loss) * outcome.rows, tokens + outcome.rows
        if not said:
            raise GliaError("no row has a text and a translation")
        loss = losses / tokens
        return measured(said, wanted) | {"perplexity": math.exp(min(loss, 700.0)), "loss": loss}

    def frames(
        self, model: nn.Module, task: Task, reader: Reader, source: Any, *, batch_rows: int = 4096, keep: bool = False,
        beam: int = BEAM,
    ) -> Iterator[pl.DataFrame]:  # fmt: skip
        """Columns: "row", "prediction"; with `keep` the text between them. What is empty stays empty.

        beam: how many beginnings of a translation are gone on with at once; 1 takes the likeliest token each time.
        """
        one = _reader(reader)
        for raw in one.stream(source, rows=batch_rows):
            texts = raw.cells["text"].to_list()
            there = [i for i, text in enumerate(texts) if text]
            said = [""] * len(texts)
            if there:
                rows = one.sources([texts[i] for i in there])
                for i, text in zip(there, one.written.decode(translated(model, rows, one, beam=beam))):
                    said[i] = " ".join(text.split())  # a line each, whatever was learnt
            columns = {"row": pl.Series(raw.names, dtype=pl.String).cast(pl.Int64), "text": texts, "prediction": said}
            yield pl.DataFrame(columns if keep else {name: columns[name] for name in ("row", "prediction")})


class _Nearest:
    """The translation of the training text that is most like a text: cosine of TF-IDF over words."""

    def __init__(self, texts: Sequence[str], translations: Sequence[str]):
        from sklearn.feature_extraction.text import TfidfVectorizer  # a second to import

        self.count = TfidfVectorizer(token_pattern=r"\S+", sublinear_tf=True)
        self.known, self.translations = self.count.fit_transform(texts), translations

    def __call__(self, texts: Sequence[str]) -> list[str]:
        found = []
        for start in range(0, len(texts), 256):
            likeness = self.count.transform(texts[start : start + 256]) @ self.known.T
            found += [self.translations[i] for i in np.asarray(likeness.argmax(axis=1)).flatten().tolist()]
        return found


def _facts(data: Prepared) -> PairFacts:
    if not isinstance(data.facts, PairFacts):
        raise GliaError("the data are no pairs of texts", got=data.facts.kind)
    return data.facts


def _reader(reader: Reader) -> PairReader:
    if not isinstance(reader, PairReader):
        raise GliaError("this reader gives no pairs of texts", got=type(reader).__name__)
    return reader


def _some(part: Batches, most: int) -> Tensor:
    """Rows of a part, at even distances where they are very many."""
    return torch.linspace(0, len(part) - 1, min(len(part), most), dtype=torch.float64).long()


def rows_at(side: Any, index: Tensor) -> Sentences:
    """Some of one side's texts."""
    chosen = index.tolist()
    ends = side.tokens.ends.tolist()
    starts = [0, *ends]
    rows = [side.tokens.values[starts[i] : ends[i]] for i in chosen]
    return Sentences(tuple(side.texts[i] for i in chosen), Ragged.of(rows, side.tokens.pad))


def _outcome(model: nn.Module, step: Any, batch: Any) -> Any:
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    with evaluating(model), torch.no_grad():
        return step(model, batch._replace(inputs=batch.inputs.to(device), targets=batch.targets.to(device)))


def _loss(model: nn.Module, part: Batches, facts: PairFacts) -> float:
    """Mean cross-entropy a token, in nats, over the part (of very many pairs as many as are translated)."""
    step, total, tokens = translating(facts.pad), 0.0, 0
    index = _some(part, MOST_PAIRS)
    lengths = part.lengths[index] if part.lengths is not None else index
    for some in index[lengths.argsort(stable=True)].split(BATCH):
        outcome = _outcome(model, step, part.at(some))
        total, tokens = total + float(outcome.loss) * outcome.rows, tokens + outcome.rows
    return total / max(tokens, 1)


def _chrf(said: Sequence[str], wanted: Sequence[str]) -> np.ndarray[Any, Any]:
    """chrF of each text alone."""
    from sacrebleu import CHRF

    measure = CHRF()
    return np.array([measure.sentence_score(one, [other]).score for one, other in zip(said, wanted)])


def _by_length(each: np.ndarray[Any, Any], lengths: Tensor) -> list[dict[str, float]]:
    """Mean chrF of fifths of the texts, the shortest first; `tokens`: the median of each fifth."""
    order = lengths.argsort(stable=True).numpy()
    parts = [part for part in np.array_split(order, min(5, len(order))) if len(part)]
    sizes = lengths.numpy()
    return [{"tokens": float(np.median(sizes[p])), "chrf": float(each[p].mean()), "rows": len(p)} for p in parts]


def _worst(
    part: Batches, index: Tensor, texts: Sequence[str], wanted: Sequence[str], said: Sequence[str],
    each: np.ndarray[Any, Any],
) -> list[dict[str, Any]]:  # fmt: skip
    """The translations that share least with those of people."""
    rows = part.rows[index].tolist()
    return [
        {
            "name": f"row {rows[i]}", "target": wanted[i], "predicted": said[i], "loss": None, "share": None,
            "cells": {"text": texts[i], "chrF": f"{each[i]:.1f}"}, "picture": None,
        }
        for i in np.argsort(each, kind="stable")[:WORST].tolist()
    ]  # fmt: skip


def _attention(
    model: nn.Module, sources: Sentences, tokens: list[list[int]], reader: PairReader
) -> list[dict[str, Any]]:
    """Where the decoder looked while it wrote, for a few texts of middling length; nothing of networks that hide it."""
    if not hasattr(model, "weights"):
        return []
    sizes = sources.lengths
    fits = [i for i in range(len(tokens)) if 2 <= len(tokens[i]) <= SHOWN_TOKENS and sizes[i] <= SHOWN_TOKENS]
    chosen = [fits[place] for place in np.linspace(0, len(fits) - 1, min(SHOWN, len(fits))).astype(int)]
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    found, one = [], reader.written
    for i in dict.fromkeys(chosen):
        source = sources.take(torch.tensor([i]))
        with evaluating(model), torch.no_grad():
            target = torch.tensor([[one.begin, *tokens[i]]])
            weights = model.weights(source.to(device), target.to(device))[0].float().cpu()  # type: ignore[operator]
        found.append({
            "source": [*_pieces(reader.tokens, source[0, :-1].tolist()), "end"],
            "said": [*_pieces(one, tokens[i]), "end"],
            "weights": [[round(value, 3) for value in row] for row in weights.tolist()],
        })  # fmt: skip
    return found


def _pieces(tokens: Any, row: list[int]) -> list[str]:
    """Tokens as people read them."""
    return [text.strip() or "·" for text in tokens.decode([[token] for token in row])]

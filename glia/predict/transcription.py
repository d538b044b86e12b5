"""The job of transcriptions: what is said in sounds, beside the text that is said most often; recordings by windows."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn

from glia.data.batches import Batches
from glia.data.prepared import Prepared, Reader
from glia.data.sound.reader import SoundReader, Window, tell_broken
from glia.data.sound.transcripts import PAST, spelled
from glia.data.sound.waves import Waves
from glia.data.task import Task
from glia.errors import GliaError
from glia.nn.ctc import frames as frames_of
from glia.nn.ctc_decode import Spelled, beam, greedy
from glia.nn.edits import aligned, edit_distance
from glia.predict.job import Judged
from glia.predict.outputs import evaluating
from glia.training.transcribe import padded

WORST = 12
_BATCH = 16
_CONFUSIONS = 12


class Transcribes:
    """A text for each sound."""

    def fitted(self, model: nn.Module, data: Prepared) -> None:
        """Nothing: weights are all."""

    def judge(self, model: nn.Module, part: Batches, data: Prepared) -> Judged:
        told: dict[int, list[int]] = {}
        with evaluating(model), torch.no_grad():
            for batch in part.ordered(_BATCH):
                found = greedy(logits_of(model, batch.inputs))
                told |= dict(zip(batch.index.tolist(), (one.symbols for one in found), strict=True))
        answers = padded([told[row] for row in range(len(part))])
        said = part.targets.take(torch.arange(len(part)))
        texts = [(spelled(t, data.task), spelled(s, data.task)) for t, s in zip(answers.tolist(), said.tolist())]
        each = edit_distance(answers, said, PAST)
        return Judged(
            error_rates(texts), _curves(texts, data.task, len(part)),
            {"rows": part.rows.to(torch.int64), "told": answers, "said": said, "edits": each},
        )  # fmt: skip

    def examples(
        self, model: nn.Module, judged: Judged, part: Batches, data: Prepared, source: Any
    ) -> dict[str, bytes]:
        found = judged.tensors
        share = found["edits"] / (found["said"] != PAST).sum(1).clamp_min(1)
        chosen = share.argsort(descending=True, stable=True)[:WORST].tolist()
        name_of = getattr(data.reader, "name_of", str)
        entries = [
            {
                "name": name_of(int(found["rows"][i])),
                "target": spelled(found["said"][i].tolist(), data.task),
                "predicted": spelled(found["told"][i].tolist(), data.task),
                "loss": float(share[i]),
                "share": None,
                "cells": None,
                "picture": None,
            }
            for i in chosen
        ]
        return {"worst.json": json.dumps(entries, ensure_ascii=False, indent=1).encode()}

    def baselines(self, data: Prepared) -> list[dict[str, Any]]:
        began = time.perf_counter()
        counts = Counter(_texts(data.train, data.task))
        guess = counts.most_common(1)[0][0]
        found: dict[str, Any] = {"name": "commonest text"}
        for name, part in (("valid", data.valid), ("test", data.test)):
            if part is not None and len(part):
                found[name] = error_rates([(guess, said) for said in _texts(part, data.task)])
        return [found | {"seconds": time.perf_counter() - began, "notes": []}]

    def frames(
        self,
        model: nn.Module,
        task: Task,
        reader: Reader,
        source: Any,
        *,
        batch_rows: int = 4096,
        keep: bool = False,
        beam: int = 1,
    ) -> Iterator[pl.DataFrame]:
        """A row for each sound: file, start_s, end_s, text; of recordings (see SoundReader) a row for each word.

        beam: how many beginnings of a text are held (1: the most likely sign of each frame).
        """
        if beam < 1:
            raise GliaError("beam is too small", got=beam, expected="at least 1")
        held: list[dict[str, Any]] = []
        some = False
        for line in self._lines(model, task, sounds_of(reader), source, beam):
            held.append(line)
            if len(held) == batch_rows:
                some = True
                yield _frame(held)
                held = []
        if held or not some:
            yield _frame(held)

    def evaluate(self, model: nn.Module, task: Task, reader: Reader, source: Any) -> dict[str, float]:
        texts = []
        with evaluating(model), torch.no_grad():
            for raw in reader.stream(source, targets=True, rows=_BATCH):
                found = greedy(logits_of(model, raw.inputs))
                said = raw.targets.tolist() if raw.targets is not None else []
                texts += [(spelled(one.symbols, task), spelled(row, task)) for one, row in zip(found, said)]
        if not texts:
            raise GliaError("nothing to evaluate: no sound with a text")
        return error_rates(texts)

    def _lines(
        self, model: nn.Module, task: Task, reader: SoundReader, source: Any, width: int
    ) -> Iterator[dict[str, Any]]:
        files, broken = reader.listed(source, False), dict[int, str]()
        known = reader.headers(files, broken)
        step = _step(model, reader)
        whole: list[tuple[int, Window]] = []
        parts: list[Window] = []
        before = -1
        with evaluating(model), torch.no_grad():
            for i, window in reader.windows(files, known, broken, (2 * step, step)):
                if parts and i != before:
                    yield from _recording(model, task, reader, files.names[before], parts, width)
                    parts = []
                before = i
                if known[i].seconds > reader.longest_s:
                    parts.append(window)
                    continue
                whole.append((i, window))
                if len(whole) == _BATCH:
                    yield from _sounds(model, task, reader, files.names, whole, width)
                    whole = []
            if parts:
                yield from _recording(model, task, reader, files.names[before], parts, width)
            if whole:
                yield from _sounds(model, task, reader, files.names, whole, width)
        tell_broken(files, broken)


def logits_of(model: nn.Module, waves: Tensor) -> Tensor:
    """(N, frames, classes) on the CPU."""
    device = next(model.parameters()).device
    found: Tensor = model(waves.to(device)).float().cpu()
    return found


def error_rates(texts: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Of pairs (told, said): character and word error rates, edits over all signs or words that were said, with the
    standard error of the first; and the share of texts that are all right.
    """
    signs, words = (
        _numbered([(list(t), list(s)) for t, s in texts]),
        _numbered([(t.split(), s.split()) for t, s in texts]),
    )
    edits, lengths = (x.double() for x in signs)
    total = lengths.sum().clamp_min(1)
    rate = edits.sum() / total
    spread = (edits - rate * lengths).square().sum().sqrt() / total
    return {
        "cer": rate.item(),
        "wer": (words[0].sum() / words[1].sum().clamp_min(1)).item(),
        "right_texts": sum(t == s for t, s in texts) / max(len(texts), 1),
        "cer_error": spread.item() if len(texts) > 1 else float("nan"),
    }


def _numbered(pairs: list[tuple[list[str], list[str]]]) -> tuple[Tensor, Tensor]:
    """Edits (N,) between rows of texts, and how many there were to be told (N,)."""
    place: dict[str, int] = {}
    rows = [[[place.setdefault(item, len(place)) for item in side] for side in pair] for pair in pairs]
    told, said = (padded([pair[side] for pair in rows]) for side in (0, 1))
    return edit_distance(told, said, PAST), (said != PAST).sum(1)


def _texts(part: Batches, task: Task) -> list[str]:
    return [spelled(row, task) for row in part.targets.take(torch.arange(len(part))).tolist()]


def _curves(texts: list[tuple[str, str]], task: Task, rows: int) -> dict[str, Any]:
    """For the page: the worst texts with their alignment, and which signs are taken for which."""
    pairs = [aligned(*one) for one in texts]
    wrong = [sum(t != s for t, s in pair) for pair in pairs]
    worst = sorted(range(len(texts)), key=lambda i: -wrong[i] / max(len(texts[i][1]), 1))[:WORST]
    mixed = Counter((s, t) for pair in pairs for t, s in pair if t != s)
    return {
        "kind": "transcription",
        "rows": rows,
        "aligned": [{"pairs": [list(pair) for pair in pairs[i]]} for i in worst if wrong[i]],
        "mixed": [{"said": s, "told": t, "count": count} for (s, t), count in mixed.most_common(_CONFUSIONS)],
    }


def sounds_of(reader: Reader) -> SoundReader:
    """The reader of a run that transcribes."""
    if not isinstance(reader, SoundReader):
        raise GliaError("only sounds are transcribed", got=f"{reader.kind} data")
    return reader


def _step(model: nn.Module, reader: SoundReader) -> int:
    """Samples from one window of a recording to the next, half of one: a whole number of pairs of frames."""
    pair = 2 * int(getattr(model, "frame", 1))
    return max(1, reader.length // 2 // pair) * pair


def _spell(logits: Tensor, width: int) -> list[Spelled]:
    return greedy(logits) if width == 1 else beam(logits, width)


def _sounds(
    model: nn.Module, task: Task, reader: SoundReader, names: list[str], held: list[tuple[int, Window]], width: int
) -> Iterator[dict[str, Any]]:
    """A line for each of some whole sounds."""
    waves = Waves.of([window.wave for _, window in held]).take(torch.arange(len(held)))
    for (i, window), found in zip(held, _spell(logits_of(model, waves), width), strict=True):
        yield _line(names[i], 0.0, len(window.wave) / reader.rate, spelled(found.symbols, task))


def _recording(
    model: nn.Module, task: Task, reader: SoundReader, name: str, windows: list[Window], width: int
) -> Iterator[dict[str, Any]]:
    """A line for each word of a recording. Windows share half with the next one; each is read in its middle alone."""
    frame, step = int(getattr(model, "frame", 1)), _step(model, reader)
    kept = []
    for number, window in enumerate(windows):
        logits = logits_of(model, Waves.of([window.wave]).take(torch.arange(1)))[0]
        logits = logits[: int(frames_of(logits[None]))]
        quarter = step // 2 // frame
        first = quarter if number else 0
        last = len(logits) if number + 1 == len(windows) else quarter + step // frame
        kept.append(logits[first:last])
    found = _spell(torch.cat(kept)[None], width)[0]
    seconds = frame / reader.rate
    for word, start, end in _words(found, task):
        yield _line(name, start * seconds, (end + 1) * seconds, word)


def _words(found: Spelled, task: Task) -> Iterator[tuple[str, int, int]]:
    """Words with the frames at which their first and last signs begin."""
    word, first, last = "", 0, 0
    for symbol, at in zip(found.symbols, found.at, strict=True):
        sign = task.classes[symbol]
        if sign != " ":
            first = first if word else at
            word, last = word + sign, at
        elif word:
            yield word, first, last
            word = ""
    if word:
        yield word, first, last


def _line(name: str, start: float, end: float, text: str) -> dict[str, Any]:
    return {"file": name, "start_s": round(start, 3), "end_s": round(end, 3), "text": text}


def _frame(lines: list[dict[str, Any]]) -> pl.DataFrame:
    schema = {"file": pl.String, "start_s": pl.Float64, "end_s": pl.Float64, "text": pl.String}
    return pl.DataFrame(lines, schema=schema)

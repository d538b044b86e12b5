"""Programs whose fault lies in the split, in train() and eval(), or in what they cost; and healthy twins."""

import ctypes
import gc
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch
from small_programs import X, Y, fetched, mlp, sgd, simple
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

import glia
from glia.vitals.chart import Chart, ClockFacts, LoopFacts, ScoreFacts, StepVitals
from glia.vitals.clock import clock

LOADER = DataLoader(TensorDataset(X, Y), batch_size=32)


class Slow(Dataset[Any]):
    """Rows that take a while to come, on a clock that only they and the steps move."""

    def __init__(self, seconds: float):
        self.seconds, self.now = seconds, 0.0

    def __len__(self) -> int:
        return 60

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        self.now += self.seconds
        return X[index], Y[index]


def scored(chart: Chart, **skills: float) -> Chart:
    """With what the answers were worth on each part."""
    chart.scores[:] = [ScoreFacts("accuracy", part, value, 0.4, 1000) for part, value in skills.items()]
    return chart


def narrow(width: int) -> Chart:
    """Three classes through a layer of one unit; what it answers is asked on the training rows and on others."""
    model = mlp(width=width)
    chart = simple(model, 0.3, steps=600)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(256, 8, generator=generator)
    rule = torch.randn(8, 3, generator=generator)
    more = torch.randn(2000, 8, generator=generator)
    for part, given in (("train", x), ("valid", more)):
        right = (model(given).argmax(1) == (given @ rule).argmax(1)).float().mean().item()
        chances = (given @ rule).argmax(1).bincount().max().item() / len(given)
        chart.scores = [*(s for s in chart.scores if s.part != part), ScoreFacts("accuracy", part, right, chances, 256)]
    return chart


def moded(before_training: str, before_evaluation: str, first_epoch: str = "train") -> Chart:
    """Dropout, an evaluation after each epoch, and the modes as told."""
    model = nn.Sequential(*mlp()[:-1], nn.Dropout(0.5), mlp()[-1])
    optimizer = sgd(model)
    with glia.listen() as chart:
        for epoch in range(8):
            getattr(model, before_training if epoch else first_epoch)()
            fetched(LOADER, model, optimizer)
            getattr(model, before_evaluation)()
            with torch.no_grad():
                model(X)
    return chart


def unwatched(validated: bool) -> Chart:
    model = mlp()
    optimizer = sgd(model)
    loader = DataLoader(TensorDataset(X[:200], Y[:200]), batch_size=32)
    with glia.listen() as chart:
        for _ in range(20):
            fetched(loader, model, optimizer)
            if validated:
                with torch.no_grad():
                    F.cross_entropy(model(X[200:]), Y[200:])
    return chart


def loading(seconds: float) -> Chart:
    model = mlp()
    optimizer = sgd(model)
    rows = Slow(seconds)
    with patch("glia.vitals.clock.perf_counter", lambda: rows.now), clock() as watch, glia.listen() as chart:
        for x, y in DataLoader(rows, batch_size=1):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            rows.now += 0.001
            optimizer.step()
            watch.step()
    chart.clock = watch.facts()
    return chart


def keeping(graph: bool) -> Chart:
    """Losses are collected: with their graphs, or as numbers."""
    gc.collect()
    if sys.platform == "linux":  # what earlier tests gave back would else be used first, and nothing would grow
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    model = mlp(nn.Tanh, depth=1, width=512)
    optimizer = sgd(model, 0.01)
    kept: list[Any] = []
    x, y = X.repeat(4, 1)[:512], Y.repeat(4)[:512]
    with clock() as watch, glia.listen() as chart:
        for _ in range(120):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward(retain_graph=graph)
            optimizer.step()
            kept.append(loss if graph else loss.item())
            watch.step()
    chart.clock = watch.facts()
    chart.loop = replace(chart.loop or LoopFacts(), epochs=120.0)
    return chart


def on_a_gpu(syncs: float) -> Chart:
    return Chart(steps=[StepVitals(i, 2.3 - i / 100) for i in range(200)], clock=ClockFacts(0.004, 0.0001, syncs=syncs))


Program = Callable[[], Chart]
PAIRS: dict[str, tuple[Program, Program]] = {
    "GL402": (lambda: narrow(1), lambda: narrow(32)),
    "GL403": (
        lambda: scored(simple(mlp()), train=0.7, valid=0.95),
        lambda: scored(simple(mlp()), train=0.93, valid=0.95),
    ),
    "GL404": (lambda: unwatched(False), lambda: unwatched(True)),
    "GL405": (lambda: moded("train", "train"), lambda: moded("train", "eval")),
    "GL406": (lambda: moded("eval", "eval"), lambda: moded("train", "eval")),
    "GL501": (lambda: loading(0.003), lambda: loading(0.0)),
    "GL502": (lambda: keeping(True), lambda: keeping(False)),
    "GL503": (lambda: on_a_gpu(1.0), lambda: on_a_gpu(0.02)),
}
NOTES = {"GL403", "GL404", "GL501", "GL503"}  # worth knowing, and no fault
FAINT = {"GL311", "GL402"}  # symptoms that say nothing before a cure was tried

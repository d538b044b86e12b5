"""First look: what the checks are shown before a network has taken a step. The data, and one step of a copy."""

import copy
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from glia.data.batches import Batch, Batches
from glia.data.facts import TableFacts
from glia.data.prepared import Prepared
from glia.models.tabular import ByteDropout
from glia.optim.bare import bare
from glia.training.feed import moved
from glia.vitals import likeness
from glia.vitals.chart import Chart, LabelFacts, LoopFacts, RowsFacts, SplitFacts
from glia.vitals.listen import listen
from glia.vitals.observe import output_activation
from glia.vitals.operations import facts as operation_facts
from glia.vitals.operations import walk
from glia.vitals.rows import label_facts, rows_facts, split_facts
from glia.workbench.session import Session

ROWS = 10_000  # of a part, at even distances, but for the search of shared rows, which needs them all
FETCHED = 128  # of a part that is not in memory
LABELS = 1 << 21  # answers that are looked at, at even distances
LEVELS = 20  # rows to a level of a category, from which the mean answer of a level may stand for it
WALKED = 16  # rows of the pass whose operations are told


@dataclass(frozen=True)
class Look:
    """What is known before the first step. splits: how each held-out part lies to the training rows."""

    rows: list[RowsFacts]
    labels: list[LabelFacts]
    splits: dict[str, SplitFacts]
    chart: Chart  # of one step of a copy
    counts: dict[str, int]  # training rows of each class


def look(session: Session) -> Look:
    """Measure the data and one step of a copy; the session is left as it is."""
    data = session.data
    if not session.plain:
        return Look([], [], {}, first_step(session), {})
    shown = View(data, own=session.recipe.model.model == "custom")
    train, held_out = shown.part(data.train), {n: p for n in ("valid", "test") if (p := getattr(data, n)) is not None}
    rows = [rows_facts("train", train.inputs)]
    some = data.train.targets[:: 1 + len(data.train) // LABELS]  # what is counted takes many times their memory
    labels = [label_facts("train", some, data.task.outputs)]
    splits: dict[str, SplitFacts] = {}
    for name, part in held_out.items():
        if len(part):
            theirs = shown.part(part)
            splits[name] = shown.split(train, theirs)
            if name == "valid":
                rows.append(rows_facts("valid", theirs.inputs))
    return Look(rows, labels, splits, first_step(session), class_counts(data))


def class_counts(data: Prepared) -> dict[str, int]:
    """Training rows of each class by name; nothing where numbers are to be predicted."""
    if data.task.kind != "classify":
        return {}
    counts = torch.bincount(data.train.targets.long().clamp(min=0), minlength=len(data.task.classes)).tolist()
    return dict(zip(data.task.classes, counts))


@dataclass(frozen=True)
class Sample:
    """Some rows of a part. raw: as they are kept. inputs: as the network's first weights are given them, about."""

    part: Batches
    raw: Tensor
    inputs: Tensor
    targets: Tensor


class View:
    """Rows as the checks should see them: behind the preparation that our own networks begin with.

    own: the network is the user's, so it is given the raw rows and nothing stands before its first weights.
    """

    def __init__(self, data: Prepared, *, own: bool):
        self.facts, self.own = data.facts, own
        self.means: dict[int, Tensor] = {}
        if isinstance(data.facts, TableFacts):
            self._learn(data.train, data.facts)

    def part(self, part: Batches) -> Sample:
        """A sample of a part."""
        in_memory = isinstance(part.inputs, Tensor)
        most = ROWS if in_memory else FETCHED
        index = torch.linspace(0, len(part) - 1, min(len(part), most), dtype=torch.float64).long()
        batch = part.at(index)
        raw = batch.inputs
        return Sample(part, raw, raw if self.own else self.prepared(raw), batch.targets)

    def prepared(self, x: Tensor) -> Tensor:
        """Gaps filled, numbers to one scale, and for each category the mean answer of its training rows."""
        if not isinstance(self.facts, TableFacts):
            return x
        middle, scale = torch.tensor(self.facts.median), torch.tensor(self.facts.scale)
        shown = torch.nan_to_num((x - middle) / scale, nan=0.0, posinf=0.0, neginf=0.0)
        for column, means in self.means.items():
            shown[:, column] = means[x[:, column].long().clamp(0, len(means) - 1)]
        return shown

    def _learn(self, train: Batches, facts: TableFacts) -> None:
        """The mean answer of each level; where levels are as rare as rows are, it would say what a row's answer is."""
        sample = train.at(torch.linspace(0, len(train) - 1, min(len(train), ROWS), dtype=torch.float64).long())
        answers = sample.targets.reshape(len(sample.targets), -1).float().mean(1)
        for column, levels in enumerate(facts.levels):
            if levels and levels * LEVELS <= len(answers):
                codes = sample.inputs[:, column].long().clamp(0, levels - 1)
                count = torch.bincount(codes, minlength=levels).clamp(min=1)
                self.means[column] = torch.bincount(codes, weights=answers, minlength=levels).float() / count

    def split(self, train: Sample, held_out: Sample) -> SplitFacts:
        """How a held-out part lies to the training rows: copies by the rows as they are kept, all else as shown."""
        found = split_facts(train.inputs, train.targets, held_out.inputs, held_out.targets)
        raw = split_facts(train.raw, None, held_out.raw, None)
        if isinstance(train.part.inputs, Tensor) and isinstance(held_out.part.inputs, Tensor):
            ours, theirs = (_keys(one.part.inputs) for one in (train, held_out))
            shared = likeness.shared(ours, theirs)
            same = shared == 1 and likeness.shared(theirs, ours) == 1
            raw = replace(raw, shared=shared, same=same)
        return replace(
            found, shared=raw.shared, same=raw.same, near=raw.near, near_by_chance=raw.near_by_chance,
            shared_by_chance=raw.shared_by_chance, rows_train=len(train.part), rows_valid=len(held_out.part),
        )  # fmt: skip


def _keys(x: Any) -> list[int]:
    return likeness.keys(x.reshape(len(x), -1).numpy())


def first_step(session: Session) -> Chart:
    """The chart of one step that a copy of the network takes, at the full learning rate where that is known."""
    train = session.recipe.train
    rate = float(train.lr) if train.lr != "auto" else 0.0
    twin = copy.deepcopy(session.model)
    device = next((p.device for p in twin.parameters()), torch.device("cpu"))
    with closing(session.feed.epoch(train.seed, 0)) as batches:  # type: ignore[type-var]
        batch = moved(next(batches), device)
    optimizer = session.optimizer(twin, rate)
    with torch.random.fork_rng(devices=[]):
        with listen(capture=False) as chart:
            twin.train()
            outcome = session.step(twin, batch)
            (outcome if isinstance(outcome, Tensor) else outcome.loss).backward()
            bare(optimizer.step)()
        if session.plain:
            chart.models[:1] = list(_with_operations(chart, plain_dropout(copy.deepcopy(session.model)), batch))
    if not rate:
        chart.optimizers.clear()  # the rate is still to be found
    chart.loop = LoopFacts(
        steps=1, batch_size=session.feed.batch_size, rows=session.rows,
        epoch_steps=session.steps_per_epoch, shuffled=True, validated=session.data.valid is not None,
    )  # fmt: skip
    return chart


def plain_dropout(model: nn.Module) -> nn.Module:
    """The same model with torch's own dropout in place of ours, which draws its coins in a way that nobody can see."""
    for module in model.modules():
        if isinstance(module, ByteDropout):
            module.__class__ = nn.Dropout  # type: ignore[assignment]
    return model


def _with_operations(chart: Chart, twin: nn.Module, batch: Batch) -> Iterator[Any]:
    """The first model with the operations of its forward pass."""
    for known in chart.models[:1]:
        steps, output = walk(twin.train(), lambda: twin(batch.inputs[:WALKED]))
        operations = tuple(operation_facts(step) for step in steps)
        said = output_activation(steps, output.float()) if isinstance(output, Tensor) else ""
        yield replace(known, operations=operations, output=said)

"""Bench: a capture made runnable. Which output answers which labels, what the loss is, where held-out rows are."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from glia.vitals import answers as answering
from glia.vitals.answers import Answers
from glia.vitals.capture import Capture
from glia.vitals.chart import ScoreFacts
from glia.vitals.operations import Step
from glia.vitals.tape import Call, Operation, Tape, leaves

MOST_SCORED = 4000


@dataclass(frozen=True, slots=True)
class Objective:
    """The loss by its values: scalar = sign * times * mean loss + added. applied: activation on the way to it."""

    kind: str = "unknown"
    applied: str = ""
    sign: int = 1
    times: float = math.nan
    added: float = math.nan
    summed: bool = False  # over the rows, not their mean
    unstable: bool = False  # not finite for an output of exactly 0 or 1


@dataclass(slots=True)
class Rows:
    """Inputs of the call and labels, of one part."""

    call: Call
    args: Any  # with tensors of all rows
    kwargs: Any
    labels: Tensor | None
    count: int
    training: bool = False
    source: str = "script"  # "script": passes without gradients; "split": kept out; "train": training rows


@dataclass(slots=True)
class Bench:
    """What trials stand on. place, index: the output that is judged, on the tape and among the call's outputs.

    labels: slot of the labels, or None. together: rows can be put into batches of another size.
    """

    capture: Capture
    tape: Tape
    call: Operation
    place: int = -1
    index: int = 0
    label_slot: int | None = None
    answers: Answers | None = None
    objective: Objective = Objective()
    together: bool = False
    batch_rows: int = 0
    data: list[Tensor | None] = field(default_factory=list)  # by slot: all kept rows, where `together`
    held: Rows | None = None
    train: Rows | None = None
    own_loss: bool = False  # the model computes it
    shared: float = 0.0  # of the rows of passes over held-out rows, those that are training rows too
    steps: list[Step] = field(default_factory=list)  # operations of a pass of the first model

    def asked(self) -> tuple[Answers, int]:
        """What is asked for, and the slot of the labels. Raises ValueError where that is not known."""
        if self.answers is None or self.label_slot is None:
            raise ValueError("the labels are not known")
        return self.answers, self.label_slot

    @property
    def rows(self) -> int:
        """Training rows that are kept."""
        first = next((t for t in self.data if t is not None), None)
        return len(first) if first is not None else 0

    def shape_of(self, place: int) -> tuple[int, ...]:
        """Of an output of the tape's own step."""
        places = [at for call in self.tape.calls for at in call.outs]
        return tuple(self.capture.outputs[places.index(place)].shape)

    def given(self, batch: Sequence[Any], weight: Callable[[int, str], Tensor]) -> list[Any]:
        """The tape's values for a batch: its rows, the constants, and the weights of the models in use."""
        constants, slots = self.capture.batches[0], self.capture.slots
        first = next((t for t, slot in zip(batch, slots) if slot[0] == "rows"), None)
        kinds: dict[str, Callable[[int], Any]] = {
            "weight": lambda i: weight(slots[i][1], slots[i][2]),
            "rows": lambda i: batch[i],
            "range": lambda i: torch.arange(
                len(constants[i]) if first is None else len(first), device=constants[i].device
            ),
            "same": lambda i: constants[i],
        }
        return [kinds[slot[0]](i) for i, slot in enumerate(slots)]

    @contextmanager
    def precision(self) -> Iterator[None]:
        """The script's own autocast."""
        with ExitStack() as stack:
            for device, dtype in self.capture.autocast.items():
                stack.enter_context(torch.autocast(device, dtype=dtype))
            yield

    def outputs(self, models: Sequence[nn.Module], rows: Rows) -> Tensor:
        """The judged output for those rows, by the models as they stand."""
        module = models[rows.call.root].get_submodule(rows.call.path)
        with torch.no_grad(), self.precision():
            result = module(*rows.args, **rows.kwargs)
        return self.judged(result).float()

    def judged(self, result: Any) -> Tensor:
        """The judged one among the tensors that a call gives: by its place, or by its shape where some are left out."""
        given = leaves(result)
        if len(given) == len(self.call.outs):
            return given[self.index]
        like = self.shape_of(self.place)[1:]
        return next(t for t in given if t.ndim == len(like) + 1 and tuple(t.shape[1:]) == like)

    def score(self, models: Sequence[nn.Module], rows: Rows, threshold: float | None = None) -> ScoreFacts | None:
        """How good the models are on those rows; None where nobody knows what is right."""
        if self.answers is None or rows.labels is None:
            return None
        out = self.outputs(models, rows)
        level = threshold if threshold is not None else self.threshold
        part = "train" if rows.source == "train" else "valid"
        try:
            return answering.score(self.answers, out, rows.labels, part, level)
        except (ValueError, RuntimeError):
            return None

    @property
    def threshold(self) -> float:
        """Above it an output means yes."""
        return 0.0 if self.objective.kind == "bce_logits" or self.objective.kind == "hinge" else 0.5


def scored_rows(labels: Tensor) -> int:
    """Rows that are asked for a score: fewer where each has many answers."""
    return max(64, MOST_SCORED // max(1, labels.numel() // max(1, len(labels)) // 4))


def weights_of(models: Sequence[nn.Module]) -> Callable[[int, str], Tensor]:
    """Weights by root and name."""
    return lambda root, name: models[root].get_parameter(name)

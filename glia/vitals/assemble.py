"""Assemble: a bench from a capture, or none where a run cannot be made again."""

from dataclasses import replace

import torch
from torch import Tensor

from glia.vitals import answers as answering
from glia.vitals.answers import Answers
from glia.vitals.bench import Bench, Objective
from glia.vitals.capture import Capture
from glia.vitals.identify import identify, named
from glia.vitals.parts import held_rows, training_rows
from glia.vitals.tape import Call, Ref


def bench(capture: Capture) -> Bench | None:
    """Make a capture runnable and find what is asked for in it, or None where it cannot be."""
    made = runnable(capture)
    if made is None:
        return None
    _find_answers(made)
    if made.answers is not None:
        made.objective = named(made, identify(made))
        made.answers = _settled(made.answers, made.objective)
        if made.objective.kind == "unknown" and _several(made):
            made.answers = None  # a loss of several outputs: how good one of them is says little
    made.train = training_rows(made)
    made.held = held_rows(made)
    return made


def runnable(capture: Capture) -> Bench | None:
    """A bench whose steps can be made again, or None: no loss that was made by modules, several kinds of steps."""
    if not capture.complete or capture.mixed or capture.tape is None or not capture.batches or not capture.tape.calls:
        return None
    made = Bench(capture, capture.tape, capture.tape.calls[-1])
    _rows_together(made)
    return made


def _several(made: Bench) -> bool:
    """Does the loss use more than one output of the judged call?"""
    used = {at for op in made.tape.operations if not isinstance(op.function, Call) for at in op.used}
    return sum(at in used for at in made.call.outs) > 1 and not made.own_loss


def _settled(answers: Answers, objective: Objective) -> Answers:
    """A few whole numbers under a loss for classes are classes."""
    if answers.kind == "numbers" and answers.classes > 2 and objective.kind in ("bce", "bce_logits", "hinge"):
        return replace(answers, kind="classes", form="column")
    return answers


def _rows_together(bench: Bench) -> None:
    """Can batches be put together and cut anew? Only if every row tensor is as long as the inputs, in each batch."""
    slots = [i for i, slot in enumerate(bench.capture.slots) if slot[0] == "rows"]
    batches = bench.capture.batches
    lengths = [[len(batch[i]) if batch[i].ndim else -1 for i in slots] for batch in batches]
    bench.batch_rows = lengths[0][0] if slots else 0
    shapes = {tuple(tuple(batch[i].shape[1:]) for i in slots) for batch in batches}
    bench.together = bool(slots) and all(len(set(row)) == 1 and row[0] > 0 for row in lengths) and len(shapes) == 1
    if bench.together:
        bench.data = [None] * len(bench.capture.slots)
        for i in slots:
            bench.data[i] = torch.cat([batch[i] for batch in batches])


def _find_answers(bench: Bench) -> None:
    """The output and the labels that the loss compares."""
    tape, capture = bench.tape, bench.capture
    in_calls = {ref for call in tape.calls for ref in call.used}
    outside = {ref for op in tape.operations if not isinstance(op.function, Call) for ref in op.used}
    rows = {at: i for i, (at, slot) in enumerate(zip(tape.given, capture.slots)) if slot[0] == "rows"}
    values = {at: capture.batches[0][i] for at, i in rows.items()}
    outs = dict(zip((at for call in tape.calls for at in call.outs), capture.outputs))
    taken = [at for at in bench.call.outs if at in outside or at == tape.loss]
    # Whatever follows it: a share of an accumulated step, a factor.
    bench.own_loss = bool(taken) and all(not outs[at].ndim for at in taken if at in outs)
    labels = [at for at in values if at in outside and at not in in_calls]
    labels = labels or [at for at in values if at in outside]
    labels = labels or (_named_labels(bench, values) if bench.own_loss else [])
    for call in reversed(tape.calls):
        used = [at for at in call.outs if at in outside] if not bench.own_loss else list(call.outs)
        for at in used:
            for label in labels:
                found = answering.understood(outs[at], values[label]) if at in outs and outs[at].ndim else None
                if found is not None:
                    bench.call, bench.place, bench.index = call, at, call.outs.index(at)
                    bench.label_slot, bench.answers = rows[label], found
                    return


def _named_labels(bench: Bench, values: dict[int, Tensor]) -> list[int]:
    """Arguments of a model that computes its own loss: those called labels first, then the later ones."""
    named = [ref.at for name, ref in bench.call.kwargs.items() if isinstance(ref, Ref) and ref.at in values]
    likely = [
        ref.at
        for name, ref in bench.call.kwargs.items()
        if isinstance(ref, Ref) and any(word in name for word in ("label", "target")) and ref.at in values
    ]
    return [*likely, *[at for at in reversed(list(values)) if at not in likely and at not in named]]

"""How good a network is on new rows that have their answers."""

from typing import Any

import torch
from torch import nn

from glia.data.prepared import Reader
from glia.data.task import Task
from glia.errors import GliaError
from glia.predict.measure import measure, own_units
from glia.predict.predict import answers


def evaluate(model: nn.Module, task: Task, reader: Reader, source: Any) -> dict[str, float]:
    """The measures of the task on a labelled source (file, folder, frame); `measure` says which."""
    outputs, targets = [], []
    for raw, out in answers(model, task, reader, source, targets=True):
        if raw.targets is not None:
            outputs.append(out)
            targets.append(raw.targets)
    if not sum(map(len, targets)):
        raise GliaError("nothing to evaluate: no row with an answer", got=source if isinstance(source, str) else None)
    return measure(task, torch.cat(outputs), own_units(task, torch.cat(targets)))

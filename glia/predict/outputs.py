"""What a network answers: decoded outputs of a part, in evaluation mode, with nothing left changed behind."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain

import torch
from torch import Tensor, nn

from glia.data.batches import Batches
from glia.data.task import Task
from glia.predict.measure import own_units


def outputs_of(model: nn.Module, batches: Batches, task: Task, batch_size: int = 1024) -> Tensor:
    """Every row of `batches`, in its order: (N, C) float32 probabilities, or values in own units, on the CPU."""
    with evaluating(model):
        parts = [
            (batch.index, forward(model, batch.inputs, task))
            for batch in batches.ordered(_at_once(batches, batch_size))
            if len(batch.index)
        ]
    if not parts:
        return torch.empty(0, task.outputs)
    index, outputs = (torch.cat(part) for part in zip(*parts, strict=True))
    return outputs if batches.lengths is None else outputs[index.argsort()]


def part_of(model: nn.Module, batches: Batches, task: Task, batch_size: int = 1024) -> dict[str, Tensor]:
    """What is worth keeping of a part: rows (N,) int64 in the source; outputs (N, C) and targets, both in own units."""
    return {
        "rows": batches.rows.to(torch.int64),
        "targets": own_units(task, batches.targets),
        "outputs": outputs_of(model, batches, task, batch_size),
    }


def _at_once(batches: Batches, rows: int) -> int:
    """Fewer of clips (N, frames, C, H, W), each of which is many pictures."""
    if not len(batches):
        return rows
    one = batches.at(torch.tensor([0])).inputs
    return max(1, rows // (4 * one.shape[1])) if one.ndim == 5 else rows


def forward(model: nn.Module, inputs: Tensor, task: Task) -> Tensor:
    """Inputs (N, ...) wherever they lie -> decoded outputs (N, C) float32 on the CPU; for use inside `evaluating`."""
    with torch.no_grad(), _half(model):
        return task.decode(model(inputs.to(_device(model)))).cpu()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards each module is back in the mode it was in (some may have been frozen)."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _device(model: nn.Module) -> torch.device:
    tensor = next(chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device


def _half(model: nn.Module) -> AbstractContextManager[object]:
    """Autocast for weights of 16 bits, so that raw float32 inputs are prepared in float32 and then meet them."""
    for weight in model.parameters():
        if weight.dtype in (torch.bfloat16, torch.float16):
            return torch.autocast(weight.device.type, dtype=weight.dtype)
    return nullcontext()

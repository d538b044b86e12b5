"""Memory: what a step holds, and the most that the process has held."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from glia.profiling.work import Rig
from glia.runs.machine import peak_memory_bytes


@dataclass(frozen=True)
class Memory:
    """Bytes. peak: the most that the process held until the step was made again on copies; device: the same of a GPU.

    kept: what the forward pass keeps for the backward pass, besides the weights.
    """

    peak: int = 0
    device: int = 0
    weights: int = 0
    gradients: int = 0
    optimiser: int = 0
    kept: int = 0

    @classmethod
    def so_far(cls) -> "Memory":
        """Of the process."""
        return cls(peak_memory_bytes(), torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else 0)

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


def memory_of(rig: Rig) -> dict[str, int]:
    """What a rig that has made a step holds."""
    weights = [p for model in rig.models for p in (*model.parameters(), *model.buffers())]
    gradients = [p.grad for model in rig.models for p in model.parameters() if p.grad is not None]
    state = [value for optimizer in rig.optimizers for value in _tensors(optimizer)]
    own = {t.untyped_storage().data_ptr() for t in weights}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        rig.loss()
    return {
        "weights": _bytes(weights), "gradients": _bytes(gradients), "optimiser": _bytes(state),
        "kept": sum(kept.values()),
    }  # fmt: skip


def _tensors(optimizer: Any) -> Iterable[Tensor]:
    for state in getattr(optimizer, "state", {}).values():
        yield from (value for value in state.values() if isinstance(value, Tensor))


def _bytes(tensors: Iterable[Tensor]) -> int:
    """Each storage once."""
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())

"""Tensors side by side in one memory: what is done to all of them is then a single call."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

APART = 64  # bytes: each begins at a multiple of them, as memory that torch asks for does


class Beside(NamedTuple):
    """whole: one axis, with zeros in the gaps. parts: views of it."""

    whole: Tensor
    parts: list[Tensor]

    @classmethod
    def like(cls, tensors: Sequence[Tensor]) -> "Beside":
        """Zeros in the shapes of some tensors of one format and device, each part laid as its tensor is."""
        first = tensors[0]
        step = max(1, APART // first.element_size())
        sizes = [-(-t.numel() // step) * step for t in tensors]
        whole = torch.zeros(sum(sizes), dtype=first.dtype, device=first.device)
        strides = [torch.empty_like(t, memory_format=torch.preserve_format).stride() for t in tensors]
        places = zip(whole.split(sizes), tensors, strides, strict=True)
        return cls(whole, [memory.as_strided(t.shape, stride) for memory, t, stride in places])

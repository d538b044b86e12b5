"""What a step may change beside its buffers and gradients, which a replay would not: counters, other random numbers."""

import json
import random
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

_PLAIN = (int, float, complex, str, bool, type(None))
_LISTS = (list, deque)


class Outside(NamedTuple):
    """How all that was at one moment; equal where nothing changed."""

    plain: list[dict[str, Any]]  # of each part of the model
    lengths: list[dict[str, int]]
    buffers: list[int]
    python: Any
    numpy: str
    versions: list[int]

    @classmethod
    def of(cls, parts: Sequence[nn.Module], tensors: Sequence[Tensor]) -> "Outside":
        """tensors: the batch's own, which nobody should write into."""
        return cls(
            plain=[{name: v for name, v in vars(part).items() if isinstance(v, _PLAIN)} for part in parts],
            lengths=[{name: len(v) for name, v in vars(part).items() if isinstance(v, _LISTS)} for part in parts],
            buffers=[id(b) for part in parts for b in part._buffers.values()],
            python=random.getstate(),
            numpy=json.dumps(np.random.get_state(legacy=False), default=lambda numbers: numbers.tobytes().hex()),
            versions=[t._version for t in tensors],
        )

    def restore(self, parts: Sequence[nn.Module]) -> None:
        """Put counters, lists that grew and Python's random numbers back."""
        random.setstate(self.python)
        for part, plain, lengths in zip(parts, self.plain, self.lengths, strict=True):
            new = [name for name, v in vars(part).items() if isinstance(v, _PLAIN) and name not in plain]
            for name in new:
                del vars(part)[name]
            vars(part).update(plain)
            for name, length in lengths.items():
                while len(vars(part)[name]) > length:
                    vars(part)[name].pop()

"""Number formats. Losses are worked out in float32 or better: in half precision small numbers are soon lost in a sum.

Products of float32 matrices may go to oneDNN, which is faster than torch's own choice on some CPUs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

_ONEDNN: Any = torch.backends.mkldnn  # torch's stub does not know its `matmul`


def exact(values: Tensor) -> Tensor:
    """float32 and float64 as they are, all else as float32."""
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


@contextmanager
def onednn_products() -> Iterator[None]:
    """Products of float32 matrices go to oneDNN inside the block.

    torch asks oneDNN only where bfloat16 would do; oneDNN takes it as leave, and uses it only on CPUs with AMX.
    """
    before = _ONEDNN.matmul.fp32_precision
    _ONEDNN.matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        _ONEDNN.matmul.fp32_precision = before


def by_onednn() -> bool:
    """Do products of float32 matrices go to oneDNN now?"""
    return bool(_ONEDNN.matmul.fp32_precision == "bf16")

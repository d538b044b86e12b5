"""Numbers: in which format the large products are worked out, by which library, and in which order pictures lie.

Weights, losses, norms and the optimiser's state stay in float32 whatever is chosen.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from glia.nn.precision import onednn_products


@dataclass(frozen=True)
class Numbers:
    """precision: "float32", or "bfloat16" by autocast. products: "torch" as it chooses itself, or "onednn", which is
    about twice as fast where torch's own choice is MKL on a CPU that is not Intel's, and as exact (see `exact_onednn`).
    memory_format: "contiguous" (N, C, H, W), or "channels_last": pictures lie (N, H, W, C), and the same convolutions
    are made by other kernels.
    """

    precision: str = "float32"
    products: str = "torch"
    memory_format: str = "contiguous"

    def forward(self, device: torch.device) -> AbstractContextManager[Any]:
        """Around the forward pass and the loss."""
        return torch.autocast(device.type, torch.bfloat16) if self.precision == "bfloat16" else nullcontext()

    @property
    def layout(self) -> torch.memory_format:
        """In which the pictures of a batch are to lie, for `glia.training.feed.moved`."""
        return torch.channels_last if self.memory_format == "channels_last" else torch.preserve_format

    def step(self) -> AbstractContextManager[Any]:
        """Around forward and backward pass."""
        return onednn_products() if self.products == "onednn" else nullcontext()


def exact_onednn() -> bool:
    """Does this CPU's oneDNN keep float32 products in float32? Tried on one product, against float64."""
    if not torch.backends.mkldnn.is_available():
        return False
    drawn = torch.Generator().manual_seed(0)
    a, b = torch.randn(64, 256, generator=drawn), torch.randn(256, 64, generator=drawn)
    with onednn_products():
        made = a @ b
    true = a.double() @ b.double()
    return bool((made - true).norm() / true.norm() < 1e-6)


def fast_bfloat16(device: torch.device) -> bool:
    """Has the device instructions of its own for bfloat16? Without them it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    can = torch.cpu.get_capabilities()
    return bool(can.get("avx512_bf16") or can.get("amx_bf16") or can.get("bf16"))

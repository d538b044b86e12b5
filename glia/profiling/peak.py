"""The peak: operations a second that this machine's matrix products reach, at this moment and with these threads."""

import torch

from glia.nn.precision import onednn_products
from glia.training.numbers import exact_onednn
from glia.vitals.fair import FairClock

SIZES = (256, 512, 1024, 2048, 4096, 8192)
ENOUGH_S, MOST_S = 0.004, 0.35  # a product that takes so long needs no larger one; all products of one size


def peak(device: torch.device) -> dict[str, float]:
    """Operations a second of the fastest square products seen: {"float32": ..., "bfloat16": ...}.

    float32 by oneDNN too where it computes in float32 there: on some processors it is twice as fast as MKL.
    """
    found = {"float32": _fastest(device, torch.float32), "bfloat16": _fastest(device, torch.bfloat16)}
    if device.type == "cpu" and exact_onednn():
        with onednn_products():
            found["float32"] = max(found["float32"], _fastest(device, torch.float32))
    return found


def _fastest(device: torch.device, dtype: torch.dtype) -> float:
    best, generator = 0.0, torch.Generator().manual_seed(0)
    for size in SIZES:
        a, b = (torch.randn(size, size, generator=generator).to(device, dtype) for _ in range(2))
        rate, seconds = _rate(a, b)
        best = max(best, rate)
        if seconds > ENOUGH_S and size >= 1024 or seconds > MOST_S / 4:
            break
    return best


def _rate(a: torch.Tensor, b: torch.Tensor) -> tuple[float, float]:
    """Operations a second of the fastest of some products, and its seconds."""
    clock = FairClock()

    def once() -> float:
        began = clock()
        torch.mm(a, b)
        if a.is_cuda:
            torch.cuda.synchronize(a.device)
        return clock() - began

    first = once()
    best, until, count = first, clock() + MOST_S, 0
    while count < 3 or (count < 20 and clock() < until):
        best, count = min(best, once()), count + 1
        if first > MOST_S:
            break
    return 2 * len(a) ** 3 / best, best

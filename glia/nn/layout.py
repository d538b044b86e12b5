"""The order in which pictures lie in memory."""

import torch
from torch import Tensor


def channels_last(pictures: Tensor) -> Tensor:
    """(N, C, H, W) that lies as (N, H, W, C), which convolutions on CPUs and GPUs are mostly faster on.

    torch cannot tell the two orders of one channel apart, and takes it for the usual one, so that all layers after it
    work in that; here its strides say which one it is.
    """
    if pictures.shape[1] == 1:
        return pictures.contiguous()[:, 0, :, :, None].permute(0, 3, 1, 2)
    return pictures.contiguous(memory_format=torch.channels_last)

"""Published weights of another picture size or of other channels, fitted to a network as the papers do."""

from collections.abc import Callable
from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.nn.stages import stages, within

Shape = tuple[int, ...]
Change = Callable[[Tensor], Tensor]


def adapted(model: nn.Module, name: str, theirs: Shape, ours: Shape) -> Change | None:
    """What turns a tensor of shape `theirs` into the parameter `name` of shape `ours`; None where nothing honest does.

    The first convolution for grey pictures sums over the colours, for colours it divides the grey one among them.
    Learned places of patches (1, 1 + h w, width) are drawn anew between their neighbours (Dosovitskiy et al. 2021,
    section 3.2), bicubic; the token before them stays.
    """
    if len(theirs) == 4 and within(name, stages(model)[0]) and _other_channels(theirs, ours):
        return _to_grey if ours[1] == 1 else _to_colour
    if name.endswith("position_embeddings") and len(theirs) == len(ours) == 3 and theirs[::2] == ours[::2]:
        old, new = isqrt(theirs[1] - 1), isqrt(ours[1] - 1)
        if old and new and old**2 == theirs[1] - 1 and new**2 == ours[1] - 1:
            return lambda places: _drawn_anew(places, old, new)
    return None


def _other_channels(theirs: Shape, ours: Shape) -> bool:
    return len(ours) == 4 and theirs[0] == ours[0] and theirs[2:] == ours[2:] and {theirs[1], ours[1]} == {1, 3}


def _to_grey(kernel: Tensor) -> Tensor:
    return kernel.float().sum(1, keepdim=True).to(kernel.dtype)


def _to_colour(kernel: Tensor) -> Tensor:
    return kernel.expand(-1, 3, -1, -1) / 3


def _drawn_anew(places: Tensor, old: int, new: int) -> Tensor:
    token, grid = places[:, :1], places[:, 1:].float()
    square = grid.view(1, old, old, -1).permute(0, 3, 1, 2)
    drawn = F.interpolate(square, size=(new, new), mode="bicubic", align_corners=False)
    return torch.cat([token, drawn.permute(0, 2, 3, 1).flatten(1, 2).to(places.dtype)], dim=1)

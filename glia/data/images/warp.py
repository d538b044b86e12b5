"""What augmentation does to a batch of pictures (N, C, H, W), uint8 or float in 0..255; parameters come row by row.

Every function keeps the dtype, unless it says otherwise, and treats a row alike in whatever batch it stands.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

GREY = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601


def moved(inputs: Tensor, down: Tensor, right: Tensor, flip: Tensor, reflect: bool) -> Tensor:
    """Each picture mirrored left to right where `flip`, then moved by whole pixels; (N,) integers and booleans.

    What comes in at the border is the picture's edge repeated, or its reflection (the edge itself not doubled).
    """
    n, channels, height, width = inputs.shape
    rows = _inside(torch.arange(height) - down[:, None], height, reflect)
    columns = _inside(torch.arange(width) - right[:, None], width, reflect)
    columns = torch.where(flip[:, None], width - 1 - columns, columns)
    flat = (rows[:, :, None] * width + columns[:, None, :]).view(n, 1, height * width).to(inputs.device)
    return inputs.flatten(2).gather(2, flat.expand(n, channels, -1)).view_as(inputs)


def _inside(places: Tensor, length: int, reflect: bool) -> Tensor:
    """Places outside 0 .. length - 1 led back inside."""
    if not reflect or length == 1:
        return places.clamp(0, length - 1)
    places = places.remainder(2 * length - 2)
    return torch.minimum(places, 2 * length - 2 - places)


def warped(
    inputs: Tensor, angle: Tensor, scale: Tensor, center: Tensor, reflect: bool, flip: Tensor | None = None
) -> Tensor:
    """Each picture turned by `angle` (N,) radians and enlarged by `scale` (N,), one bilinear sampling for both.

    center: (N, 2) place (x, y) of the source that comes to the middle, in -1..1 from edge to edge. flip: (N,) booleans,
    of the pictures that are mirrored left to right before.
    """
    height, width = inputs.shape[2:]
    cos, sin = angle.double().cos() / scale, angle.double().sin() / scale
    right = torch.stack([cos, sin * (width / height)], 1)[:, None] * _middles(width)[:, None]
    down = torch.stack([-sin * (height / width), cos], 1)[:, None] * _middles(height)[:, None] + center[:, None]
    if flip is not None:
        mirrored = torch.stack([1.0 - 2.0 * flip.double(), torch.ones(len(flip), dtype=torch.float64)], 1)[:, None]
        right, down = right * mirrored, down * mirrored
    # Where a pixel comes from is a part of its column and a part of its row. (x, y) as one number: one sum for both,
    # several times as fast as a product of matrices for each pixel.
    columns, rows = (torch.view_as_complex(one.to(inputs.device, torch.float32).contiguous()) for one in (right, down))
    grid = torch.view_as_real(columns[:, None] + rows[:, :, None])
    border = "reflection" if reflect else "border"
    return settled(F.grid_sample(inputs.float(), grid, padding_mode=border, align_corners=False), inputs.dtype)


def _middles(length: int) -> Tensor:
    """(length,) the middles of so many pixels side by side, in -1..1 from edge to edge."""
    return (2 * torch.arange(length, dtype=torch.float64) + 1) / length - 1


def coloured(inputs: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Brightness times, contrast about the picture's mean grey, saturation about each pixel's grey; (N,) factors."""
    channels = inputs.shape[1]
    weights = GREY if channels == 3 else (1.0 / channels,) * channels
    mean = (_mean(inputs) * torch.tensor(weights, dtype=torch.float64, device=inputs.device)).sum(1)
    brightness, contrast, saturation = (
        f.to(inputs.device, torch.float32).view(-1, 1, 1, 1) for f in (brightness, contrast, saturation)
    )
    offset = (1 - contrast) * brightness * mean.float().view(-1, 1, 1, 1)
    values = inputs.float()
    if channels != 3:
        return settled((values * (contrast * brightness)).add_(offset), inputs.dtype)
    grey = values[:, 0:1] * weights[0]
    for channel in (1, 2):
        grey += values[:, channel : channel + 1] * weights[channel]
    pale = grey.mul_(contrast * brightness * (1 - saturation)).add_(offset)
    return settled((values * (contrast * brightness * saturation)).add_(pale), inputs.dtype)


def erased(inputs: Tensor, top: Tensor, left: Tensor, side: int) -> Tensor:
    """A square of `side` pixels, whose corner (N,) may lie outside, painted in the picture's own mean colour."""
    mask = _box(inputs, top, left, torch.full_like(top, side), torch.full_like(left, side))
    return torch.where(mask, settled(_mean(inputs), inputs.dtype)[:, :, None, None], inputs)


def pasted(inputs: Tensor, partner: Tensor, top: Tensor, left: Tensor, size: tuple[int, int]) -> Tensor:
    """A box of `size` (height, width) replaced by the same place of the pictures `partner` (N,) of the batch."""
    mask = _box(inputs, top, left, torch.full_like(top, size[0]), torch.full_like(left, size[1]))
    return torch.where(mask, inputs[partner.to(inputs.device)], inputs)


def _mean(inputs: Tensor) -> Tensor:
    """(N, C) float64 means; the sum of whole numbers does not depend on its order, hence not on the batch."""
    # A line's sum of bytes is exact in 32 bits, in which it is several times as fast.
    small = torch.int32 if inputs.dtype == torch.uint8 else torch.promote_types(inputs.dtype, torch.float32)
    lines = inputs.sum(3, dtype=small)
    return lines.sum(2, dtype=torch.float64) / inputs.shape[2:].numel()


def _box(inputs: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """(N, 1, H, W) booleans: inside the box of each row."""
    y, x = (torch.arange(length) for length in inputs.shape[2:])
    rows = (y >= top[:, None]) & (y < (top + height)[:, None])
    columns = (x >= left[:, None]) & (x < (left + width)[:, None])
    return (rows[:, None, :, None] & columns[:, None, None, :]).to(inputs.device)


def settled(values: Tensor, dtype: torch.dtype) -> Tensor:
    """`values`, which are given up, in this dtype: rounded and kept within 0..255 for uint8, else untouched."""
    if dtype == torch.uint8 and values.is_floating_point():
        return values.round_().clamp_(0, 255).to(torch.uint8)
    return values.to(dtype)

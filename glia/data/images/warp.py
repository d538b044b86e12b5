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


def warped(inputs: Tensor, angle: Tensor, scale: Tensor, center: Tensor, reflect: bool) -> Tensor:
    """Each picture turned by `angle` (N,) radians and enlarged by `scale` (N,), one bilinear sampling for both.

    center: (N, 2) place (x, y) of the source that comes to the middle, in -1..1 from edge to edge.
    """
    height, width = inputs.shape[2:]
    cos, sin = angle.cos() / scale, angle.sin() / scale
    theta = torch.stack(
        [
            torch.stack([cos, -sin * (height / width), center[:, 0]], 1),
            torch.stack([sin * (width / height), cos, center[:, 1]], 1),
        ],
        1,
    ).to(inputs.device, torch.float32)
    grid = F.affine_grid(theta, list(inputs.shape), align_corners=False)
    border = "reflection" if reflect else "border"
    return _as(inputs, F.grid_sample(inputs.float(), grid, padding_mode=border, align_corners=False))


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
        return _as(inputs, values * (contrast * brightness) + offset)
    grey = values[:, 0:1] * weights[0] + values[:, 1:2] * weights[1] + values[:, 2:3] * weights[2]
    pale = grey * (contrast * brightness * (1 - saturation)) + offset
    return _as(inputs, values * (contrast * brightness * saturation) + pale)


def erased(inputs: Tensor, top: Tensor, left: Tensor, side: int) -> Tensor:
    """A square of `side` pixels, whose corner (N,) may lie outside, painted in the picture's own mean colour."""
    mask = _box(inputs, top, left, torch.full_like(top, side), torch.full_like(left, side))
    return torch.where(mask, _as(inputs, _mean(inputs))[:, :, None, None], inputs)


def pasted(inputs: Tensor, partner: Tensor, top: Tensor, left: Tensor, size: tuple[int, int]) -> Tensor:
    """A box of `size` (height, width) replaced by the same place of the pictures `partner` (N,) of the batch."""
    mask = _box(inputs, top, left, torch.full_like(top, size[0]), torch.full_like(left, size[1]))
    return torch.where(mask, inputs[partner.to(inputs.device)], inputs)


def _mean(inputs: Tensor) -> Tensor:
    """(N, C) float64 means; the sum of whole numbers does not depend on its order, hence not on the batch."""
    total = inputs.sum((2, 3), dtype=torch.int64 if inputs.dtype == torch.uint8 else torch.float64)
    return total.double() / inputs[0, 0].numel()


def _box(inputs: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """(N, 1, H, W) booleans: inside the box of each row."""
    y, x = (torch.arange(length) for length in inputs.shape[2:])
    rows = (y >= top[:, None]) & (y < (top + height)[:, None])
    columns = (x >= left[:, None]) & (x < (left + width)[:, None])
    return (rows[:, None, :, None] & columns[:, None, None, :]).to(inputs.device)


def _as(inputs: Tensor, values: Tensor) -> Tensor:
    """`values` in the dtype of `inputs`: rounded and kept within 0..255 for uint8, untouched for floats."""
    if inputs.dtype == torch.uint8:
        return values.round_().clamp_(0, 255).to(torch.uint8)
    return values.to(inputs.dtype)

"""Tensors as people read them: small ones whole, larger ones by shape, mean, spread and first numbers."""

from torch import Tensor

MOST = 8  # rows and columns of what is shown whole
MATRICES = 72  # numbers of several small matrices that are shown whole
FIRST = 4  # numbers that stand for a larger one

Grid = list[list[float]]


def number(value: float, digits: int = 4) -> str:
    """0.5546, -0.02596, 12.5, 1e-07."""
    text = f"{value:.{digits}g}"
    return "0" if text == "-0" else text


def grids(values: Tensor) -> list[Grid] | None:
    """The numbers of something small as matrices, mostly one; None when it is larger.

    Leading dimensions of 1 do not count. The last two dimensions are a matrix's, as of a convolution's filters.
    """
    flat = values.detach()
    while flat.ndim > 2 and flat.shape[0] == 1:
        flat = flat[0]
    small = 0 < flat.numel() and all(size <= MOST for size in flat.shape)
    if not small or (flat.ndim > 2 and flat.numel() > MATRICES) or flat.is_complex():
        return None
    last = flat.shape[-2:] if flat.ndim > 1 else (1, flat.numel())
    found: list[Grid] = flat.reshape(-1, *last).tolist()
    return found if len(found) <= MOST else None


def summary(values: Tensor) -> list[str]:
    """``6 x 28 x 28, mean 0.41, std 0.9`` and ``first 0.1, 0.2, 0.3, 0.4``, apart."""
    shape = " x ".join(str(size) for size in values.shape)
    if not values.numel():
        return [f"{shape}, empty"]
    some = values.detach().flatten()
    known = some.double() if not some.is_complex() else some.abs().double()
    first = ", ".join(number(value) for value in known[:FIRST].tolist())
    spread = known.std(correction=0)
    return [f"{shape}, mean {number(float(known.mean()), 3)}, std {number(float(spread), 3)}", f"first {first}"]


def block(values: Tensor, width: int = 68) -> list[str]:
    """Lines of text, at most `width` wide: a number, a row, matrices with their columns aligned, or a summary."""
    found = grids(values)
    if found is None:
        return _beside(summary(values), width)
    if values.numel() == 1:
        return [number(found[0][0][0])]
    for digits in (4, 3, 2):
        drawn = [_drawn(grid, digits) for grid in found]
        lines = ["   ".join(parts) for parts in zip(*drawn)]
        if len(lines[0]) <= width:
            return lines
    return _beside(summary(values), width)


def _drawn(grid: Grid, digits: int) -> list[str]:
    texts = [[number(value, digits) for value in row] for row in grid]
    widths = [max(map(len, column)) for column in zip(*texts)]
    return ["[" + "  ".join(text.rjust(wide) for text, wide in zip(row, widths)) + "]" for row in texts]


def _beside(parts: list[str], width: int) -> list[str]:
    """On one line where there is room."""
    return [", ".join(parts)] if len(", ".join(parts)) <= width else parts

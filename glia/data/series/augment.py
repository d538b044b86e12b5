"""Augmentation of training series (N, L, C), NaN past the end of shorter rows. What happens to row i in epoch e is a
function of (seed, e, i) alone, as it is with pictures: neither of its batch nor of how far the batch is filled up.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from glia.data.images.draws import uniform
from glia.errors import GliaError, unknown
from glia.seed import mix


@dataclass(frozen=True)
class SeriesAugment:
    """What may happen to a series, in this order; 0 turns a thing off. The length of a row never changes.

    Labels are kept: for classes of whole series. Where the next steps are the answer, they would have to move too.
    Jitter and scaling: Um et al. 2017, arXiv 1706.00527. Window slices: Le Guennec et al. 2016, ECML workshop
    on time series; here the slice is stretched back to the length of its row.
    """

    window: float = 0.0  # a slice that leaves out up to this share of the steps, stretched back
    scale: float = 0.0  # each channel times a number about 1 with this standard deviation
    jitter: float = 0.0  # noise at each step with this standard deviation, in units of `std`
    std: tuple[float, ...] = ()  # of each channel in the training rows; 1 when left out

    def __call__(self, inputs: Tensor, targets: Tensor, seed: int, epoch: int, index: Tensor) -> tuple[Tensor, Tensor]:
        """The rows `index` as epoch `epoch` shows them."""
        if self.std and len(self.std) != inputs.shape[2]:
            raise GliaError("std of SeriesAugment", got=f"{len(self.std)} numbers", expected=f"{inputs.shape[2]}")
        there = ~inputs.isnan().all(2)
        lengths = (there * torch.arange(1, inputs.shape[1] + 1, device=inputs.device)).amax(1)
        if self.window:
            left = 1 - self.window * _draw(index, seed, epoch, "window").to(inputs)
            start = _draw(index, seed, epoch, "window start").to(inputs)
            inputs = sliced(inputs, lengths, start, left)
        if self.scale or self.jitter:
            inputs = self._noisy(inputs, lengths, (seed, epoch, index))
        return inputs, targets

    def _noisy(self, inputs: Tensor, lengths: Tensor, which: tuple[int, int, Tensor]) -> Tensor:
        seed, epoch, index = which
        unit = torch.tensor(self.std or [1.0] * inputs.shape[2])
        factor, noise = torch.ones_like(inputs[:, :1]), torch.zeros_like(inputs)
        for place, (row, length) in enumerate(zip(index.tolist(), lengths.tolist(), strict=True)):
            dice = torch.Generator().manual_seed(mix(seed, "augment", epoch, "series", row))
            factor[place] += self.scale * torch.randn(1, len(unit), generator=dice).to(inputs)
            noise[place, :length] = (self.jitter * unit * torch.randn(length, len(unit), generator=dice)).to(inputs)
        return inputs * factor + noise

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


STRENGTHS = {"window": 0.1, "scale": 0.1, "jitter": 0.03}
_ALSO = {"jittering": "jitter", "scaling": "scale", "window_slice": "window", "window_slicing": "window"}


def by_name(names: str, std: tuple[float, ...]) -> SeriesAugment | None:
    """What a list such as "jitter,scale=0.2" asks for; None for "none" and "auto": it is asked for."""
    made = SeriesAugment(std=std)
    for item in (part.strip().lower() for part in names.split(",")):
        name, _, strength = (part.strip() for part in item.partition("="))
        name = _ALSO.get(name, name)
        if name in ("", "none", "auto"):
            continue
        if name not in STRENGTHS:
            raise unknown("augmentation of series", name, STRENGTHS)
        settings: dict[str, Any] = {name: _strength(name, strength) if strength else STRENGTHS[name]}
        made = replace(made, **settings)
    return made if made.window or made.scale or made.jitter else None


def _strength(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise GliaError(f"strength of augmentation {name}", got=repr(text), expected="a number from 0 to below 1")
    return value


def sliced(x: Tensor, lengths: Tensor, start: Tensor, left: Tensor) -> Tensor:
    """The share `left` (N,) of each row's steps, stretched back to its length by straight lines between steps.

    x (N, L, C), lengths (N,). start (N,): where in 0 .. 1 of the room for it the slice lies; both ends of the slice are
    ends of the new row. Past the end rows stay as they are.
    """
    last = (lengths - 1).clamp_min(0).to(x.dtype)[:, None]
    place = torch.arange(x.shape[1], device=x.device, dtype=x.dtype)
    at = last * (1 - left[:, None]) * start[:, None] + place * left[:, None]
    at = at.minimum(last)
    low = at.floor()
    share = (at - low)[..., None]
    high = (low + 1).minimum(last)
    one, other = (x.gather(1, number.long()[..., None].expand_as(x)) for number in (low, high))
    mixed = torch.where(share == 0, one, torch.lerp(one, other, share))  # a gap beside it does not matter then
    return torch.where((place < lengths[:, None])[..., None], mixed, x)


def _draw(index: Tensor, seed: int, epoch: int, what: str) -> Tensor:
    """(N,) in [0, 1)."""
    return torch.from_numpy(uniform(mix(seed, "augment", epoch, what), index.cpu().numpy()))

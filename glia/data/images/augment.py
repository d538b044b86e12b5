"""Augmentation of training pictures, a whole batch at a time. What happens to row i in epoch e is a function of
(seed, e, i) alone: not of its batch, of the number of workers, or of what was drawn before.
"""

from dataclasses import asdict, dataclass, fields, replace
from hashlib import blake2b
from math import pi
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from glia.data.images.draws import uniform
from glia.data.images.warp import coloured, erased, moved, pasted, settled, warped
from glia.errors import GliaError, unknown
from glia.seed import mix

AT_ONCE = 1 << 20  # values of so many pictures at a time: their floats stay in the cache, in memory that is used again


@dataclass(frozen=True)
class Augment:
    """What may happen to a picture; 0 turns a thing off. Shares are of the picture's side.

    Inputs (N, C, H, W), uint8 or float in 0..255. The dtype stays, except that mixup gives floats; mixup and cutmix
    turn class indices (N,) into shares of classes (N, classes).
    """

    flip: float = 0.0  # probability of a mirror image
    shift: float = 0.0  # whole pixels up to this share, the edge repeated
    crop: float = 0.0  # padded by this share with its reflection, then cut at random to the old size
    rotate: float = 0.0  # degrees, either way
    zoom: float = 0.0  # enlarged or shrunk by up to this share
    closeup: float = 0.0  # cut to a part whose side is at least 1 - closeup, enlarged to the old size
    brightness: float = 0.0  # factor within 1 - b .. 1 + b; likewise the next two
    contrast: float = 0.0
    saturation: float = 0.0
    erase: float = 0.0  # side of a square painted over (cutout, DeVries and Taylor 2017)
    mixup: float = 0.0  # alpha of the Beta distribution (Zhang et al. 2018, equation 1)
    cutmix: float = 0.0  # alpha of the Beta distribution (Yun et al. 2019, equation 1)
    classes: int = 0  # of the task; for mixup and cutmix

    def __call__(self, inputs: Tensor, targets: Tensor, seed: int, epoch: int, index: Tensor) -> tuple[Tensor, Tensor]:
        """The rows `index` as epoch `epoch` shows them."""
        some = max(1, AT_ONCE // max(1, inputs.shape[1:].numel()))
        pieces = zip(inputs.split(some), index.split(some))
        inputs = torch.cat([self._each(piece, _Draw(seed, epoch, rows)) for piece, rows in pieces])
        if self.mixup or self.cutmix:
            return self._mixed(inputs, targets, _Draw(seed, epoch, index))
        return inputs, targets

    def _each(self, inputs: Tensor, draw: "_Draw") -> Tensor:
        """What happens to each picture by itself."""
        dtype = inputs.dtype
        warps, colours = self.rotate or self.zoom or self.closeup, self.brightness or self.contrast or self.saturation
        if self.shift or self.crop or (self.flip and not warps):
            inputs = self._moved(inputs, draw)
        if warps:
            inputs = self._warped(inputs.float() if colours else inputs, draw)
            if colours and dtype == torch.uint8:
                inputs.round_()  # whole numbers all the same; bytes in between would only be made floats again
        if colours:
            factors = [1 + getattr(self, name) * draw.around(name) for name in ("brightness", "contrast", "saturation")]
            inputs = settled(coloured(inputs, *factors), dtype)
        return self._erased(inputs, draw) if self.erase else inputs

    def _moved(self, inputs: Tensor, draw: "_Draw") -> Tensor:
        height, width = inputs.shape[2:]
        share = self.shift + self.crop
        down = draw.whole("down", _pixels(share, height))
        right = draw.whole("right", _pixels(share, width))
        return moved(inputs, down, right, draw("flip") < self.flip, reflect=bool(self.crop))

    def _warped(self, inputs: Tensor, draw: "_Draw") -> Tensor:
        angle = draw.around("rotate") * (self.rotate * pi / 180)
        side = 1 - self.closeup * draw("closeup")
        scale = (1 + self.zoom) ** draw.around("zoom") / side
        center = torch.stack([draw.around("center x"), draw.around("center y")], 1) * (1 - side)[:, None]
        flip = draw("flip") < self.flip if self.flip and not (self.shift or self.crop) else None
        return warped(inputs, angle, scale, center, not self.shift, flip)

    def _erased(self, inputs: Tensor, draw: "_Draw") -> Tensor:
        height, width = inputs.shape[2:]
        side = _pixels(self.erase, min(height, width))
        top = (draw("erase y") * height).floor().long() - side // 2
        left = (draw("erase x") * width).floor().long() - side // 2
        return erased(inputs, top, left, side)

    def _mixed(self, inputs: Tensor, targets: Tensor, draw: "_Draw") -> tuple[Tensor, Tensor]:
        """Mixup or cutmix (by toss where both are on); the share and the partners are the batch's, not the row's."""
        if not targets.is_floating_point():
            if not self.classes:
                raise GliaError("mixup and cutmix need to know how many classes there are", hint="Augment(classes=...)")
            targets = F.one_hot(targets, self.classes).float()
        dice = draw.of_batch()
        partner = torch.from_numpy(dice.permutation(len(inputs)))
        if self.mixup and not (self.cutmix and dice.random() < 0.5):
            share = float(dice.beta(self.mixup, self.mixup))
            inputs = inputs.float() * share + inputs[partner.to(inputs.device)].float() * (1 - share)
        else:
            share = float(dice.beta(self.cutmix, self.cutmix))
            height, width = inputs.shape[2:]
            # The box keeps the picture's shape and lies wholly inside, so that `share` below is exact.
            size = round(height * (1 - share) ** 0.5), round(width * (1 - share) ** 0.5)
            top = torch.full((len(inputs),), int(dice.integers(height - size[0] + 1)))
            left = torch.full((len(inputs),), int(dice.integers(width - size[1] + 1)))
            inputs = pasted(inputs, partner, top, left, size)
            share = 1 - size[0] * size[1] / (height * width)
            if self.mixup:
                inputs = inputs.float()
        return inputs, targets * share + targets[partner.to(targets.device)] * (1 - share)

    def to_dict(self) -> dict[str, Any]:
        """What is on, as plain JSON."""
        return {key: value for key, value in asdict(self).items() if value}


class _Draw:
    """Random numbers for the rows of one batch, by what they are for."""

    def __init__(self, seed: int, epoch: int, index: Tensor):
        self.seed, self.epoch, self.index = seed, epoch, index.cpu().numpy()

    def __call__(self, what: str) -> Tensor:
        """(N,) in [0, 1)."""
        key = mix(self.seed, "augment", self.epoch, what)
        return torch.from_numpy(uniform(key, self.index))

    def around(self, what: str) -> Tensor:
        """(N,) in [-1, 1)."""
        return self(what) * 2 - 1

    def whole(self, what: str, most: int) -> Tensor:
        """(N,) whole numbers from -most to most, each as likely."""
        return (self(what) * (2 * most + 1)).floor().long() - most

    def of_batch(self) -> np.random.Generator:
        """A generator for what a batch shares: a function of (seed, epoch, the batch's rows)."""
        rows = blake2b(np.ascontiguousarray(self.index).tobytes(), digest_size=8).hexdigest()
        return np.random.default_rng(mix(self.seed, "mix", self.epoch, rows))


def _pixels(share: float, length: int) -> int:
    return min(max(round(share * length), 1), length - 1) if share and length > 1 else 0


STRENGTHS: dict[str, dict[str, float]] = {
    "flip": {"flip": 0.5},
    "shift": {"shift": 0.08},
    "crop": {"crop": 0.125},
    "rotate": {"rotate": 10.0},
    "zoom": {"zoom": 0.1},
    "closeup": {"closeup": 0.4},
    "color": {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2},
    "erase": {"erase": 0.25},
    "mixup": {"mixup": 0.2},
    "cutmix": {"cutmix": 1.0},
}
"""The operations by the names that a person gives, and how strong they then are."""

_ALSO = {"colour": "color", "jitter": "color", "cutout": "erase", "rotation": "rotate"}


def by_name(names: str, classes: int = 0) -> Augment | None:
    """The operations of a list such as "flip,shift"; None for "none". A strength may follow: "rotate=20,mixup=0.4"."""
    made = Augment(classes=classes)
    for item in (part.strip().lower() for part in names.split(",")):
        name, _, strength = (part.strip() for part in item.partition("="))
        name = _ALSO.get(name, name)
        if name in ("", "none"):
            continue
        if name not in STRENGTHS:
            raise unknown("augmentation", name, STRENGTHS)
        settings: dict[str, Any] = dict(STRENGTHS[name])
        if strength:
            settings = dict.fromkeys(settings, _strength(name, strength))
        made = replace(made, **settings)
    return made if any(getattr(made, field.name) for field in fields(made) if field.name != "classes") else None


def _strength(name: str, text: str) -> float:
    """A number that fits the operation."""
    most = {"rotate": 180.0, "mixup": 10.0, "cutmix": 10.0, "flip": 1.0, "zoom": 1.0}.get(name, 0.9)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise GliaError(f"strength of augmentation {name}", got=repr(text), expected=f"a number from 0 to {most:g}")
    return value

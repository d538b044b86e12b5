"""Augmentation of training clips: that of pictures, with the same draw for all frames of a clip."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from glia.data.facts import VideoFacts
from glia.data.images import augment as pictures
from glia.data.images.choice import TINY
from glia.errors import GliaError


@dataclass(frozen=True)
class ClipAugment:
    """What may happen to a clip, as `frame` says: to each of its frames alike, so that nothing moves that did not."""

    frame: pictures.Augment

    def __call__(self, inputs: Tensor, targets: Tensor, seed: int, epoch: int, index: Tensor) -> tuple[Tensor, Tensor]:
        """The rows `index` (N, frames, C, H, W) as epoch `epoch` shows them."""
        clips, frames = inputs.shape[:2]
        # What is drawn is a function of a row's index: frames with their clip's index get their clip's draw.
        changed, _ = self.frame(inputs.flatten(0, 1), targets, seed, epoch, index.repeat_interleave(frames))
        return changed.unflatten(0, (clips, frames)), targets

    def to_dict(self) -> dict[str, Any]:
        """What is on, as plain JSON."""
        return self.frame.to_dict()


def by_name(names: str) -> ClipAugment | None:
    """The operations of a list such as "flip,shift=0.1"; None for "none"."""
    made = pictures.by_name(names)
    if made is not None and (made.mixup or made.cutmix):
        raise GliaError("mixup and cutmix blend pictures", got=names, expected="other augmentations for clips")
    return None if made is None else ClipAugment(made)


def chosen(facts: VideoFacts, classes: tuple[str, ...]) -> tuple[ClipAugment | None, list[str]]:
    """An augmentation that leaves every movement as it is, and a line of reason for each choice.

    classes: empty where the answer is a number or several labels.
    """
    if min(facts.height, facts.width) < TINY:
        return None, [f"No augmentation: at {facts.width} x {facts.height} pixels the smallest change loses detail."]
    light = "Brightness and contrast vary by up to 10 %, all frames of a clip alike."
    if not classes:
        return ClipAugment(pictures.Augment(brightness=0.1, contrast=0.1)), [light]
    moved = "Moved by up to 8 % of the side, all frames of a clip alike; no mirror images: sides may be the answer."
    return ClipAugment(pictures.Augment(shift=0.08, brightness=0.1, contrast=0.1)), [moved, light]

"""Augmentations of training pictures, by the names that `--augment` takes. All are settings of
`glia.data.images.augment:Augment`.

Facts: inputs; labels ("kept", or "mixed": class indices become shares of classes); mirror_safe (False where the
meaning may turn: digits and letters do not survive a mirror).
"""

from typing import Any

from glia.catalog.entry import Entry

_KEPT: dict[str, Any] = {"inputs": ("image",), "labels": "kept", "mirror_safe": True}
_MIXED: dict[str, Any] = {"inputs": ("image",), "labels": "mixed", "mirror_safe": True}
_HOME = "glia.data.images.augment:Augment"

ENTRIES = (
    Entry("flip", _HOME, "a mirror image, half of the time", None, {**_KEPT, "mirror_safe": False}),
    Entry("shift", _HOME, "moved by a few pixels, the edge repeated", None, _KEPT),
    Entry(
        "crop", _HOME, "padded by reflection and cut back to size at random", "He et al. 2016, arXiv 1512.03385", _KEPT
    ),
    Entry("rotate", _HOME, "turned by a few degrees", None, _KEPT),
    Entry("zoom", _HOME, "enlarged or shrunk a little", None, _KEPT),
    Entry(
        "closeup", _HOME, "a part of the picture, enlarged to full size", "Szegedy et al. 2015, arXiv 1409.4842", _KEPT
    ),
    Entry("color", _HOME, "brightness, contrast and saturation jittered", "Howard 2013, arXiv 1312.5402", _KEPT),
    Entry("erase", _HOME, "a square painted over", "DeVries and Taylor 2017, arXiv 1708.04552", _KEPT),
    Entry("mixup", _HOME, "two pictures and their labels, blended", "Zhang et al. 2018, arXiv 1710.09412", _MIXED),
    Entry("cutmix", _HOME, "a patch of another picture, labels by area", "Yun et al. 2019, arXiv 1905.04899", _MIXED),
)

ALIASES = {
    "colour": "color",
    "jitter": "color",
    "color_jitter": "color",
    "cutout": "erase",
    "rotation": "rotate",
    "mirror": "flip",
}

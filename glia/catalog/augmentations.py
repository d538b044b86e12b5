"""Augmentations of training rows, validation and test never see them. Those of pictures are the names that `--augment`
takes, all settings of `glia.data.images.augment:Augment`; the others belong to pipelines made by hand.

Facts: inputs ("image", "text", "audio" or "series"); labels ("kept", or "mixed": class indices become shares of
classes); mirror_safe (of pictures: False where the meaning may turn; digits and letters do not survive a mirror).
"""

from typing import Any

from glia.catalog.entry import Entry

_KEPT: dict[str, Any] = {"inputs": ("image",), "labels": "kept", "mirror_safe": True}
_MIXED: dict[str, Any] = {"inputs": ("image",), "labels": "mixed", "mirror_safe": True}
_HOME = "glia.data.images.augment:Augment"
_TEXT: dict[str, Any] = {"inputs": ("text",), "labels": "kept"}
_AUDIO: dict[str, Any] = {"inputs": ("audio",), "labels": "kept"}
_STEPS: dict[str, Any] = {"inputs": ("series",), "labels": "kept"}
_TEXTS, _SOUND = "glia.data.texts.augment:TextAugment", "glia.data.sound.augment:SoundAugment"
_SERIES = "glia.data.series.augment:SeriesAugment"
_EDA, _UM = "Wei and Zou 2019, arXiv 1901.11196", "Um et al. 2017, arXiv 1706.00527"

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
    Entry("synonyms", _TEXTS, "words replaced by synonyms from a list", _EDA, _TEXT),
    Entry("insert_words", _TEXTS, "synonyms of a text's words inserted anywhere", _EDA, _TEXT),
    Entry("delete_words", _TEXTS, "each word left out with a small probability", _EDA, _TEXT),
    Entry("swap_words", _TEXTS, "two words change places, some times", _EDA, _TEXT),
    Entry(
        "back_translation",
        "glia.data.texts.augment:back_translation",
        "translated there and back by a function that is given",
        "Sennrich et al. 2016, arXiv 1511.06709; Xie et al. 2020, arXiv 1904.12848",
        _TEXT,
    ),
    Entry("noise", _SOUND, "white noise at a drawn signal-to-noise ratio in dB", None, _AUDIO),
    Entry("time_shift", _SOUND, "moved in time, with silence before or after", None, _AUDIO),
    Entry(
        "time_stretch",
        _SOUND,
        "slower or faster at the same pitch, by a phase vocoder",
        "Laroche and Dolson 1999, IEEE Transactions on Speech and Audio Processing 7",
        _AUDIO,
    ),
    Entry(
        "specaugment",
        "glia.data.sound.augment:SpecAugment",
        "bands and stretches of time of a spectrogram painted over",
        "Park et al. 2019, arXiv 1904.08779",
        _AUDIO,
    ),
    Entry("jittering", _SERIES, "noise added at each step", _UM, _STEPS),
    Entry("scaling", _SERIES, "each channel times a number about 1", _UM, _STEPS),
    Entry(
        "window_slice",
        _SERIES,
        "a slice of the series, stretched back to its length",
        "Le Guennec et al. 2016, ECML workshop on time series",
        _STEPS,
    ),
)

ALIASES = {
    "colour": "color",
    "jitter": "color",
    "color_jitter": "color",
    "cutout": "erase",
    "rotation": "rotate",
    "mirror": "flip",
    "synonym_replacement": "synonyms",
    "random_insertion": "insert_words",
    "random_deletion": "delete_words",
    "random_swap": "swap_words",
    "window_slicing": "window_slice",
}

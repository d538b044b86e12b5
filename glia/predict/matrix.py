"""Rows of any kind as one plain NumPy matrix, for models that know nothing of tensors or pictures."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from glia.data.batches import Batches
from glia.data.facts import Facts, ImageFacts, SeriesFacts, SoundFacts, TableFacts, TextFacts, VideoFacts
from glia.nn.lengths import mask, masked_mean
from glia.nn.spectrogram import LogMel, Mfcc
from glia.predict.measure import Array
from glia.predict.series import figures, widths

LARGEST_SIDE = 32  # of an image; larger ones are averaged down to it
CLIP_SIDE, CLIP_FRAMES = 16, 8  # likewise of a clip, and how many of its frames
COEFFICIENTS = 20  # of the cepstrum of sounds
_CHUNK = 512  # images that are held in full size at a time
_SOUNDS = 64  # sounds whose spectra are held at a time


def width(facts: Facts) -> int:
    """Columns that `matrix` gives."""
    if isinstance(facts, TableFacts):
        return len(facts.names)
    if isinstance(facts, ImageFacts):
        return facts.channels * math.prod(_size((facts.height, facts.width)))
    if isinstance(facts, VideoFacts):
        return len(_some(facts.frames)) * facts.channels * math.prod(_size((facts.height, facts.width), CLIP_SIDE))
    if isinstance(facts, SoundFacts):
        return 2 * COEFFICIENTS
    if isinstance(facts, SeriesFacts):
        return sum(widths(facts))
    return math.prod(facts.shape)


def matrix(batches: Batches, index: Tensor, facts: Facts) -> Array:
    """The rows at `index`: (n, width) float32. A table as it is, images in 0..1 and at most 32 pixels a side, of clips
    some frames of 16; of texts the tokens, int64, filled up to the longest that may be; of sounds the mean and the
    standard deviation over time of each mel-frequency cepstral coefficient; series as `glia.predict.series.figures`."""
    if not len(index):
        return np.empty((0, width(facts)), dtype=np.float32)
    if isinstance(facts, TextFacts):
        tokens = batches.at(index).inputs
        return F.pad(tokens, (0, facts.length - tokens.shape[1]), value=facts.pad).numpy()
    if isinstance(facts, SoundFacts):
        return torch.cat([_cepstra(batches.at(part).inputs, facts.rate) for part in index.split(_SOUNDS)]).numpy()
    if isinstance(facts, SeriesFacts):
        return torch.cat([figures(batches.at(part).inputs, facts) for part in index.split(_CHUNK)]).numpy()
    if isinstance(facts, VideoFacts):
        return torch.cat([_clips(batches.at(part).inputs) for part in index.split(_CHUNK // 16)]).numpy()
    if not isinstance(facts, ImageFacts):
        return batches.at(index).inputs.flatten(1).float().numpy()
    return torch.cat([_pixels(batches.at(part).inputs) for part in index.split(_CHUNK)]).numpy()


def _cepstra(waves: Tensor, rate: int) -> Tensor:
    """(n, samples) -> (n, 2 * COEFFICIENTS)."""
    found, lengths = Mfcc(LogMel.usual(rate), COEFFICIENTS)(waves)
    there = mask(lengths, found.shape[1])
    mean = masked_mean(found, there)
    return torch.cat((mean, masked_mean((found - mean[:, None]).square(), there).sqrt()), 1)


def _pixels(images: Tensor) -> Tensor:
    """(n, C, H, W) uint8 -> (n, C * h * w) in 0..1."""
    return F.adaptive_avg_pool2d(images.float() / 255, _size(tuple(images.shape[-2:]))).flatten(1)


def _clips(clips: Tensor) -> Tensor:
    """(n, frames, C, H, W) uint8 -> (n, some frames * C * h * w) in 0..1."""
    some = clips[:, _some(clips.shape[1])].float() / 255
    return F.adaptive_avg_pool2d(some.flatten(1, 2), _size(tuple(clips.shape[-2:]), CLIP_SIDE)).flatten(1)


def _some(frames: int) -> list[int]:
    """Frames of a clip, CLIP_FRAMES at most, from the first to the last."""
    return torch.linspace(0, frames - 1, min(frames, CLIP_FRAMES)).round().long().tolist()


def _size(full: tuple[int, ...], most: int = LARGEST_SIDE) -> tuple[int, int]:
    return min(full[0], most), min(full[1], most)

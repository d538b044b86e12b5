"""Networks for sounds: log-mel bands in front, then convolutions over time and frequency."""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from glia.data.facts import Facts, SoundFacts
from glia.data.prepared import Prepared
from glia.data.sound.augment import SpecAugment
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.keys import Rename
from glia.models.resnet_small import Unit
from glia.nn.init import initialise
from glia.nn.lengths import mask
from glia.nn.spectrogram import LogMel

MEASURED = 2000  # training rows, at even distances, whose spectrograms are measured
LEAST_FRAMES = 16  # a shorter sound counts as one of so many, the rest silence of the mean kind
_BATCH = 64


def measured(data: Prepared) -> Prepared:
    """The data with the mean and std of each band of the spectrogram in its facts, from training rows."""
    if not isinstance(data.facts, SoundFacts):
        return data
    front = LogMel.usual(data.facts.rate)
    index = torch.linspace(0, len(data.train) - 1, min(len(data.train), MEASURED), dtype=torch.float64).long()
    count, total, squares = 0.0, torch.zeros(front.bands).double(), torch.zeros(front.bands).double()
    for part in index.split(_BATCH):
        bands, lengths = front(data.train.at(part).inputs)
        there = bands[mask(lengths, bands.shape[1])].double()
        count, total, squares = count + len(there), total + there.sum(0), squares + there.square().sum(0)
    mean = total / count
    std = (squares / count - mean.square()).clamp_min(1e-6).sqrt()
    return replace(data, facts=replace(data.facts, mean=tuple(mean.tolist()), std=tuple(std.tolist())))


class Bands(nn.Module):
    """Waves (N, samples), NaN past the end -> standardised log-mel bands (N, frames, width) and each row's frames.

    each: by the mean and std of the row's own bands too, which hides how loud and how far away somebody spoke.
    In training bands and stretches of time are painted over where the facts ask for it (SpecAugment), drawn from the
    generator that dropout draws from.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, facts: SoundFacts, *, each: bool = False):
        super().__init__()
        self.log_mel = LogMel.usual(facts.rate)
        self.width, self.each = self.log_mel.bands, each
        mean, std = facts.mean or (0.0,) * self.width, facts.std or (1.0,) * self.width
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))
        frames = max(1, facts.length // self.log_mel.hop)
        self.paint = SpecAugment(bands=self.width // 5, frames=max(1, frames // 5), most=0.2) if facts.masks else None

    def frames(self, waves: Tensor) -> Tensor:
        """int64 (N,): frames of each row, LEAST_FRAMES or more."""
        return self.log_mel.frames(waves).clamp_min(LEAST_FRAMES)

    def forward(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        bands, lengths = self.log_mel(waves)
        there = mask(lengths, bands.shape[1])[:, :, None]
        x = (bands - self.mean) / self.std
        if self.each:
            x = standardised(x, there)
        if self.training and self.paint is not None:
            x = self._painted(x.masked_fill(~there, float("nan")))
        x = x.masked_fill(~there, 0.0)
        short = max(0, LEAST_FRAMES - x.shape[1])
        return nn.functional.pad(x, (0, 0, 0, short)), lengths.clamp_min(LEAST_FRAMES)

    def _painted(self, x: Tensor) -> Tensor:
        seed = int(torch.randint(1 << 31, (1,)))
        painted: Tensor = self.paint(x, x, seed, 0, torch.arange(len(x)))[0]  # type: ignore[misc]
        return painted


def standardised(x: Tensor, there: Tensor) -> Tensor:
    """x (N, frames, bands) less the mean of each row and band over the frames that are there, by their std."""
    count = there.sum(1, keepdim=True).clamp_min(1)
    centred = x - (x * there).sum(1, keepdim=True) / count
    spread = ((centred * there).square().sum(1, keepdim=True) / count).sqrt()
    return centred / spread.clamp_min(0.1)


class SoundNet(nn.Module):
    """Waves (N, samples) -> (N, outputs), every row as if it were alone: eight 3 x 3 convolutions over (frames, bands).

    The body of ResNet-9 (`glia.models.resnet_small`), pooled at the stem too: a third of the work, and words need no
    detail of 10 ms. Maps are emptied past the end of each row after every layer; the maximum over the map; one linear
    layer times 1/8.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {}

    def __init__(self, facts: SoundFacts, outputs: int, width: int, dropout: float):
        super().__init__()
        w = width
        self.front = Bands(facts)
        self.stem, self.down1 = Unit(1, w, pool=True), Unit(w, 2 * w, pool=True)
        self.pair1 = nn.ModuleList([Unit(2 * w, 2 * w), Unit(2 * w, 2 * w)])
        self.down2, self.down3 = Unit(2 * w, 4 * w, pool=True), Unit(4 * w, 8 * w, pool=True)
        self.pair3 = nn.ModuleList([Unit(8 * w, 8 * w), Unit(8 * w, 8 * w)])
        self.drop = nn.Dropout(dropout)
        self.output = nn.Linear(8 * w, outputs)

    def forward(self, waves: Tensor) -> Tensor:
        bands, lengths = self.front(waves)
        x, lengths = _within(self.stem(bands.unsqueeze(1)), lengths // 2), lengths // 2  # (N, w, frames, bands)
        x, lengths = _within(self.down1(x), lengths // 2), lengths // 2
        x = x + _through(self.pair1, x, lengths)
        x, lengths = _within(self.down2(x), lengths // 2), lengths // 2
        x, lengths = _within(self.down3(x), lengths // 2), lengths // 2
        x = (x + _through(self.pair3, x, lengths)).amax((2, 3))  # all are 0 or more, so the emptied ones count nothing
        return self.output(self.drop(x)) / 8

    def stages(self) -> list[list[str]]:
        return [["stem"], ["down1", "pair1"], ["down2"], ["down3", "pair3"], ["output"]]


def _within(x: Tensor, lengths: Tensor) -> Tensor:
    """x (N, C, frames, bands) with 0 past the end of each row."""
    return x * mask(lengths, x.shape[2])[:, None, :, None]


def _through(units: nn.ModuleList, x: Tensor, lengths: Tensor) -> Tensor:
    for unit in units:
        x = _within(unit(x), lengths)
    return x


def sound_facts(facts: Facts, name: str) -> SoundFacts:
    """The facts of sounds; a GliaError for those of anything else."""
    if not isinstance(facts, SoundFacts):
        raise GliaError(f"{name} takes sounds", got=f"{facts.kind} data", hint="model='auto'")
    return facts


def soundnet(
    facts: Facts, task: Task, generator: torch.Generator, *, width: int = 16, dropout: float = 0.0
) -> SoundNet:
    """Convolutions over log-mel bands, for words and noises of seconds."""
    net = SoundNet(sound_facts(facts, "soundnet"), task.outputs, width, dropout)
    initialise(net, "relu", generator)
    return net

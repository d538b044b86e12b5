"""Convolutional networks for whole series: FCN, a residual network, and random convolutions with a learnt line.

Wang, Yan, Oates 2017, "Time series classification from scratch with deep neural networks: a strong baseline", arXiv
1611.06455 (FCN, ResNet); Dempster, Petitjean, Webb 2020, "ROCKET", arXiv 1910.13051 (random convolutions); Tan,
Dempster, Bergmeir, Webb 2022, "MultiRocket", arXiv 2102.00457 (differences beside the series).
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.data.facts import Facts, SeriesFacts, TensorFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.keys import Rename
from glia.models.recurrent import Steps
from glia.nn.init import initialise
from glia.nn.lengths import mask
from glia.nn.precision import exact

KERNELS = (8, 5, 3)
_CHUNK = 1 << 25  # numbers of one layer's maps that are held at a time where no gradient is wanted


class MaskedNorm(nn.BatchNorm1d):
    """Batch norm over the places that are there: (N, C, L) and bool (N, L) -> (N, C, L); past the end is not defined.

    As torch's where all rows are full, and in evaluation. Running figures are updated as torch does, with the unbiased
    variance.
    """

    def forward(self, x: Tensor, there: Tensor | None = None) -> Tensor:
        if there is None or not self.training:
            return super().forward(x)
        x = exact(x)  # in bfloat16 the mean itself would have three digits
        weight = there[:, None].to(x.dtype)
        count = weight.sum().clamp_min(1)
        mean = (x * weight).sum((0, 2)) / count
        apart = (x - mean[:, None]) * weight
        variance = (apart * apart).sum((0, 2)) / count
        with torch.no_grad():
            share = self.momentum or 0.0
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)  # type: ignore[union-attr]
            spread = variance * count / (count - 1).clamp_min(1)
            self.running_var.lerp_(spread.to(self.running_var.dtype), share)  # type: ignore[union-attr]
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        factor = self.weight * torch.rsqrt(variance + self.eps)
        return (x - mean[:, None]) * factor[:, None] + self.bias[:, None]


class SettledNorm(nn.BatchNorm1d):
    """(N, C) -> (N, C) by the mean and variance of all training batches so far, in training as in evaluation.

    For inputs that no weight moves: a batch of few rows would judge each of them by the others in it.
    """

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = self.running_mean, self.running_var
        if self.training and len(x) > 1:  # one row alone varies in nothing
            with torch.no_grad():
                share = 1 / self.num_batches_tracked.add_(1).float()  # type: ignore[union-attr]
                mean.lerp_(x.float().mean(0), share)  # type: ignore[union-attr]
                variance.lerp_(x.float().var(0), share)  # type: ignore[union-attr]
        return F.batch_norm(x, mean, variance, self.weight, self.bias, False, 0.0, self.eps)


class Unit(nn.Module):
    """Convolution of the same length, norm, ReLU where asked; zeros past the end of each row."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, relu: bool = True):
        super().__init__()
        self.around = ((kernel - 1) // 2, kernel // 2)  # an even kernel reaches one step further ahead than back
        self.conv = nn.Conv1d(inputs, outputs, kernel, bias=False)
        self.norm, self.relu = MaskedNorm(outputs), relu

    def forward(self, x: Tensor, there: Tensor | None) -> Tensor:
        x = self.norm(self.conv(F.pad(x, self.around)), there)
        x = torch.relu(x) if self.relu else x
        return x if there is None else x.masked_fill(~there[:, None], 0.0)


class Residual(nn.Module):
    """Three units and a way round them: 1 x 1 with a norm where the channels change, else the norm alone."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.units = nn.ModuleList(
            Unit(inputs if i == 0 else outputs, outputs, kernel, relu=i < 2) for i, kernel in enumerate(KERNELS)
        )
        self.project = nn.Conv1d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()
        self.norm = MaskedNorm(outputs)

    def forward(self, x: Tensor, there: Tensor | None) -> Tensor:
        beside = self.norm(self.project(x), there)
        for unit in self.units:
            x = unit(x, there)
        x = torch.relu(x + beside)
        return x if there is None else x.masked_fill(~there[:, None], 0.0)


class ConvolvedSeries(nn.Module):
    """Steps (N, L, C), NaN past the end -> (N, outputs): blocks, the mean over each row's steps, a line.

    A row's answer in evaluation is the same alone as among longer ones.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {}

    def __init__(self, front: Steps, blocks: list[nn.Module], width: int, outputs: int, dropout: float):
        super().__init__()
        self.front, self.blocks = front, nn.ModuleList(blocks)
        self.drop, self.head = nn.Dropout(dropout), nn.Linear(width, outputs)
        self.widest = 2 * width

    def forward(self, x: Tensor) -> Tensor:
        if self.training or torch.compiler.is_compiling():
            return self._answers(x)
        rows = max(1, _CHUNK // max(1, x.shape[1] * self.widest))
        return torch.cat([self._answers(part) for part in x.split(rows)])

    def _answers(self, x: Tensor) -> Tensor:
        z, lengths = self.front(x)
        longest = x.shape[1]
        there: Tensor | None = mask(lengths, longest)
        if self.training and bool((lengths == longest).all()):
            there = None  # torch's own norm is faster
        z = z.transpose(1, 2)
        for block in self.blocks:
            z = block(z, there)
        count = lengths.clamp_min(1)[:, None].to(z.dtype)
        return self.head(self.drop(z.sum(2) / count))

    def stages(self) -> list[list[str]]:
        return [*([f"blocks.{i}"] for i in range(len(self.blocks))), ["head"]]


class RandomConvolutions(nn.Module):
    """Steps (N, L, C), NaN past the end -> (N, outputs): what frozen random kernels find, and a line on it.

    After ROCKET: each of `kernels` kernels has normal weights less their mean, on some of the channels, a bias from
    -1 .. 1, a dilation, and gives two figures: the largest value, and the share of steps with a value above 0. Half of
    them see the differences between neighbouring steps, as in MultiRocket, on the scale of each row. Differs from both:
    kernels of 9 steps and dilations by powers of two, zeros around each row, and a line learnt by gradient instead of
    ridge regression, on figures brought to mean 0 and variance 1.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {}
    LENGTH = 9
    weights: Tensor
    biases: Tensor

    def __init__(self, front: Steps, length: int, outputs: int, kernels: int, generator: torch.Generator):
        super().__init__()
        self.front, self.kernels = front, kernels
        most = max(1, (max(length, 2) - 1) // (self.LENGTH - 1))
        self.dilations = [2**i for i in range(most.bit_length())]
        weights = torch.randn(kernels, front.width, self.LENGTH, generator=generator)
        weights -= weights.mean(2, keepdim=True)
        weights *= self._channels(kernels, front.width, generator)[:, :, None]
        self.register_buffer("weights", weights)
        self.register_buffer("biases", torch.rand(kernels, generator=generator) * 2 - 1)
        self.norm = SettledNorm(2 * kernels, affine=False)
        self.head = nn.Linear(2 * kernels, outputs)

    def _channels(self, kernels: int, channels: int, generator: torch.Generator) -> Tensor:
        """(kernels, channels) of 0 and 1: 2^u of the channels at random, u even from 0 to log2 of their number + 1."""
        most = torch.log2(torch.tensor(min(channels, self.LENGTH) + 1.0))
        count = (2 ** (torch.rand(kernels, generator=generator) * most)).floor().clamp(1, channels)
        rank = torch.rand(kernels, channels, generator=generator).argsort(1).argsort(1)
        return (rank < count[:, None]).float()

    def forward(self, x: Tensor) -> Tensor:
        z, lengths = self.front(x)
        z = z.transpose(1, 2)
        rows = max(1, _CHUNK // max(1, x.shape[1] * self.kernels // (2 * len(self.dilations))))
        with torch.no_grad():
            if torch.compiler.is_compiling():
                found = self._figures(z, lengths, mask(lengths, x.shape[1]))
            else:
                there = None if bool((lengths == x.shape[1]).all()) else mask(lengths, x.shape[1])
                parts = [z.split(rows), lengths.split(rows)]
                parts.append([None] * len(parts[0]) if there is None else there.split(rows))
                found = torch.cat([self._figures(*part) for part in zip(*parts)])
        return self.head(self.norm(found))

    def _figures(self, z: Tensor, lengths: Tensor, there: Tensor | None) -> Tensor:
        """(N, 2 x kernels) of series (N, C, L); there (N, L), None where all rows are full."""
        count = lengths.clamp_min(1)[:, None]
        found = []
        halves = zip((z, differences(z, there)), self.weights.chunk(2), self.biases.chunk(2))
        for series, weights, biases in halves:
            parts = zip(self.dilations, weights.chunk(len(self.dilations)), biases.chunk(len(self.dilations)))
            for dilation, weight, bias in parts:
                around = dilation * (self.LENGTH // 2)
                maps = F.conv1d(series, weight.to(z.dtype), bias.to(z.dtype), padding=around, dilation=dilation)
                maps = maps if there is None else maps.masked_fill(~there[:, None], -1e4)
                found += [maps.amax(2).clamp_min(-1e3), maps.gt(0).float().sum(2) / count]
        return torch.cat(found, 1)

    def stages(self) -> list[list[str]]:
        return [["head"]]


def differences(z: Tensor, there: Tensor | None = None) -> Tensor:
    """Each step less the one before it, (N, C, L) -> (N, C, L), 0 at the first, with a mean square of 1 in each row.

    there (N, L): rows end where it does, with zeros after that. One factor for all channels of a row, so that a channel
    that hardly moves stays the smaller one.
    """
    apart = F.pad(z[:, :, 1:] - z[:, :, :-1], (1, 0))
    if there is None:
        square = apart.square().mean((1, 2), keepdim=True)
    else:
        apart = apart.masked_fill(~there[:, None], 0.0)
        square = apart.square().sum((1, 2), keepdim=True) / (there.sum(1).clamp_min(1) * z.shape[1])[:, None, None]
    return apart / square.sqrt().clamp_min(1e-6)


def convolved_series(
    facts: Facts,
    task: Task,
    generator: torch.Generator,
    *,
    blocks: Literal["fcn", "resnet"] = "fcn",
    width: int = 128,
    dropout: float = 0.0,
) -> ConvolvedSeries:
    """The paper's networks have width 128: FCN 128, 256, 128 channels; ResNet three blocks of 64, 128, 128."""
    front = Steps(series_facts(facts, blocks))
    if width < 2:
        raise GliaError(f"size of {blocks}", got=f"width {width}", expected="2 or more")
    w, c = width, front.width
    made: list[nn.Module] = (
        [Unit(c, w, KERNELS[0]), Unit(w, 2 * w, KERNELS[1]), Unit(2 * w, w, KERNELS[2])]
        if blocks == "fcn"
        else [Residual(c, w // 2), Residual(w // 2, w), Residual(w, w)]
    )
    net = ConvolvedSeries(front, made, w, task.outputs, dropout)
    initialise(net, "relu", generator)
    return net


def random_convolutions(
    facts: Facts, task: Task, generator: torch.Generator, *, width: int = 4000
) -> RandomConvolutions:
    """width: how many random kernels; the paper has 10,000."""
    known = series_facts(facts, "rocket")
    net = RandomConvolutions(Steps(known), known.shape[0], task.outputs, width, generator)
    with torch.no_grad():
        net.head.weight.zero_()
        net.head.bias.zero_()
    return net


def series_facts(facts: Facts, name: str) -> SeriesFacts | TensorFacts:
    """The facts, if they are of series. Raises GliaError."""
    if isinstance(facts, SeriesFacts) or (isinstance(facts, TensorFacts) and len(facts.shape) == 2):
        return facts
    raise GliaError(f"{name} takes series", got=f"{facts.kind} data", hint="glia list models")

"""Networks that forecast: a stretch of the past (N, window, channels) to the steps after it (N, horizon, targets).

Every one is a body in a `Forecaster`, which standardises what comes in and holds what a forecast needs besides.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.data.facts import ForecastFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.recurrent import CELLS
from glia.nn.init import initialise

Scaling = Literal["none", "last", "window"]


class Forecaster(nn.Module):
    """Raw (N, window, C) -> standardised (N, horizon, T), or (N, horizon, T, Q) where quantiles are told.

    body: standardised (N, window, C) -> (N, horizon, T x max(Q, 1)). scaling: what is taken off each window first and
    put back on its forecast: "last" the last value (Zeng et al. 2023, arXiv 2205.13504, NLinear), "window" mean and
    spread of the window (Kim et al. 2022, RevIN, without its learnt part), "none".
    below, above: (horizon, T), what to add to a forecast for the ends of its 80 % interval; set after training.
    """

    mean: Tensor
    std: Tensor
    below: Tensor
    above: Tensor

    def __init__(self, facts: ForecastFacts, task: Task, body: nn.Module, *, scaling: Scaling = "none"):
        super().__init__()
        self.body, self.scaling = body, scaling
        self.targets, self.horizon, self.window = len(task.targets), facts.horizon, facts.window
        self.quantiles = facts.quantiles
        self.register_buffer("mean", torch.tensor(facts.mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(facts.std, dtype=torch.float32))
        self.register_buffer("below", torch.zeros(facts.horizon, self.targets))
        self.register_buffer("above", torch.zeros(facts.horizon, self.targets))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != self.window:
            raise GliaError("steps of the past", got=x.shape[1], expected=self.window)
        z = (x.to(self.mean.dtype) - self.mean) / self.std
        middle, width = self._level(z)
        out = self.body((z - middle) / width)
        out = out.view(x.shape[0], self.horizon, self.targets, -1)
        middle, width = (part[:, :, : self.targets, None] for part in (middle, width))
        out = out * width + middle
        return out if self.quantiles else out.squeeze(3)

    def _level(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Middle and width (N, 1, C) of each window."""
        if self.scaling == "last":
            return z[:, -1:], torch.ones_like(z[:, -1:])
        if self.scaling == "window":
            return z.mean(1, keepdim=True), z.std(1, keepdim=True, correction=0) + 1e-5
        return torch.zeros_like(z[:, :1]), torch.ones_like(z[:, :1])

    def stages(self) -> list[list[str]]:
        return [["body"]]


class DLinear(nn.Module):
    """One linear map of the trend and one of what is left, the same for all channels.

    Zeng et al. 2023, arXiv 2205.13504, figure 2: the trend is a moving mean over 25 steps whose ends are filled up with
    the first and the last value. All channels share the maps, as in the paper's multivariate experiments.
    """

    MEAN_OVER = 25

    def __init__(self, window: int, steps: int):
        super().__init__()
        self.trend, self.rest = nn.Linear(window, steps), nn.Linear(window, steps)

    def forward(self, x: Tensor) -> Tensor:
        series = x.transpose(1, 2)  # (N, C, window)
        side = self.MEAN_OVER // 2
        padded = F.pad(series, (side, side), mode="replicate")
        trend = F.avg_pool1d(padded, self.MEAN_OVER, 1)
        return self.trend(trend) + self.rest(series - trend)  # (N, C, steps)


class _Channelwise(nn.Module):
    """A map of one channel's past, applied to every target: (N, window, C) -> (N, horizon, T x Q)."""

    def __init__(self, net: nn.Module, targets: int, horizon: int):
        super().__init__()
        self.net, self.targets, self.horizon = net, targets, horizon

    def forward(self, x: Tensor) -> Tensor:
        out = self.net(x[:, :, : self.targets])  # (N, T, horizon x Q)
        return out.view(x.shape[0], self.targets, self.horizon, -1).permute(0, 2, 1, 3).flatten(2)


class _Line(nn.Module):
    """(N, window, C) -> (N, C, steps)."""

    def __init__(self, window: int, steps: int):
        super().__init__()
        self.line = nn.Linear(window, steps)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.line(x.transpose(1, 2))
        return out


class _Read(nn.Module):
    """A recurrent network reads the past of all channels; a line tells every step from its last state."""

    def __init__(self, cell: str, channels: int, width: int, depth: int, dropout: float, outputs: int):
        super().__init__()
        self.rnn = CELLS[cell](channels, width, depth, batch_first=True, dropout=dropout if depth > 1 else 0.0)
        self.drop, self.head = nn.Dropout(dropout), nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.drop(self.rnn(x)[0][:, -1]))
        return out


class Causal(nn.Module):
    """Two dilated convolutions that see the past alone, with a residual: Bai et al. 2018, arXiv 1803.01271, figure 1.

    Without their weight norm: the windows are scaled before.
    """

    def __init__(self, channels: int, width: int, kernel: int, dilation: int, dropout: float):
        super().__init__()
        self.left = (kernel - 1) * dilation
        self.first = nn.Conv1d(channels, width, kernel, dilation=dilation)
        self.second = nn.Conv1d(width, width, kernel, dilation=dilation)
        self.short = nn.Conv1d(channels, width, 1) if channels != width else nn.Identity()
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.drop(F.relu(self.first(F.pad(x, (self.left, 0)))))
        hidden = self.drop(F.relu(self.second(F.pad(hidden, (self.left, 0)))))
        out: Tensor = F.relu(hidden + self.short(x))
        return out


class _Convolve(nn.Module):
    """Causal blocks of doubling dilation until the last step sees the whole window; a line tells every step."""

    def __init__(self, channels: int, window: int, width: int, kernel: int, dropout: float, outputs: int):
        super().__init__()
        blocks, seen, dilation = list[nn.Module](), 1, 1
        while seen < window or not blocks:
            blocks.append(Causal(channels if not blocks else width, width, kernel, dilation, dropout))
            seen += 2 * (kernel - 1) * dilation
            dilation *= 2
        self.blocks, self.head = nn.Sequential(*blocks), nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.blocks(x.transpose(1, 2))[:, :, -1])
        return out


class Patches(nn.Module):
    """A Transformer over patches of one channel's past: Nie et al. 2023, arXiv 2211.14730 (PatchTST).

    (N, window, C) -> (N, C, steps); every channel by itself, with the same weights. Layer norm before each part in
    place of the paper's batch norm after it.
    """

    def __init__(
        self, window: int, steps: int, *, width: int, depth: int, heads: int, patch: int, stride: int, dropout: float
    ):
        super().__init__()
        self.patch, self.stride = min(patch, window), min(stride, window)
        count = (window - self.patch) // self.stride + 2  # one more, filled up with the last value
        self.embed = nn.Linear(self.patch, width)
        self.place = nn.Parameter(torch.zeros(count, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm, self.drop = nn.LayerNorm(width), nn.Dropout(dropout)
        self.head = nn.Linear(count * width, steps)

    def forward(self, x: Tensor) -> Tensor:
        count, window, channels = x.shape
        series = F.pad(x.transpose(1, 2), (0, self.stride), mode="replicate")
        patches = series.unfold(2, self.patch, self.stride).flatten(0, 1)  # (N x C, patches, patch)
        hidden = self.norm(self.layers(self.drop(self.embed(patches) + self.place)))
        out: Tensor = self.head(self.drop(hidden.flatten(1))).view(count, channels, -1)
        return out


def _sizes(facts: ForecastFacts, task: Task) -> tuple[int, int]:
    """(targets, numbers that a step of a target takes)."""
    return len(task.targets), max(1, len(facts.quantiles))


def linear_forecast(
    facts: ForecastFacts, task: Task, generator: torch.Generator, *, parts: str = "trend", scaling: Scaling = "none"
) -> Forecaster:
    """DLinear (parts "trend") or a single line ("one"), as in NLinear. Begins as the mean of the past."""
    targets, each = _sizes(facts, task)
    steps = facts.horizon * each
    net = DLinear(facts.window, steps) if parts == "trend" else _Line(facts.window, steps)
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.constant_(module.weight, 1 / facts.window)
            nn.init.zeros_(module.bias)
    return Forecaster(facts, task, _Channelwise(net, targets, facts.horizon), scaling=scaling)


def recurrent_forecast(
    facts: ForecastFacts,
    task: Task,
    generator: torch.Generator,
    *,
    cell: str = "gru",
    width: int = 64,
    depth: int = 1,
    dropout: float = 0.1,
) -> Forecaster:
    """An LSTM or GRU over all channels."""
    targets, each = _sizes(facts, task)
    body = _Read(cell, facts.channels, width, depth, dropout, facts.horizon * targets * each)
    return _begun(Forecaster(facts, task, body, scaling="last"), "tanh", generator)


def tcn_forecast(
    facts: ForecastFacts,
    task: Task,
    generator: torch.Generator,
    *,
    width: int = 32,
    kernel: int = 3,
    dropout: float = 0.1,
) -> Forecaster:
    """Dilated causal convolutions over all channels."""
    targets, each = _sizes(facts, task)
    body = _Convolve(facts.channels, facts.window, width, kernel, dropout, facts.horizon * targets * each)
    return _begun(Forecaster(facts, task, body, scaling="last"), "relu", generator)


def patch_forecast(
    facts: ForecastFacts,
    task: Task,
    generator: torch.Generator,
    *,
    width: int = 64,
    depth: int = 3,
    heads: int = 4,
    patch: int = 16,
    stride: int = 8,
    dropout: float = 0.2,
) -> Forecaster:
    """PatchTST."""
    targets, each = _sizes(facts, task)
    net = Patches(
        facts.window, facts.horizon * each, width=width, depth=depth, heads=heads, patch=patch, stride=stride,
        dropout=dropout,
    )  # fmt: skip
    made = _begun(
        Forecaster(facts, task, _Channelwise(net, targets, facts.horizon), scaling="window"), "gelu", generator
    )
    nn.init.normal_(net.place, std=0.02, generator=generator)
    return made


def _begun(net: Forecaster, activation: str, generator: torch.Generator) -> Forecaster:
    initialise(net, activation, generator)
    return net

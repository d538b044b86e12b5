"""Waves to spectrograms inside a network: log-mel and mel-frequency cepstral coefficients.

Waves are floats (N, samples), shorter rows filled up at the end with NaN; every row comes out as if it were alone.
"""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from glia.errors import GliaError
from glia.nn.lengths import emptied, mask

Scale = Literal["slaney", "htk"]

_LINEAR_HZ = 200 / 3  # hertz a mel below the break of Slaney's scale
_BREAK_HZ, _BREAK_MEL = 1000.0, 15.0
_LOG_STEP = math.log(6.4) / 27


def mel_of_hertz(hertz: Tensor, scale: Scale = "slaney") -> Tensor:
    """Frequencies as ears space them.

    "htk": 2595 log10(1 + f / 700) (O'Shaughnessy 1987). "slaney": straight up to 1 kHz, logarithmic above (Slaney 1998,
    Auditory Toolbox).
    """
    if scale == "htk":
        return 2595 * torch.log10(1 + hertz / 700)
    above = _BREAK_MEL + (hertz.clamp_min(_BREAK_HZ) / _BREAK_HZ).log() / _LOG_STEP
    return torch.where(hertz < _BREAK_HZ, hertz / _LINEAR_HZ, above)


def hertz_of_mel(mel: Tensor, scale: Scale = "slaney") -> Tensor:
    """The inverse of `mel_of_hertz`."""
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    above = _BREAK_HZ * (_LOG_STEP * (mel.clamp_min(_BREAK_MEL) - _BREAK_MEL)).exp()
    return torch.where(mel < _BREAK_MEL, mel * _LINEAR_HZ, above)


def mel_filters(
    rate: int, size: int, bands: int, low: float = 0.0, high: float | None = None, scale: Scale = "slaney"
) -> Tensor:
    """Triangles (bands, size // 2 + 1) over the frequencies of a Fourier transform of `size` samples.

    Each rises from the centre of the band below to its own and falls to that of the one above, evenly spaced in mel
    from `low` to `high` (half the rate when None). "slaney": of equal area; "htk": of equal height. A band so narrow
    that no frequency lies under it takes the frequency nearest to its centre.
    """
    top = rate / 2 if high is None else high
    if not 0 <= low < top <= rate / 2 or bands < 1:
        raise GliaError("mel bands", got=f"{bands} from {low:g} to {top:g} Hz", expected=f"within 0 to {rate / 2:g}")
    # On the CPU even where a network is built without memory (torch's meta device): steps depend on values here.
    kind: dict[str, Any] = {"dtype": torch.float64, "device": "cpu"}
    ends = mel_of_hertz(torch.tensor([low, top], **kind), scale)
    points = hertz_of_mel(torch.linspace(float(ends[0]), float(ends[1]), bands + 2, **kind), scale)
    frequencies = torch.linspace(0, rate / 2, size // 2 + 1, **kind)
    below, centre, above = (points[i : bands + i, None] for i in range(3))
    rising, falling = (frequencies - below) / (centre - below), (above - frequencies) / (above - centre)
    filters = torch.minimum(rising, falling).clamp_min(0)
    nearest = (frequencies - centre).abs().argmin(1)
    empty = (filters.sum(1) == 0).nonzero().flatten()
    filters[empty, nearest[empty]] = 1.0
    if scale == "slaney":
        filters = filters * (2 / (above - below))
    return filters.float()


class LogMel(nn.Module):
    """Waves (N, samples) -> the log of the power in mel bands (N, frames, bands), and how many frames each row has.

    Frame t is centred on sample t * hop, with silence beyond both ends, under a Hann window: a row of n samples has
    1 + n // hop frames. Past them the output is 0. The log is natural, of power no less than `least`.
    window, hop: samples; size: of the Fourier transform, window or more.
    """

    shape: Tensor
    filters: Tensor

    def __init__(
        self, rate: int, bands: int, *, window: int, hop: int, size: int, scale: Scale = "slaney", least: float = 1e-6
    ):
        super().__init__()
        self.bands, self.window, self.hop, self.size, self.least = bands, window, hop, size, least
        self.register_buffer("shape", torch.hann_window(window))
        self.register_buffer("filters", mel_filters(rate, size, bands, scale=scale))

    @classmethod
    def usual(cls, rate: int) -> "LogMel":
        """25 ms windows, 10 ms apart, in 40 bands (64 above 8 kHz): what speech recognition uses."""
        window, hop = max(round(0.025 * rate), 2), max(round(0.01 * rate), 1)
        return cls(rate, 40 if rate <= 8000 else 64, window=window, hop=hop, size=1 << (window - 1).bit_length())

    def frames(self, waves: Tensor) -> Tensor:
        """int64 (N,): how many frames each row has."""
        return 1 + samples(waves) // self.hop

    def forward(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        power = self.power(waves)
        logs = (power @ self.filters.T).clamp_min(self.least).log()
        lengths = self.frames(waves)
        return emptied(logs, mask(lengths, logs.shape[1])), lengths

    def power(self, waves: Tensor) -> Tensor:
        """(N, frames, size // 2 + 1): the squared magnitude of the short-time Fourier transform."""
        x = waves.to(self.shape.dtype).nan_to_num(0.0)
        spectrum = torch.stft(
            x, self.size, self.hop, self.window, self.shape, center=True, pad_mode="constant", return_complex=True
        )
        return torch.view_as_real(spectrum).square().sum(-1).transpose(1, 2)


class Mfcc(nn.Module):
    """Waves (N, samples) -> mel-frequency cepstral coefficients (N, frames, count) and the frames of each row.

    The orthonormal discrete cosine transform (type II) of the log-mel bands: Davis and Mermelstein 1980, IEEE
    Transactions on Acoustics, Speech, and Signal Processing 28.
    """

    turn: Tensor

    def __init__(self, log_mel: LogMel, count: int = 13):
        super().__init__()
        self.log_mel = log_mel
        self.register_buffer("turn", cosines(log_mel.bands)[:count])

    def forward(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        bands, lengths = self.log_mel(waves)
        return bands @ self.turn.T, lengths


def cosines(size: int) -> Tensor:
    """(size, size) matrix of the orthonormal discrete cosine transform of type II."""
    k, n = torch.meshgrid(*(torch.arange(size, dtype=torch.float64),) * 2, indexing="ij")
    turn = (math.pi / size * (n + 0.5) * k).cos() * math.sqrt(2 / size)
    turn[0] /= math.sqrt(2)
    return turn.float()


def samples(waves: Tensor) -> Tensor:
    """(N, samples) -> int64 (N,): up to the last that is a number."""
    return (~waves.isnan() * torch.arange(1, waves.shape[1] + 1, device=waves.device)).amax(1)

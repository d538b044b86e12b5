"""What a model builder must know of the inputs: plain numbers, measured on the training rows alone."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class TableFacts:
    """A table arrives as one float32 matrix (rows, columns): numbers as they are (less `offset`), NaN where missing;
    categories as codes 0, 1, 2 ... where 0 stands for missing, rare or never seen.

    Every tuple has one item a column. For category columns the numeric facts are neutral (median 0, scale 1, no edges).
    """

    names: tuple[str, ...]
    levels: tuple[int, ...]  # 0: a number; otherwise how many codes, 0 included
    median: tuple[float, ...]
    scale: tuple[float, ...]  # interquartile range; half the range where that is 0; 1 for a constant
    low: tuple[float, ...]
    high: tuple[float, ...]
    gaps: tuple[bool, ...]  # numbers only: some training rows had no value
    edges: tuple[tuple[float, ...], ...]  # bin edges of the piecewise-linear embedding, in the units of the column
    rows: int  # training rows that the facts come from

    kind = "table"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return (len(self.names),)


@dataclass(frozen=True)
class ImageFacts:
    """Images arrive as uint8 tensors (rows, channels, height, width); mean and std a channel, in 0..1."""

    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    rows: int

    kind = "image"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return self.channels, self.height, self.width


@dataclass(frozen=True)
class VideoFacts:
    """Clips arrive as uint8 tensors (rows, frames, channels, height, width); mean and std a channel, in 0..1."""

    frames: int
    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    rows: int

    kind = "video"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return self.frames, self.channels, self.height, self.width


@dataclass(frozen=True)
class TensorFacts:
    """Any other tensors: the shape of one row."""

    shape: tuple[int, ...]
    rows: int

    kind = "tensor"


@dataclass(frozen=True)
class TextFacts:
    """Texts arrive as tokens: int64 (rows, length), shorter ones filled up at the end with `pad`.

    length: the most tokens that a row may have.
    """

    vocabulary: int
    length: int
    pad: int
    rows: int

    kind = "text"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return (self.length,)


@dataclass(frozen=True)
class PairFacts(TextFacts):
    """Texts arrive as TextFacts says, their translations as tokens too, each with `begin` and `end` around it.

    targets: the vocabulary of the translations. shared: it is that of the texts. length holds for both sides.
    """

    targets: int
    shared: bool
    begin: int
    end: int

    kind = "pairs"


@dataclass(frozen=True)
class SeriesFacts:
    """Series arrive as floats (rows, length, channels), shorter ones filled up at the end with NaN in every channel.

    mean, std: one a channel, of what is there. length: the most steps that a row may have.
    """

    channels: int
    length: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    rows: int

    kind = "series"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return self.length, self.channels


@dataclass(frozen=True)
class ForecastFacts:
    """A stretch of the past arrives as floats (rows, window, channels), the first channels being those to forecast.

    horizon: steps to tell. mean, std: of each channel, from the training part. period: steps of the season, 0 for none.
    several: the rows come from more than one series. quantiles: to tell, in 0..1; none for a single number.
    naive: of each target, the mean absolute error of telling training steps by the value a season before (Hyndman,
    Koehler 2006, the scale of the MASE).
    """

    channels: int
    window: int
    horizon: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    period: int
    several: bool
    quantiles: tuple[float, ...]
    naive: tuple[float, ...]
    rows: int

    kind = "forecast"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return self.window, self.channels


@dataclass(frozen=True)
class SoundFacts:
    """Sounds arrive as waves: floats in -1..1 (rows, samples), shorter ones filled up at the end with NaN.

    rate: samples a second. length: the most samples that a row of the training part has. mean, std: of each band of
    the log-mel spectrogram, over all frames of training rows. masks: training paints over bands and stretches of time.
    """

    rate: int
    length: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    masks: bool
    rows: int

    kind = "sound"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return (self.length,)


Facts = (
    TableFacts
    | ImageFacts
    | VideoFacts
    | TensorFacts
    | TextFacts
    | PairFacts
    | SeriesFacts
    | SoundFacts
    | ForecastFacts
)
KINDS: dict[str, type[Facts]] = {
    kind.kind: kind
    for kind in (
        *(TableFacts, ImageFacts, VideoFacts, TensorFacts, TextFacts),
        *(PairFacts, SeriesFacts, SoundFacts, ForecastFacts),
    )
}


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def facts_to_dict(facts: Facts) -> dict[str, Any]:
    return {"kind": facts.kind, **asdict(facts)}


def facts_from_dict(data: dict[str, Any]) -> Facts:
    fields = {key: _tuples(value) for key, value in data.items() if key != "kind"}
    return KINDS[data["kind"]](**fields)

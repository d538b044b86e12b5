"""Course: how the loss went from the first step to the last, and at which rate. Figures that several checks share."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite
from statistics import fmean, median

from glia.catalog.optimizers import USUAL_RATES
from glia.doctor.learning import FEWEST as ENOUGH
from glia.doctor.learning import Learning, learning
from glia.vitals.chart import Chart, LayerVitals, ScoreFacts

FEWEST, PARTS = 10, 10
RECURRENT = ("RNN", "LSTM", "GRU")


@dataclass(frozen=True, slots=True)
class Course:
    """The losses of a run that all stayed finite, in the order of the steps.

    parts: medians of ten equal stretches. seen: how far it came; None after too few steps to say.
    """

    losses: tuple[float, ...]
    parts: tuple[float, ...]
    seen: Learning | None = None

    @property
    def reference(self) -> float:
        """The loss of knowing nothing; the first loss where that is not known."""
        return self.seen.reference if self.seen else self.losses[0]

    def evidence(self) -> dict[str, float]:
        """First and last loss, and that of knowing nothing."""
        return self.seen.evidence() if self.seen else {"first_loss": self.losses[0], "last_loss": self.losses[-1]}

    @property
    def late(self) -> tuple[float, ...]:
        """The second half."""
        return self.losses[len(self.losses) // 2 :]

    @property
    def jump(self) -> float:
        """Typical change from one step to the next over the typical loss, in the second half."""
        changes = [abs(b - a) for a, b in zip(self.late, self.late[1:])]
        return median(changes) / max(abs(median(self.late)), 1e-12)

    @property
    def fall(self) -> float:
        """Share of itself that the loss lost over the second half, on the straight line that fits it best."""
        return self._line()[0]

    @property
    def error(self) -> float:
        """Standard error of `fall`."""
        return self._line()[1]

    def _line(self) -> tuple[float, float]:
        late, n = self.late, len(self.late)
        mean, middle = fmean(late), (n - 1) / 2
        spread = n * (n * n - 1) / 12  # of the places 0 .. n - 1, as a sum of squares
        slope = sum((at - middle) * loss for at, loss in enumerate(late)) / spread
        left = sum((loss - mean - slope * (at - middle)) ** 2 for at, loss in enumerate(late))
        start = mean - slope * middle
        if not start > 0:
            return 0.0, float("inf")
        return -slope * (n - 1) / start, float((left / max(1, n - 2) / spread) ** 0.5 * (n - 1) / start)


def course(chart: Chart) -> Course | None:
    """The course of a loss that is known to fall when a network learns; None where it is not, or is not finite."""
    seen = learning(chart)
    losses = [step.loss for step in chart.steps if step.backwards]
    falls = not chart.losses or chart.losses[0].sign > 0
    if (seen is None and not _short(chart, losses)) or not falls:
        return None
    if len(losses) < FEWEST or not all(map(isfinite, losses)):
        return None
    cuts = [len(losses) * part // PARTS for part in range(PARTS + 1)]
    return Course(tuple(losses), tuple(median(losses[a:b]) for a, b in zip(cuts, cuts[1:])), seen)


def _short(chart: Chart, losses: list[float]) -> bool:
    """Is it only because of few steps that nothing is known of how far it came?"""
    alone = len(chart.optimizers) == len(chart.losses) == 1
    return alone and chart.losses[0].kind != "unknown" and len(losses) < ENOUGH and min(losses, default=-1) >= 0


def peak_rate(chart: Chart) -> float:
    """The highest learning rate of the first optimiser; NaN where none is known."""
    rates = [step.lr for step in chart.steps if step.optimizer == 0 and isfinite(step.lr)]
    return max(rates, default=float("nan"))


def usual_rates(chart: Chart) -> tuple[float, float, float] | None:
    """(lowest, where to begin, highest) of the first optimiser; None where there are several, or it is not known."""
    return USUAL_RATES.get(chart.optimizers[0].kind) if len(chart.optimizers) == 1 else None


def weighted_layers(chart: Chart) -> dict[str, list[LayerVitals]]:
    """Place -> its measured steps, for layers that hold weights, from the inputs to the outputs."""
    found: dict[str, list[LayerVitals]] = {}
    for layer in chart.layers:
        if layer.leaf and layer.weighted:
            found.setdefault(layer.place, []).append(layer)
    return found


def typical(layers: list[LayerVitals], figure: Callable[[LayerVitals], float]) -> float:
    """Median of a figure over measured steps; NaN where it was never known."""
    known = [value for value in map(figure, layers) if isfinite(value)]
    return median(known) if known else float("nan")


def kinds(chart: Chart) -> Iterator[str]:
    """Class names of all modules."""
    for model in chart.models:
        yield from (kind for _, kind in model.modules)


def recurrent(chart: Chart) -> bool:
    """Is there a recurrent layer?"""
    return any(kind.startswith(RECURRENT) for kind in kinds(chart))


def large_inputs(chart: Chart, rms: float = 10.0) -> bool:
    """Are the numbers that the first weights take far from 0 or wide?"""
    first = next(iter(weighted_layers(chart).values()), [])
    return typical(first, lambda layer: layer.input.rms) > rms


def apart(chart: Chart) -> float:
    """Skill on training rows less skill on held-out rows, less what chance may add where few rows were asked: two
    standard errors of a share of right answers. Negative where held-out rows are the better ones; 0 where not known.
    """
    scores = {score.part: score for score in chart.scores}
    train, valid = scores.get("train"), scores.get("valid")
    if train is None or valid is None:
        return 0.0
    gap = train.skill - valid.skill
    doubt = 2 * (_error(train) ** 2 + _error(valid) ** 2) ** 0.5
    return max(0.0, gap - doubt) if gap > 0 else min(0.0, gap + doubt)


def regularised(chart: Chart) -> bool:
    """Is there dropout or weight decay?"""
    dropped = any("Dropout" in kind for kind in kinds(chart)) or any(
        "dropout" in operation.name for model in chart.models for operation in model.operations
    )
    return dropped or any(optimizer.options.get("weight_decay", 0.0) > 0 for optimizer in chart.optimizers)


def _error(score: ScoreFacts) -> float:
    if not score.rows or score.chance >= 1 or not 0 <= score.value <= 1:
        return 0.0
    return float((score.value * (1 - score.value) / score.rows) ** 0.5 / (1 - score.chance))

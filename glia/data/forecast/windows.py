"""Windows: pieces of a panel as rows, cut out when they are asked for."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from glia.data.forecast.panel import Panel
from glia.data.tables.source import Int64s


@dataclass(frozen=True)
class Windows:
    """Rows (length, channels) of `values` (steps, channels), each beginning at one of `starts`."""

    values: Tensor
    starts: Tensor
    length: int

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, index: Tensor) -> Tensor:
        """(n, length, channels) float32."""
        # All windows as rows that overlap, of which each is one stretch of memory: copied in a sixth of the time.
        values, channels = self.values.contiguous(), self.values.shape[1]
        every = max(len(values) - self.length + 1, 0), self.length * channels
        rows = values.as_strided(every, (channels, 1)).index_select(0, self.starts[index])
        return rows.view(len(index), self.length, channels)


@dataclass(frozen=True)
class Cuts:
    """Where each part's forecasts lie: steps of the clock from which validation and test begin. test: None for none."""

    valid: int | None
    test: int | None


def window_starts(panel: Panel, targets: int, window: int, horizon: int, low: int | None, high: int | None) -> Int64s:
    """Places in the panel where windows begin whose `horizon` steps to tell all lie in [low, high) of the clock.

    What a network is shown may lie before `low`: that is the past. A window with nothing to tell is left out.
    """
    found = []
    known: Any = np.isfinite(panel.values[:, :targets]).any(axis=1)
    for start, end, first in zip(panel.starts.tolist(), panel.ends.tolist(), panel.first.tolist()):
        begin = start if low is None else max(start, start + low - first - window)
        last = (end if high is None else min(end, start + high - first)) - window - horizon
        if last < begin:
            continue
        starts = np.arange(begin, last + 1)
        seen = np.concatenate([[0], np.cumsum(known[start:end])])  # steps with a value before each place
        offset = starts - start + window
        found.append(starts[seen[offset + horizon] > seen[offset]])
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)

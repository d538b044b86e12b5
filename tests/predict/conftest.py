"""The plainest reader there is, and rows for it: number columns of a frame, in order."""

from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pytest
import torch

from glia.data.prepared import Raw


class Numbers:
    """Reads a polars frame: columns x0, x1 ... are inputs, `target` the answer as the network wants it."""

    def __init__(self, kind: str = "table"):
        self.kind = kind
        self.asked: list[int] = []

    def stream(self, source: Any, *, targets: bool = False, rows: int = 4096) -> Iterator[Raw]:
        self.asked.append(rows)
        names = [name for name in source.columns if name.startswith("x")]
        for start in range(0, source.height, rows):
            cells = source[start : start + rows]
            inputs = torch.tensor(cells.select(names).to_numpy(), dtype=torch.float32)
            answer = torch.tensor(cells["target"].to_numpy()) if targets else None
            yield Raw(inputs, answer, [str(start + i) for i in range(cells.height)], cells)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind}


@pytest.fixture
def reader() -> Callable[..., Numbers]:
    """reader(kind="table") makes a reader of number columns."""
    return Numbers


@pytest.fixture
def frame() -> Callable[[int], pl.DataFrame]:
    """frame(rows): three numbers and an answer that hangs on the first."""

    def make(rows: int) -> pl.DataFrame:
        x = torch.randn(rows, 3, generator=torch.Generator().manual_seed(0)).numpy()
        return pl.DataFrame({f"x{i}": x[:, i] for i in range(3)} | {"target": (x[:, 0] > 0).astype("int64")})

    return make

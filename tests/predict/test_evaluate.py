"""evaluate: the measures of a labelled source, the same as measured by hand."""

from typing import Any

import polars as pl
import pytest
import torch
from torch import nn

from glia.data.task import Task
from glia.errors import GliaError
from glia.predict.evaluate import evaluate
from glia.predict.measure import measure


def test_classes(reader: Any, frame: Any) -> None:
    task = Task("classify", ("y",), ("no", "yes"))
    rows = frame(3000)
    model = nn.Linear(3, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-1.0, 0.3, 0.0], [1.0, 0.0, 0.2]]))
        model.bias.zero_()
        out = model(torch.tensor(rows.select("x0", "x1", "x2").to_numpy())).softmax(1)
    want = measure(task, out, torch.tensor(rows["target"].to_numpy()))
    got = evaluate(model, task, reader(), rows)
    assert got == pytest.approx(want)
    assert 0.7 < got["accuracy"] < 1


def test_values_are_brought_to_own_units(reader: Any) -> None:
    task = Task("regress", ("y",), center=(50.0,), scale=(10.0,))
    rows = pl.DataFrame({"x0": [0.0, 1.0], "target": [[0.0], [0.0]]}).with_columns(target=pl.lit(0.0))
    got = evaluate(nn.Identity(), task, reader(), rows)
    assert got["mae"] == pytest.approx(5.0)  # off by 0 and by one standard deviation of 10


def test_nothing_to_evaluate_is_said(reader: Any, frame: Any) -> None:
    with pytest.raises(GliaError, match="nothing to evaluate"):
        evaluate(nn.Linear(3, 2), Task("classify", ("y",), ("no", "yes")), reader(), frame(0))

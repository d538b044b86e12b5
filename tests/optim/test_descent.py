"""Gradient descent as in textbooks: the whole set a step, one row a step, some rows a step."""

import numpy as np
import pytest
import torch
from torch import nn

from glia.data.batches import Batches
from glia.nn.losses import half_mse
from glia.optim.build import build

X = torch.randn(23, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = X @ torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64) + 0.1 * X[:, :1].square()


def descended(batch_size: int, epochs: int, lr: float) -> tuple[np.ndarray, list[int]]:
    """Weights of a linear map after `epochs`, and the size of every batch."""
    model = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    nn.init.zeros_(model.weight)
    optimizer, sizes = build("sgd", model, lr), []
    for epoch in range(epochs):
        for batch in Batches(X, Y, torch.arange(23)).epoch(0, epoch, batch_size):
            optimizer.zero_grad()
            half_mse(model(batch.inputs), batch.targets).backward()
            optimizer.step()
            sizes.append(len(batch.inputs))
    return model.weight.detach().numpy()[0], sizes


@pytest.mark.parametrize("batch_size", [23, 1000])
def test_batch_gradient_descent_is_the_closed_form(batch_size: int) -> None:
    """w - w* shrinks by (1 - lr H) a step, H the mean of x x'. A batch of all rows or more is the whole set."""
    weight, sizes = descended(batch_size, 7, 0.2)
    x, y = X.numpy(), Y.numpy()[:, 0]
    best = np.linalg.lstsq(x, y, rcond=None)[0]
    shrink = np.eye(3) - 0.2 * x.T @ x / 23
    expected = best + np.linalg.matrix_power(shrink, 7) @ (0 - best)
    np.testing.assert_allclose(weight, expected, rtol=1e-10)
    assert sizes == [23] * 7


def test_one_row_a_step_is_the_plain_loop() -> None:
    weight, sizes = descended(1, 2, 0.05)
    expected = np.zeros(3)
    for epoch in range(2):
        for batch in Batches(X, Y, torch.arange(23)).epoch(0, epoch, 1):
            x, y = X[batch.index[0]].numpy(), Y[batch.index[0], 0].item()
            expected -= 0.05 * (expected @ x - y) * x  # the update of the delta rule
    np.testing.assert_allclose(weight, expected, rtol=1e-10)
    assert sizes == [1] * 46


def test_some_rows_a_step() -> None:
    weight, sizes = descended(5, 60, 0.2)
    assert sizes[:5] == [5, 5, 5, 4, 4]
    np.testing.assert_allclose(weight, np.linalg.lstsq(X.numpy(), Y.numpy()[:, 0], rcond=None)[0], atol=0.1)

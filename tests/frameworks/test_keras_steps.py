"""Steps of Keras' optimisers, heard: against Keras' own count, rate and weights."""

import os

import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras")

import numpy as np  # noqa: E402
import torch  # noqa: E402

from glia.vitals.keras import keras_steps, stand_in  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Keras with this numpy


def model(optimizer):
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
    net.compile(optimizer=optimizer, loss="mse")
    return net


def fit(net):
    rows = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    net.fit(rows, rows.sum(1), batch_size=10, epochs=2, verbose=0)
    return net


def test_each_step_is_told_with_its_rate_and_changes_nothing():
    rates = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    alone = fit(model(keras.optimizers.SGD(rates))).get_weights()
    told, after = [], []
    apply = keras.src.optimizers.base_optimizer.BaseOptimizer.apply
    with keras_steps(
        lambda one, *_: told.append((type(one).__name__, one.param_groups[0]["lr"])), lambda *_: after.append(1)
    ) as look:
        look()
        heard = fit(model(keras.optimizers.SGD(rates))).get_weights()
    assert keras.src.optimizers.base_optimizer.BaseOptimizer.apply is apply
    assert all((a == b).all() for a, b in zip(alone, heard))
    assert [name for name, _ in told] == ["SGD"] * 8 and len(after) == 8
    assert [rate for _, rate in told] == pytest.approx([0.1 * 0.5**k for k in range(8)])


def test_only_steps_that_move_are_told_under_accumulation():
    told = []
    with keras_steps(lambda *_: told.append(1), lambda *_: None) as look:
        look()
        fit(model(keras.optimizers.SGD(0.1, gradient_accumulation_steps=4)))
    assert len(told) == 2


def test_the_stand_in_has_the_settings():
    weights = [torch.nn.Parameter(torch.zeros(2))]
    adam = stand_in(keras.optimizers.AdamW(1e-2, weight_decay=0.1, beta_1=0.8, epsilon=1e-5), weights)
    assert type(adam) is torch.optim.AdamW
    group = adam.param_groups[0]
    assert (group["weight_decay"], group["betas"], group["eps"]) == (0.1, (0.8, 0.999), 1e-5)
    assert stand_in(keras.optimizers.RMSprop(rho=0.7), weights).param_groups[0]["alpha"] == 0.7
    assert type(stand_in(keras.optimizers.Lion(1e-3), weights)).__name__ == "Lion"

"""Keras 3 on torch: layers of its own, compile, fit. Its LSTM has one vector of biases where torch has two."""

import math
import os
from collections.abc import Callable
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

import keras
import torch
from keras import layers
from torch import Tensor

from benchmarks.speed.job import Job, Marks, Trained, Unfit


def dense(*widths: int) -> Any:
    hidden = [layers.Dense(width, activation="relu") for width in widths[1:-1]]
    return keras.Sequential([keras.Input((widths[0],)), *hidden, layers.Dense(widths[-1])])


def lenet() -> Any:
    return keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(6, 5, padding="same", activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(16, 5, activation="relu"), layers.MaxPooling2D(), layers.Flatten(),
        layers.Dense(120, activation="relu"), layers.Dense(84, activation="relu"), layers.Dense(10),
    ])  # fmt: skip


def lstm() -> Any:
    return keras.Sequential([keras.Input((100, 64)), layers.LSTM(128), layers.Dense(10)])


def _residual(x: Any, outputs: int) -> Any:
    extra = outputs - x.shape[-1]
    stride = 2 if extra else 1
    out = layers.Conv2D(outputs, 3, stride, padding="same", use_bias=False)(x)
    out = layers.ReLU()(layers.BatchNormalization()(out))
    out = layers.BatchNormalization()(layers.Conv2D(outputs, 3, padding="same", use_bias=False)(out))
    if extra:
        x = keras.ops.pad(x[:, ::2, ::2, :], ((0, 0), (0, 0), (0, 0), (0, extra)))
    return layers.ReLU()(layers.Add()([out, x]))


def resnet20() -> Any:
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(16, 3, padding="same", use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    for width in (16, 32, 64):
        for _ in range(3):
            x = _residual(x, width)
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


NETWORKS: dict[str, Callable[[], Any]] = {
    "table": lambda: dense(20, 64, 64, 2),
    "million": lambda: dense(20, 64, 64, 2),
    "mlp": lambda: dense(784, 256, 128, 10),
    "lenet": lenet,
    "lstm": lstm,
    "resnet": resnet20,
    "mnist": lenet,
}
FEWER = {"lstm": 4 * 128}


class Mark(keras.callbacks.Callback):  # type: ignore[misc]
    def __init__(self, marks: Marks):
        super().__init__()
        self.marks = marks

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.marks.epoch(lambda x: answers(self.model, x))


def answers(model: Any, x: Tensor) -> Tensor:
    return torch.from_numpy(model.predict(_as_keras(x), verbose=0))


def _as_keras(x: Tensor) -> Any:
    """Pictures with their channels last."""
    return (x.permute(0, 2, 3, 1).contiguous() if x.ndim == 4 else x).numpy()


def train(job: Job) -> Trained:
    if job.work.name not in NETWORKS:
        raise Unfit("no layers of Keras make this network in its usual form")
    keras.utils.set_random_seed(0)
    x, y = job.tensors()
    model = NETWORKS[job.work.name]()
    how: dict[str, Any] = {"optimizer": keras.optimizers.Adam(job.rate)} if job.rate else {}
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), **how)
    model.fit(_as_keras(x), y.numpy(), batch_size=job.batch, epochs=job.epochs, callbacks=[Mark(job.marks)])
    count = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return Trained(lambda x: answers(model, x), count, FEWER.get(job.work.name, 0))


TRAIN = {"keras": train}

"""skorch's nets: a classifier over tensors, or a net over a dataset; its own log on, no rows held out."""

from typing import Any

import numpy as np
import torch
from skorch import NeuralNet, NeuralNetClassifier
from skorch.callbacks import Callback
from torch import Tensor, nn

from benchmarks.speed.job import Job, Marks, Trained
from benchmarks.speed.networks import logits_of


class Mark(Callback):  # type: ignore[misc]
    def __init__(self, marks: Marks, network: nn.Module):
        self.marks, self.network = marks, network

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.marks.epoch(lambda x: logits_of(self.network, x))


class TokenLoss(nn.Module):
    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())


def train(job: Job) -> Trained:
    network = job.work.first_network()
    settings: dict[str, Any] = {"optimizer": torch.optim.Adam, "lr": job.rate} if job.rate else {}
    settings |= {"batch_size": job.batch} if job.batch else {}
    settings |= {"iterator_train__collate_fn": job.rows.collate} if job.rows.collate else {}
    settings |= {"iterator_train__num_workers": job.rows.workers} if job.rows.workers else {}
    plain = job.rows.x is not None and not job.work.tokens
    net = (NeuralNetClassifier if plain else NeuralNet)(
        network,
        criterion=TokenLoss if job.work.tokens else nn.CrossEntropyLoss,
        max_epochs=job.epochs,
        train_split=None,
        iterator_train__shuffle=True,
        callbacks=[Mark(job.marks, network)],
        **settings,
    )
    if plain:
        x, y = job.tensors()
        net.fit(x.numpy(), y.numpy().astype(np.int64))
    else:
        net.fit(job.rows.dataset, y=None)
    return Trained(lambda x: logits_of(network, x), sum(p.numel() for p in network.parameters()))


TRAIN = {"skorch": train}

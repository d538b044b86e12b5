"""Lightning's Trainer with its defaults: logger, checkpoints, progress bar, summary."""

from typing import Any

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.speed.job import Job, Marks, Trained
from benchmarks.speed.networks import logits_of


class Lit(lightning.LightningModule):
    def __init__(self, job: Job):
        super().__init__()
        self.network, self.loss, self.rate = job.work.first_network(), job.work.loss, job.rate or 1e-3

    def training_step(self, batch: Any, index: int) -> Tensor:
        x, y = batch
        loss = self.loss(self.network(x), y)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.rate)


class Mark(lightning.Callback):
    def __init__(self, marks: Marks):
        self.marks = marks

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        self.marks.epoch(lambda x: logits_of(module.network, x))


def train(job: Job) -> Trained:
    module = Lit(job)
    trainer = lightning.Trainer(
        max_epochs=job.epochs, accelerator="cpu", default_root_dir=job.folder, callbacks=[Mark(job.marks)]
    )
    trainer.fit(module, DataLoader(job.rows.dataset, **job.loader()))
    return Trained(lambda x: logits_of(module.network, x), sum(p.numel() for p in module.parameters()))


TRAIN = {"lightning": train}

"""Hugging Face's Trainer with its defaults, but for a rate that stays; its AdamW decays nothing unless asked."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments

from benchmarks.speed.job import Job, Marks, Trained
from benchmarks.speed.networks import logits_of


class Scored(nn.Module):
    """A network that gives its loss, as the Trainer wants it."""

    def __init__(self, job: Job):
        super().__init__()
        self.network, self.loss = job.work.first_network(), job.work.loss

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.network(x)
        return {"loss": self.loss(logits, labels), "logits": logits}


class Named(Dataset[Any]):
    """Rows as dicts."""

    def __init__(self, rows: Any):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        x, y = self.rows[index]
        return {"x": x, "labels": y}


class Mark(TrainerCallback):
    def __init__(self, marks: Marks, network: nn.Module):
        self.marks, self.network = marks, network

    def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
        self.marks.epoch(lambda x: logits_of(self.network, x))


def train(job: Job) -> Trained:
    model = Scored(job)
    settings: dict[str, Any] = {"learning_rate": job.rate, "lr_scheduler_type": "constant"} if job.rate else {}
    settings |= {"per_device_train_batch_size": job.batch} if job.batch else {}
    arguments = TrainingArguments(
        output_dir=str(job.folder), num_train_epochs=job.epochs, use_cpu=True, report_to="none",
        dataloader_num_workers=job.rows.workers, **settings,
    )  # fmt: skip
    collate = job.rows.collate

    def together(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        assert collate is not None
        x, y = collate([(row["x"], row["labels"]) for row in rows])
        return {"x": x, "labels": y}

    more: dict[str, Any] = {"data_collator": together} if collate else {}
    marks = Mark(job.marks, model.network)
    torch.manual_seed(0)
    Trainer(model, arguments, train_dataset=Named(job.rows.dataset), callbacks=[marks], **more).train()
    return Trained(lambda x: logits_of(model.network, x), sum(p.numel() for p in model.parameters()))


TRAIN = {"transformers": train}

"""Hugging Face: a tiny BERT from its configuration learns whether more of its tokens are small than large."""

import os
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from torch.utils.data import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)

set_seed(0)


class Rows(Dataset):
    def __init__(self, n, seed):
        generator = torch.Generator().manual_seed(seed)
        self.ids = torch.randint(0, 20, (n, 9), generator=generator)
        self.labels = (self.ids < 10).sum(1).ge(5).long()

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, i):
        return {"input_ids": self.ids[i], "attention_mask": torch.ones(9, dtype=torch.long), "labels": self.labels[i]}


def compute_metrics(prediction):
    return {"accuracy": float((prediction.predictions.argmax(1) == prediction.label_ids).mean())}


config = BertConfig(
    vocab_size=20,
    hidden_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=64,
    max_position_embeddings=16,
    num_labels=2,
)
args = TrainingArguments(
    output_dir=tempfile.mkdtemp(),
    num_train_epochs=6,
    per_device_train_batch_size=32,
    per_device_eval_batch_size=64,
    learning_rate=3e-3,
    eval_strategy="epoch",
    save_strategy="no",
    report_to="none",
    disable_tqdm=True,
    use_cpu=True,
    logging_steps=50,
)
trainer = Trainer(
    model=BertForSequenceClassification(config),
    args=args,
    train_dataset=Rows(1600, 1),
    eval_dataset=Rows(400, 2),
    compute_metrics=compute_metrics,
)
trainer.train()
print(trainer.evaluate()["eval_accuracy"], trainer.evaluate()["eval_loss"])

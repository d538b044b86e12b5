"""Runs whose data, network and Step are Python's: an LSTM, a GPT and a DCGAN, each small and with noise of its own."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from glia.data.batches import Batches
from glia.data.facts import ImageFacts, TextFacts
from glia.data.task import Task
from glia.models.build import build
from glia.training.adversarial import adversarial
from glia.training.language import next_token
from glia.training.steps import Step, supervised
from glia.workbench.train import resume, train
from torture.kinds import EVERY, begun

ROWS, LENGTH, LETTERS = 96, 12, 9
Made = tuple[tuple[Tensor, Tensor], nn.Module, Step]


def given(folder: str, workers: int, what: str, **settings: Any) -> None:
    """Begin the run in `folder`, or go on with it. what: "lstm", "gpt" or "gan"."""
    torch.set_num_threads(EVERY["threads"])
    (inputs, targets), model, step = {"lstm": lstm, "gpt": gpt, "gan": gan}[what]()
    cut = ROWS * 3 // 4
    parts = (Batches(x, y, torch.arange(len(x)), workers=workers) for x, y in (
        (inputs[:cut], targets[:cut]), (inputs[cut:], targets[cut:]))
    )  # fmt: skip
    run, data = Path(folder), tuple(parts)
    if begun(run, workers):
        resume(run, data=data, model=model, step=step)
    else:
        train(data=data, model=model, step=step, name=run.name, runs=run.parent, **settings)


def _chance() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def _tokens(longest: int) -> Tensor:
    return torch.randint(1, LETTERS, (ROWS, longest), generator=_chance())


def lstm() -> Made:
    """Rows of unequal lengths, filled up with 0; does the last letter come after the fourth?"""
    x = _tokens(LENGTH)
    lengths = torch.randint(3, LENGTH + 1, (ROWS,), generator=_chance())
    y = (x[torch.arange(ROWS), lengths - 1] > 4).long()
    x = x.masked_fill(torch.arange(LENGTH) >= lengths[:, None], 0)
    task = Task("classify", ("late",), ("no", "yes"))
    model = build("lstm", TextFacts(LETTERS, LENGTH, 0, rows=ROWS), task, depth=2, width=8, dropout=0.2)
    return (x, y), model, supervised("cross_entropy")


def gpt() -> Made:
    """The next letter, with dropout."""
    x = _tokens(LENGTH + 1)
    task = Task("language", ("next",), tuple("abcdefghi"))
    model = build("gpt", TextFacts(LETTERS, LENGTH, 0, rows=ROWS), task, layers=1, heads=2, width=16, dropout=0.1)
    return (x[:, :-1], x[:, 1:]), model, next_token()


def gan() -> Made:
    """Pictures of 16 x 16 out of noise; two networks with batch norm, and new noise in each step."""
    x = torch.randint(0, 256, (ROWS, 1, 16, 16), generator=_chance()).to(torch.uint8)
    facts = ImageFacts(1, 16, 16, (0.5,), (0.25,), rows=ROWS)
    model = build("dcgan", facts, Task("own", ()), latent=6, width=4)
    return (x, torch.zeros(ROWS, dtype=torch.long)), model, adversarial()

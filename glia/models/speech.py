"""Speech to text: convolutions and recurrent layers over log-mel bands, a share of each sign at every frame.

After Amodei et al. 2015, "Deep Speech 2" (arXiv 1512.02595), much smaller; trained by CTC (Graves et al. 2006).
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from glia.data.facts import Facts, SoundFacts
from glia.data.task import Task
from glia.errors import GliaError, unknown
from glia.models.keys import Rename
from glia.models.recurrent import CELLS
from glia.models.sound import Bands, sound_facts
from glia.nn.ctc import ended
from glia.nn.init import initialise
from glia.nn.lengths import emptied, mask, run_packed


class Over(nn.Module):
    """A convolution over five frames, batch norm, ReLU: (N, frames, C) -> (N, frames / stride, width)."""

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(inputs, width, 5, stride, 2, bias=False), nn.BatchNorm1d(width)
        self.stride = stride

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """What lies past the end of a row comes out as 0, as it went in."""
        lengths = (lengths - 1) // self.stride + 1
        x = torch.relu(self.norm(self.conv(x.transpose(1, 2)))).transpose(1, 2)
        return emptied(x, mask(lengths, x.shape[1])), lengths


class Speech(nn.Module):
    """Waves (N, samples) -> logits (N, frames, classes), class 0 the blank; every row as if it were alone.

    frame: samples between two frames. Past the end of a row the blank is certain (`glia.nn.ctc.ended`).
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {}

    def __init__(self, facts: SoundFacts, outputs: int, cell: str, width: int, depth: int, dropout: float):
        super().__init__()
        self.front = Bands(facts, each=True)
        self.first, self.second = Over(self.front.width, width, 1), Over(width, width, 2)
        self.frame = 2 * self.front.log_mel.hop
        self.rnn = CELLS[cell](
            width, width, depth, batch_first=True, bidirectional=True, dropout=dropout if depth > 1 else 0.0
        )
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(2 * width, outputs)

    def forward(self, waves: Tensor) -> Tensor:
        x, lengths = self.front(waves)
        x, lengths = self.first(x, lengths)
        x, lengths = self.second(x, lengths)
        x, _ = run_packed(self.rnn, x, lengths)
        return ended(self.head(self.drop(x)), lengths)

    def stages(self) -> list[list[str]]:
        return [["first"], ["second"], ["rnn"], ["head"]]


def speech(
    facts: Facts,
    task: Task,
    generator: torch.Generator,
    *,
    cell: Literal["rnn", "lstm", "gru"] = "gru",
    width: int = 96,
    depth: int = 2,
    dropout: float = 0.1,
) -> Speech:
    """Speech to text, each sign of the training texts a class."""
    if task.kind != "transcribe":
        raise GliaError("a speech network writes texts", got=f"the task {task.kind}", hint="model='soundnet'")
    if cell not in CELLS:
        raise unknown("recurrent cell", cell, CELLS)
    net = Speech(sound_facts(facts, "speech"), task.outputs, cell, width, depth, dropout)
    initialise(net, "relu", generator)
    return net

"""Networks for clips: one small residual network for pictures looks at every frame; time comes in by shifted channels,
or by a recurrent layer over what it says of each frame.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from glia.data.facts import Facts, ImageFacts, VideoFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.keys import Rename
from glia.models.resnet_small import ResNet9, Unit
from glia.nn.init import initialise

SHARE = 8  # an eighth of the channels comes from the frame after, an eighth from the frame before


class Shift(nn.Module):
    """Frames (clips * frames, C, H, W): the first eighth of the channels is taken from the next frame of the clip, the
    second from the one before; 0 past either end. Lin, Gan, Han 2019, arXiv 1811.08383, section 3 ("TSM").
    """

    def __init__(self, frames: int):
        super().__init__()
        self.frames = frames

    def forward(self, x: Tensor) -> Tensor:
        some = max(1, x.shape[1] // SHARE)
        place = torch.arange(x.shape[0], device=x.device)[:, None, None, None] % self.frames
        # Filled, not multiplied: what is infinite in one clip must not reach the next.
        after = x[:, :some].roll(-1, 0).masked_fill(place == self.frames - 1, 0.0)
        before = x[:, some : 2 * some].roll(1, 0).masked_fill(place == 0, 0.0)
        return torch.cat((after, before, x[:, 2 * some :]), 1)


class Clips(nn.Module):
    """Clips (N, frames, C, H, W) -> (N, outputs). frames: a ResNet-9 over each frame.

    With `shifted`, its convolutions see the channels of neighbouring frames, and the answer is the mean of the frames'
    answers. Otherwise it gives a vector a frame, and a GRU reads these both ways.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {}

    def __init__(self, facts: VideoFacts, outputs: int, width: int, dropout: float, shifted: bool):
        super().__init__()
        picture = ImageFacts(facts.channels, facts.height, facts.width, facts.mean, facts.std, facts.rows)
        self.frames = ResNet9(picture, outputs if shifted else 8 * width, width, dropout)
        self.rnn = None if shifted else nn.GRU(8 * width, 4 * width, batch_first=True, bidirectional=True)
        self.head = None if shifted else nn.Linear(8 * width, outputs)
        if shifted:
            for unit in [module for module in self.frames.modules() if isinstance(module, Unit)]:
                unit.before = Shift(facts.frames)

    def forward(self, x: Tensor) -> Tensor:
        said = self.frames(x.flatten(0, 1)).unflatten(0, x.shape[:2])  # (N, frames, ...)
        if self.rnn is None or self.head is None:
            return said.mean(1)
        states, _ = self.rnn(torch.relu(said))
        forward, backward = states.chunk(2, 2)
        return self.head(torch.cat((forward[:, -1], backward[:, 0]), 1))

    def stages(self) -> list[list[str]]:
        stages = [[f"frames.{name}" for name in stage] for stage in self.frames.stages()]
        return stages if self.rnn is None else [*stages, ["rnn"], ["head"]]


def clips(
    facts: Facts,
    task: Task,
    generator: torch.Generator,
    *,
    time: str = "shift",
    width: int = 16,
    dropout: float = 0.0,
) -> Clips:
    """A class, labels or values for each clip. time: "shift" or "gru"."""
    if not isinstance(facts, VideoFacts):
        raise GliaError("networks for clips take folders of frames", got=f"{facts.kind} data", hint="model='resnet9'")
    net = Clips(facts, task.outputs, width, dropout, shifted=time == "shift")
    initialise(net, "relu", generator)
    return net

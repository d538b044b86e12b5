"""The networks that every tool trains: plain modules of torch, with nothing of glia in them but the GPT."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.models.gpt import GPT2


def dense(*widths: int) -> nn.Module:
    layers: list[nn.Module] = []
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def lenet() -> nn.Module:
    """LeNet-5 with ReLU and maximum pooling, for 28 x 28 grey pictures; 61,706 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


class Recurrent(nn.Module):
    """(N, L, inputs) -> (N, outputs), from the last state of an LSTM."""

    def __init__(self, inputs: int, units: int, outputs: int):
        super().__init__()
        self.lstm, self.last = nn.LSTM(inputs, units, batch_first=True), nn.Linear(units, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.lstm(x)[0][:, -1])


def gpt(vocabulary: int = 65, length: int = 128) -> nn.Module:
    """glia's own GPT-2, 4 layers of 128 with torch's fused attention. (N, L) -> (N, L, vocabulary)."""
    net = GPT2(vocabulary, 128, 4, 4, positions=length, dropout=0.0)
    for part in net.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, 0.0, 0.02)
        if isinstance(part, nn.Linear):
            nn.init.zeros_(part.bias)
    return net


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)


class Residual(nn.Module):
    """relu(F(x) + shortcut(x)); where the width grows, every second pixel and zeros for the new maps."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.extra = outputs - inputs
        stride = 2 if self.extra else 1
        self.conv1, self.norm1 = _conv(inputs, outputs, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = _conv(outputs, outputs), nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        if self.extra:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.extra))
        return F.relu(out + x)


def resnet20() -> nn.Module:
    """He et al. 2015, section 4.2, shortcuts without weights; 269,722 parameters."""
    blocks = [
        Residual(a, b) for a, b in zip((16, 16, 16, 16, 32, 32, 32, 64, 64), (16, 16, 16, 32, 32, 32, 64, 64, 64))
    ]
    return nn.Sequential(
        _conv(3, 16), nn.BatchNorm2d(16), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)
    )


class Photographs(nn.Module):
    """A small convolutional network; takes pixels as bytes, or as floats in 0..1. (N, 3, H, W) -> (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, 16), (16, 32), (32, 64)):
            layers += [_conv(inputs, outputs, 2), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x if x.is_floating_point() else x.float() / 255)


class Texts(nn.Module):
    """Tokens (N, L), 0 where a text is over, -> (N, 2): an embedding, a convolution over five tokens, the mean."""

    def __init__(self, vocabulary: int, width: int = 64):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.convolution, self.last = nn.Conv1d(width, width, 5, padding=2), nn.Linear(width, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        there = (tokens != 0).unsqueeze(1)
        x = F.relu(self.convolution(self.embedding(tokens).transpose(1, 2))) * there
        return self.last(x.sum(2) / there.sum(2).clamp_min(1))


def logits_of(network: nn.Module, x: Tensor, rows: int = 256) -> Tensor:
    """What a network answers in evaluation; it is left as it was."""
    was = network.training
    network.eval()
    with torch.no_grad():
        found = torch.cat([network(part).float() for part in x.split(rows)])
    network.train(was)
    return found

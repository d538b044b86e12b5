"""What every network of the zoo must bear, for the tests of each family."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glia.data.facts import ImageFacts, SeriesFacts, TextFacts
from glia.data.task import Task

Loss = Callable[[Tensor, Tensor], Tensor]


def classes(count: int) -> Task:
    return Task("classify", ("answer",), tuple(str(number) for number in range(count)))


def image_facts(channels: int, height: int, width: int) -> ImageFacts:
    return ImageFacts(channels, height, width, (0.48,) * channels, (0.25,) * channels, 100)


def text_facts(vocabulary: int = 50, length: int = 16, pad: int = 0) -> TextFacts:
    return TextFacts(vocabulary, length, pad, 100)


def series_facts(channels: int = 3, length: int = 20) -> SeriesFacts:
    return SeriesFacts(channels, length, (0.0,) * channels, (1.0,) * channels, 100)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(rows: int, channels: int, height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (rows, channels, height, width), dtype=torch.uint8, generator=generator(1))


def tokens(rows: int, length: int, vocabulary: int = 50) -> Tensor:
    """Without 0, which pads."""
    return torch.randint(1, vocabulary, (rows, length), generator=generator(1))


def series(rows: int, length: int, channels: int) -> Tensor:
    return torch.randn(rows, length, channels, generator=generator(1))


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def greatest_difference(one: Tensor, other: Tensor) -> float:
    assert one.shape == other.shape, (one.shape, other.shape)
    return (one - other).abs().max().item()


def call(net: nn.Module, inputs: Tensor | tuple[Tensor, ...]) -> Any:
    return net(*inputs) if isinstance(inputs, tuple) else net(inputs)


def assert_runs_in_bfloat16(net: nn.Module, inputs: Tensor | tuple[Tensor, ...]) -> None:
    """Forward and backward under autocast: outputs near those of float32, a finite gradient for every parameter."""
    net = copy.deepcopy(net).eval()  # the same numbers twice: no dropout
    with torch.no_grad():
        exact = call(net, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        out = call(net, inputs)
    assert torch.allclose(out.float(), exact, rtol=0.1, atol=0.1 * exact.abs().max().item() + 1e-3)
    out.float().square().mean().backward()
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def assert_exports(net: nn.Module, inputs: Tensor | tuple[Tensor, ...]) -> None:
    """torch.export takes the network, and what it gives says the same."""
    net = net.eval()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        args = inputs if isinstance(inputs, tuple) else (inputs,)
        exported = torch.export.export(net, args).module()
        assert greatest_difference(call(exported, inputs), call(net, inputs)) < 1e-5


def assert_compiles(net: nn.Module, inputs: Tensor | tuple[Tensor, ...]) -> None:
    """torch.compile traces it whole, forward and backward (the code generator, which takes minutes, is left out)."""
    net = net.eval()
    torch.compiler.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
        out = call(compiled, inputs)
        assert greatest_difference(out, call(net, inputs)) < 1e-5
        out.square().mean().backward()


def assert_overfits(
    net: nn.Module, inputs: Tensor, targets: Tensor, *, loss: Loss = F.cross_entropy, lr: float = 2e-3, steps: int = 150
) -> None:
    """It learns these rows, 32 as a rule, by heart: every class right."""
    torch.manual_seed(0)
    net.train()
    optimizer = torch.optim.Adam(net.parameters(), lr)
    for step in range(steps):
        optimizer.zero_grad()
        out = net(inputs)
        loss(out, targets).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        if step % 10 == 9 and bool((out.argmax(-1) == targets).all()):
            return
    raise AssertionError(f"{(out.argmax(-1) == targets).float().mean():.2f} right after {steps} steps")

"""Would trials be faster side by side? Copies of a small network that differ in the learning rate, stepped three ways.

    python -m benchmarks.trials_together              # all of them
    python -m benchmarks.trials_together mlp lstm     # those whose names begin so

plain: one copy after another, torch's step one tensor at a time. fused: the same with torch's one kernel for a step, as
the doctor's trials with Adam are. together: the tape of the loss replayed once for all under torch.func.vmap, one
backward pass of the sum, one step on stacked weights with a rate for each copy. ms: CPU time for one step of all
copies, the median of short turns taken in rotation. ratio: fused over together, above 1 where together is faster.
apart: the largest difference of a loss between plain and together over 20 steps.

What it said on one core: two copies are never faster together; of four only small convolutions are, 1.4 times; eight
and sixteen are 2 and 4 times faster where nearly all is the cost of calls, weights by the hundred. With 50,000 weights
or 16 channels a step is work and not calls, and gains nothing. vmap has no rule for an LSTM. Under Adam the losses of
a convolution may come apart by more than 1e-5. The doctor chooses its next trial by the last one, so that trials that
could go together follow each other by one or two: had all of them been known beforehand, its trials on the open exam
would have taken 3 % less time. So they go one by one.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

import glia
from glia.vitals.bench import Bench, weights_of
from glia.vitals.capture import copied
from glia.vitals.tape import Call

COPIES, CHECKED, SECONDS, TURN = (2, 4, 8, 16), 20, 1.0, 3  # side by side; steps compared; of a row; steps of a turn
BETA1, BETA2, EPS, MOMENTUM = 0.9, 0.999, 1e-8, 0.9
Step = Callable[[], list[float]]


@dataclass(frozen=True)
class Case:
    """A network and the shape of a batch for it."""

    make: Callable[[], nn.Module]
    batch: tuple[int, ...]


class Recurrent(nn.Module):
    """An LSTM whose last state is classified."""

    def __init__(self, inputs: int, units: int):
        super().__init__()
        self.lstm, self.last = nn.LSTM(inputs, units, batch_first=True), nn.Linear(units, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.lstm(x)[0][:, -1])


def dense(*widths: int) -> nn.Module:
    layers: list[nn.Module] = []
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def convolutional(channels: int) -> nn.Module:
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, channels), (channels, 2 * channels)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(18 * channels, 64), nn.ReLU(), nn.Linear(64, 4))


CASES = {
    "mlp 8-16-8": Case(lambda: dense(8, 16, 8, 4), (32, 8)),
    "mlp 9 layers of 8": Case(lambda: dense(4, *[8] * 8, 4), (32, 4)),
    "mlp 64-96-24": Case(lambda: dense(64, 96, 24, 4), (32, 64)),
    "mlp 196-256-16": Case(lambda: dense(196, 256, 16, 4), (32, 196)),
    "cnn of 4": Case(lambda: convolutional(4), (32, 1, 14, 14)),
    "cnn of 8": Case(lambda: convolutional(8), (32, 1, 14, 14)),
    "cnn of 16": Case(lambda: convolutional(16), (64, 1, 14, 14)),
    "lstm of 32": Case(lambda: Recurrent(8, 32), (32, 16, 8)),
}


def recorded(case: Case) -> Bench:
    """What the doctor keeps of a loop over one batch."""
    with torch.random.fork_rng(devices=[]), glia.listen(capture=True) as chart:
        torch.manual_seed(0)
        model = case.make()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        x, y = torch.randn(case.batch), torch.randint(4, case.batch[:1])
        for _ in range(2):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    if chart.bench is None:
        raise RuntimeError("the loop was not recorded")
    return chart.bench


def one_by_one(bench: Bench, kind: str, rates: Sequence[float], fused: bool | None) -> Step:
    """A step of every copy, one after another."""
    batch = bench.capture.batches[0]
    runs: list[tuple[list[nn.Module], torch.optim.Optimizer]] = []
    for rate in rates:
        models = copied(bench.capture.initial)
        weights = [p for model in models for p in model.parameters()]
        known: dict[str, torch.optim.Optimizer] = {
            "SGD": torch.optim.SGD(weights, rate, MOMENTUM, fused=fused),
            "Adam": torch.optim.Adam(weights, rate, (BETA1, BETA2), EPS, fused=fused),
        }
        runs.append((models, known[kind]))

    def step() -> list[float]:
        losses = []
        for models, optimizer in runs:
            optimizer.zero_grad()
            loss = bench.tape.replay(bench.given(batch, weights_of(models)), calling(models))
            loss.backward()
            losses.append(loss.item())
            optimizer.step()
        return losses

    return step


def calling(models: Sequence[nn.Module]) -> Callable[[Call, Any, Any], Any]:
    """A tape's call of a model, answered by these."""
    return lambda call, args, kwargs: models[call.root].get_submodule(call.path)(*args, **kwargs)


def together(bench: Bench, kind: str, rates: Sequence[float]) -> Step:
    """A step of every copy at once. The copies share no weight, so the gradient of the sum holds each one's own."""
    model = copied(bench.capture.initial)[0]
    batch, count = bench.capture.batches[0], len(rates)
    stacked = {name: torch.stack([p.detach()] * count).requires_grad_() for name, p in model.named_parameters()}
    weights = list(stacked.values())
    update = {"SGD": _sgd, "Adam": _adam}[kind](weights, rates)

    def loss(own: dict[str, Tensor]) -> Tensor:
        return bench.tape.replay(
            bench.given(batch, lambda root, name: own[name]),
            lambda call, args, kwargs: functional_call(model, own, args, kwargs),
        )

    losses_of: Callable[[Any], Tensor] = vmap(loss)

    def step() -> list[float]:
        losses = losses_of(stacked)
        gradients = torch.autograd.grad(losses.sum(), weights)
        with torch.no_grad():
            update(gradients)
        return [float(value) for value in losses.tolist()]

    return step


def _wide(rates: Sequence[float], weights: Sequence[Tensor]) -> list[Tensor]:
    """The rate of each copy, in the shape of its weights."""
    return [torch.tensor(rates).view(-1, *[1] * (weight.ndim - 1)) for weight in weights]


def _sgd(weights: list[Tensor], rates: Sequence[float]) -> Callable[[tuple[Tensor, ...]], None]:
    moved, wide = [torch.zeros_like(weight) for weight in weights], _wide(rates, weights)

    def update(gradients: tuple[Tensor, ...]) -> None:
        torch._foreach_mul_(moved, MOMENTUM)
        torch._foreach_add_(moved, gradients)
        for weight, velocity, rate in zip(weights, moved, wide):
            weight.addcmul_(velocity, rate, value=-1)

    return update


def _adam(weights: list[Tensor], rates: Sequence[float]) -> Callable[[tuple[Tensor, ...]], None]:
    first, second = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    wide, done = _wide(rates, weights), 0

    def update(gradients: tuple[Tensor, ...]) -> None:
        nonlocal done
        done += 1
        torch._foreach_lerp_(first, gradients, 1 - BETA1)
        torch._foreach_mul_(second, BETA2)
        torch._foreach_addcmul_(second, gradients, gradients, 1 - BETA2)
        below = torch._foreach_sqrt(second)
        torch._foreach_div_(below, (1 - BETA2**done) ** 0.5)
        torch._foreach_add_(below, EPS)
        for weight, mean, rate in zip(weights, torch._foreach_div(first, below), wide):
            weight.addcmul_(mean, rate, value=-1 / (1 - BETA1**done))

    return update


def apart(ways: Sequence[Step]) -> float:
    """The largest difference of a loss between two ways."""
    pairs = [zip(ways[0](), ways[1]()) for _ in range(CHECKED)]
    return max(abs(a - b) for pair in pairs for a, b in pair)


def timed(ways: Sequence[Step]) -> list[float]:
    """Median CPU milliseconds of a step, the ways taking turns."""
    took: list[list[float]] = [[] for _ in ways]
    until = time.monotonic() + SECONDS
    while time.monotonic() < until or len(took[0]) < 2 * TURN:
        for way, known in zip(ways, took):
            for _ in range(TURN):
                began = time.process_time()
                way()
                known.append(1000 * (time.process_time() - began))
    return [statistics.median(known) for known in took]


def row(bench: Bench, kind: str, count: int) -> list[str]:
    """One line of the table."""
    rates = [1e-3 * 2 ** (number / count) for number in range(count)]
    ways = [one_by_one(bench, kind, rates, None), one_by_one(bench, kind, rates, True)]
    try:
        side = together(bench, kind, rates)
        difference = apart([one_by_one(bench, kind, rates, None), side])
    except RuntimeError:  # vmap has no rule for one of its operations
        plain, fused = timed(ways)
        return [f"{plain:.2f}", f"{fused:.2f}", "no rule", "", ""]
    plain, fused, once = timed([*ways, side])
    return [f"{plain:.2f}", f"{fused:.2f}", f"{once:.2f}", f"{fused / once:.2f}", f"{difference:.0e}"]


def main(names: list[str]) -> int:
    """Print the table; exit code 1 for a name that is not known."""
    torch.set_num_threads(1)
    chosen = [name for name in CASES if not names or name.startswith(tuple(names))]
    table = Table(box=None, header_style="dim")
    for column in (
        "network",
        "weights",
        "step",
        "copies",
        "plain ms",
        "one kernel ms",
        "together ms",
        "ratio",
        "apart",
    ):
        table.add_column(column, justify="left" if column in ("network", "step") else "right", no_wrap=True)
    for name in chosen:
        bench = recorded(CASES[name])
        weights = sum(p.numel() for model in bench.capture.initial for p in model.parameters())
        for kind in ("SGD", "Adam"):
            for count in COPIES:
                table.add_row(name, f"{weights:,}", kind, str(count), *row(bench, kind, count))
    Console(highlight=False, width=140).print(table)
    return 0 if chosen else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Work: a training step that can be made again on copies, whoever's it is; and the rig that makes it."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from glia.training.feed import moved
from glia.vitals.bench import Bench, weights_of
from glia.vitals.capture import OptimizerCopy, copied
from glia.vitals.fair import FairClock
from glia.vitals.tape import Call

Loss = Callable[[Sequence[nn.Module], Any], Tensor]
SEED = 20_000
WARM, SETTLED_S = 2, 3.0  # steps before anything is timed; seconds after which they are taken as they are


@dataclass(frozen=True)
class Change:
    """One change of a step. how: the line of code, or the setting, that makes it.

    contexts: what a step runs within. autocast: bfloat16. layout: channels_last. options: of the optimisers.
    rows: times as many rows a step. compiled: by torch.compile. zero: gradients are set to zero, not to None.
    item: the loss is read at each step. apart: it is another training, whose numbers are not to be compared.
    """

    name: str
    how: str
    contexts: tuple[Callable[[], AbstractContextManager[Any]], ...] = ()
    autocast: bool = False
    layout: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    rows: int = 1
    compiled: bool = False
    zero: bool = False
    item: bool = False
    apart: bool = False

    @property
    def parts(self) -> frozenset[str]:
        """The names of those that were joined."""
        return frozenset(self.name.split(" + "))

    def joined(self, other: "Change") -> "Change":
        """Both at once."""
        return replace(
            self,
            name=f"{self.name} + {other.name}",
            how=f"{self.how}; {other.how}",
            contexts=(*self.contexts, *other.contexts),
            autocast=self.autocast or other.autocast,
            layout=self.layout or other.layout,
            options={**self.options, **other.options},
            rows=self.rows * other.rows,
            compiled=self.compiled or other.compiled,
            apart=self.apart or other.apart,
        )


NOTHING = Change("as it is", "")


class Stepper(NamedTuple):
    """Makes a step of some batches; says whether it makes them by now as it will go on to."""

    step: Callable[[list[Any]], Any]
    settled: Callable[[], bool]


@dataclass
class Work:
    """What a rig is built from.

    models: copied, never touched. batches: some, on the device. loss: of models and a batch, within the usual number
    format. optimizers: new ones of models, with options changed. clipping, averaging: what is done between the last
    backward pass and the step, and after it, of the models in use.
    larger: batches of so many times the rows, or None where rows cannot be put together.
    half, onednn, anomaly: autocast, products by oneDNN, anomaly mode are in use already.
    usual: the change that the step is as it stands (gradients to zero, ...). stepper: makes whole steps of a rig, where
    they are made in another way than by `loss`, to the same numbers.
    """

    models: list[nn.Module]
    batches: list[Any]
    rows: int
    loss: Loss
    optimizers: Callable[[Sequence[nn.Module], Mapping[str, Any]], list[Optimizer]]
    clipping: Callable[[Sequence[nn.Module]], Callable[[], Any]] = lambda models: lambda: None
    averaging: Callable[[Sequence[nn.Module]], Callable[[], Any]] = lambda models: lambda: None
    larger: Callable[[int], list[Any]] | None = None
    accumulate: int = 1
    training: bool = True
    half: bool = False
    onednn: bool = False
    anomaly: bool = False
    usual: Change = NOTHING
    stepper: "Callable[[Rig], Stepper] | None" = None
    settings: bool = False  # changes are told as settings of a recipe

    @property
    def device(self) -> torch.device:
        return next((p.device for model in self.models for p in model.parameters()), torch.device("cpu"))


class Rig:
    """Copies of the models and their optimisers, with one change. `step` trains them; nothing else moves."""

    def __init__(self, work: Work, change: Change | None = None, *, calm: bool = False):
        """calm: without dropout, so that numbers can be compared."""
        self.work, self.change = work, change or work.usual
        self.models = copied(work.models)
        self.device = work.device
        self.batches = self._batches()
        for model in self.models:
            model.train(work.training)
            if self.change.layout and not work.settings:  # ours lays the batches alone
                model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            for part in model.modules() if calm else ():
                if isinstance(part, nn.modules.dropout._DropoutNd):
                    part.eval()
        self.optimizers = work.optimizers(self.models, self.change.options)
        self.clip, self.average = work.clipping(self.models), work.averaging(self.models)
        self.called: list[Any] = list(self.models)
        if self.change.compiled:
            self.called = [torch.compile(model) for model in self.models]
        self.at = 0
        self.seen = torch.zeros(())
        self.stepper = work.stepper(self) if work.stepper is not None and not calm else None

    def _batches(self) -> list[Any]:
        batches = self.work.batches
        if self.change.rows > 1:
            if self.work.larger is None:
                raise ValueError("rows cannot be put together")
            batches = self.work.larger(self.change.rows)
        if not self.change.layout:
            return batches
        return [moved(batch, self.device, torch.channels_last) for batch in batches]

    @contextmanager
    def within(self) -> Iterator[None]:
        """What the steps run in; entered once for many."""
        with ExitStack() as stack:
            for context in self.change.contexts:
                stack.enter_context(context())
            yield

    def loss(self) -> Tensor:
        """Of the next batch."""
        batch = self._next()
        half = torch.autocast(self.device.type, torch.bfloat16) if self.change.autocast else nullcontext()
        with half:
            return self.work.loss(self.called, batch)

    def _next(self) -> Any:
        self.at += 1
        return self.batches[(self.at - 1) % len(self.batches)]

    def settle(self) -> None:
        """Make steps until they are made as they will be."""
        clock = FairClock()
        until = clock() + SETTLED_S
        for _ in range(WARM):
            self.step()
        while self.stepper is not None and not self.stepper.settled() and clock() < until:
            self.step()
        self.wait()

    def step(self) -> float:
        """One step; the loss of its last batch where it is read, else NaN."""
        if self.stepper is not None:
            self.stepper.step([self._next() for _ in range(self.work.accumulate)])
            return float("nan")
        first = self.optimizers[0] if self.optimizers else None
        if isinstance(first, torch.optim.LBFGS):
            first.step(self._gradients)
        else:
            self._gradients()
            self.clip()
            for optimizer in self.optimizers:
                optimizer.step()
        self.average()
        return self.seen.item() if self.change.item else float("nan")

    def clear(self) -> None:
        """Forget the gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=not self.change.zero)

    def _gradients(self) -> Tensor:
        self.clear()
        for _ in range(self.work.accumulate):
            loss = self.loss()
            loss.backward()
        self.seen = loss.detach()
        return loss

    def wait(self) -> None:
        """Until the device has done all that was asked of it."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def of_bench(bench: Bench, **more: Any) -> Work:
    """The step of a stranger's script, as its first steps were captured."""
    capture = bench.capture
    modes = capture.modes

    def loss(models: Sequence[nn.Module], batch: Any) -> Tensor:
        def call(call: Call, args: Any, kwargs: Any) -> Any:
            return (models[call.root].get_submodule(call.path) if call.path else models[call.root])(*args, **kwargs)

        # Weights that the loss uses by itself are those of the plain models, also where compiled ones are called.
        plain = [getattr(model, "_orig_mod", model) for model in models]
        with bench.precision():
            return bench.tape.replay(bench.given(batch, weights_of(plain)), call)

    def larger(times: int) -> list[Any]:
        count = times * bench.batch_rows
        if bench.rows < count:
            raise ValueError(f"{count} rows were not seen")
        return [
            [None if t is None else t[at : at + count] for t in bench.data]
            for at in range(0, bench.rows - count + 1, count)
        ]

    return Work(
        capture.initial,
        capture.batches,
        bench.batch_rows,
        loss,
        lambda models, options: [made for record in capture.optimizers for made in remade(record, models, options)],
        larger=larger if bench.together else None,
        training=modes["train on"] >= modes["train off"],
        half=bool(capture.autocast),
        **more,
    )


def remade(record: OptimizerCopy, models: Sequence[nn.Module], options: Mapping[str, Any]) -> Iterator[Optimizer]:
    """An optimiser like the captured one over copies, with options of its class changed."""
    allowed = set(inspect.signature(record.kind).parameters)
    groups = []
    for known, names in record.groups:
        found = [models[root].get_parameter(name) for root, name in names]
        kept = {k: v for k, v in {**known, **options}.items() if k in allowed and k not in ("params", "closure")}
        if options.get("fused"):
            kept.pop("foreach", None)
        groups.append({"params": found, **kept})
    if groups := [group for group in groups if group["params"]]:
        yield record.kind(groups)  # type: ignore[call-arg]


def on_device(batches: Sequence[Any], device: torch.device) -> list[Any]:
    """Batches where the step takes them from."""
    return [moved(batch, device) for batch in batches]

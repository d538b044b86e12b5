"""Capture: what is needed to train a script's network again on the side.

The models as they were before their first call, the way from their outputs to the loss as a tape, the optimisers'
settings, and a bounded sample of batches: those of the first epoch, and those that the script runs without gradients.
Recording ends with the first epoch, so a long run pays nothing for it.
"""

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import RandomSampler, SequentialSampler, TensorDataset

from glia.vitals.measure import row_hashes
from glia.vitals.tape import Call, Operation, Recorder, Tape, leaves, mapped, put_below, take_out

MOST_ROWS, MOST_HELD, MOST_BATCHES = 20_000, 10_000, 3000
MOST_BYTES, MOST_HELD_BYTES, LARGEST_MODEL = 2**28, 2**26, 2**29  # bytes; parameters of a model
ENOUGH_HELD = 1000
SEEN_AGAIN = 0.5  # share of a batch's rows that were there before: the next epoch has begun


@dataclass(slots=True)
class Held:
    """A forward pass without gradients: what went in, and the tensor that its answers were compared with."""

    call: Call
    args: Any
    kwargs: Any
    label: Tensor | None
    training: bool  # the module was in train()
    rows: int


@dataclass(slots=True)
class OptimizerCopy:
    """An optimiser's class, and its groups at its first step: options, and parameters as (root, name)."""

    kind: type[Optimizer]
    groups: list[tuple[dict[str, Any], list[tuple[int, str]]]]
    closure: bool = False


@dataclass(slots=True)
class Capture:
    """What was kept of a script. broken: why nothing can be trained again, or "".

    initial: a copy of each root before its first call. slots: kinds of the tape's `given`: ("weight", root, name),
    ("rows",), ("range",) for 0, 1, 2, ..., or ("same",). batches: the given values of each backward pass of the first
    epoch.
    """

    roots: list[nn.Module] = field(default_factory=list)
    initial: list[nn.Module] = field(default_factory=list)
    tape: Tape | None = None
    slots: list[tuple[Any, ...]] = field(default_factory=list)
    batches: list[list[Any]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)  # what the model gave in the tape's own step
    held: list[Held] = field(default_factory=list)
    optimizers: list[OptimizerCopy] = field(default_factory=list)
    autocast: dict[str, torch.dtype] = field(default_factory=dict)
    events: str = ""  # the first epoch: B backward, 0..9 a step of that optimiser, E an epoch of a loader
    epoch_backwards: int = 0
    modes: Counter[str] = field(default_factory=Counter)
    broken: str = ""
    mixed: bool = False  # backward passes of several kinds: adversarial or alternating training
    clip: float = float("nan")
    shuffled: bool | None = None
    data_labels: Tensor | None = None
    argmax_of_one: bool = False
    whole: bool = True  # the first epoch was kept to its end
    complete: bool = False


class Capturer:
    """Fills a Capture from the events of a run. Whoever calls it guards against its errors and ends it in any case."""

    def __init__(self, most_batches: int | None = None, *, held: bool = True) -> None:
        """most_batches: that are kept of the first epoch. held: keep rows that are looked at without gradients too."""
        self.capture, self.most_batches = Capture(), MOST_BATCHES if most_batches is None else most_batches
        self.recorder, self.after = Recorder(), Recorder()
        self.recording: Recorder | None = None  # the one that is pushed
        self.where: dict[int, tuple[int, str]] = {}
        self.memo: dict[int, Any] = {}
        self.live: list[Optimizer] = []
        self.bytes = self.held_bytes = self.rows = self.held_rows = 0
        self.hashes: set[int] = set()
        self.pending: tuple[Call, Any, Any, bool, Any] | None = None  # a pass without gradients, not yet settled
        self.unused_call: tuple[Call, Any, Any, bool, Any] | None = None  # one with gradients that nobody used yet
        self.scaled: Tensor | None = None
        self.batch: Any = None  # the loader's last
        self.training_loader: Any = None
        self.graded_look = False
        self.train_done, self.held_done = False, not held
        self.stepped = self.held_since = False  # since the last step

    # Calls of outermost modules.

    def enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        """An outermost module with parameters is called."""
        self.pause()
        if self.done:
            return
        graded = torch.is_grad_enabled()
        if not graded:
            self.settle()
            return
        self.settle()
        if self.train_done:
            return
        self._known(module)

    def leave(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        """It answered (None: it raised an error)."""
        if self.done or output is None:
            return
        graded = torch.is_grad_enabled()
        self.capture.modes[("train" if graded else "evaluate") + (" on" if module.training else " off")] += 1
        found = self.where.get(id(module))
        if found is None and not graded:
            self._known(module)
            found = self.where.get(id(module))
        if found is None:
            return
        call = Call(*found)
        self.graded_look = graded
        if not graded or (self.train_done and not module.training):
            if not self.held_done:
                self.pending = (call, args, kwargs, module.training, output)
                self.after.clear()
                self._note(self.after, call, args, kwargs, output)
                self.resume(self.after)
            return
        if self.train_done:
            return
        if not module.training and self.unused_call is not None:
            self._evaluation_with_gradients()
        self._note(self.recorder, call, args, kwargs, output)
        self.unused_call = (call, args, kwargs, module.training, output)
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                self.capture.autocast[device] = torch.get_autocast_dtype(device)
        self.resume(self.recorder)

    def _note(self, recorder: Recorder, call: Call, args: Any, kwargs: Any, output: Any) -> None:
        references = (mapped(args, recorder.place), mapped(kwargs, recorder.place))
        recorder.record(call, references, output)

    def _evaluation_with_gradients(self) -> None:
        """The call before this one was in eval() and led to no backward pass: it was a look at held-out rows."""
        if self.unused_call is not None and not self.unused_call[3] and not self.held_done:
            self._hold(self.unused_call, self.recorder)
        self.recorder.clear()

    def _known(self, module: nn.Module) -> None:
        """Learn of a root at its first call, and copy it."""
        if id(module) in self.where:
            return
        plain = unwrapped(module)
        if id(plain) in self.where:
            self.where[id(module)] = self.where[id(plain)]
            return
        if any(p.is_meta for p in plain.parameters()):
            return  # Keras builds layers without numbers first
        capture = self.capture
        size = sum(p.numel() for p in plain.parameters())
        if size > LARGEST_MODEL or len(capture.roots) >= 16:
            raise RuntimeError(f"a model of {size} parameters is too large to be copied")
        capture.initial += copied([plain], self.memo)
        number = len(capture.roots)
        capture.roots.append(plain)
        for name, inner in plain.named_modules():
            self.where.setdefault(id(inner), (number, name))
        self.where[id(module)] = (number, "")

    # The loss and the step.

    def backward(self, loss: Tensor) -> None:
        """A backward pass begins."""
        self.pause()
        if self.graded_look:  # what looked like a look at held-out rows was training in eval()
            self.pending = None
        self.settle()
        if self.done or self.train_done:
            return
        scaled, self.scaled = self.scaled, None
        tape = self.recorder.tape(scaled if scaled is not None else loss)
        self.unused_call = None
        if tape is None:
            if not self.capture.events and not self.capture.roots:
                self.capture.broken = "the loss is not made by modules"
            self.recorder.clear()
            return
        self._keep(tape, scaled if scaled is not None else loss)
        self.recorder.clear()

    def _keep(self, tape: Tape, loss: Tensor) -> None:
        capture, kept = self.capture, self.recorder.kept
        if len(capture.events) < 4000:
            capture.events += "B"
        if capture.tape is None:
            self._first(tape)
        elif tape.signature != capture.tape.signature or len(tape.given) != len(capture.slots):
            capture.mixed = True
            return
        given = [kept[at] for at in tape.given]
        inputs = self._inputs(tape, given)
        size = sum(t.numel() * t.element_size() for t, slot in zip(given, capture.slots) if slot[0] == "rows")
        again = self._again(inputs) if self.training_loader is None else 0.0  # a loader says itself when it begins anew
        full = self.bytes + size > MOST_BYTES or self.rows > MOST_ROWS or len(capture.batches) >= self.most_batches
        if capture.batches and (again >= SEEN_AGAIN or full):
            capture.whole = not full
            self.end_epoch()
            return
        self.bytes += size
        self.rows += len(inputs) if inputs is not None and inputs.ndim else 1
        capture.batches.append(
            [t.detach().clone() if slot[0] == "rows" else None for t, slot in zip(given, capture.slots)]
        )
        capture.losses.append(loss.detach())  # type: ignore[arg-type]

    def _first(self, tape: Tape) -> None:
        """The first step settles what the slots are."""
        capture, kept = self.capture, self.recorder.kept
        names = {
            id(p): ("weight", number, name)
            for number, root in reversed(list(enumerate(capture.roots)))
            for name, p in root.named_parameters()
        }
        capture.tape = tape
        for at in tape.given:
            tensor = kept[at]
            if id(tensor) in names:
                capture.slots.append(names[id(tensor)])
            elif tensor.requires_grad and tensor.is_leaf:
                raise RuntimeError("the loss has weights of its own, outside any module")
            elif tensor.requires_grad:
                raise RuntimeError("the loss needs what was computed before the model was called")
            else:
                capture.slots.append(("rows",))
        capture.outputs = [kept[at].detach() for call in tape.calls for at in call.outs]

    def _inputs(self, tape: Tape, given: list[Tensor]) -> Tensor | None:
        rows = [t for t, slot in zip(given, self.capture.slots) if slot[0] == "rows" and t.ndim]
        return rows[0] if rows else None

    def _again(self, inputs: Tensor | None) -> float:
        """Share of a batch's rows that were seen before; only the first numbers of each row are looked at."""
        if inputs is None or not inputs.ndim or not len(inputs):
            return 0.0
        rows = row_hashes(inputs)
        share = sum(row in self.hashes for row in rows) / max(1, len(rows))
        self.hashes.update(rows)
        return share

    def step(self, optimizer: Optimizer, closure: bool) -> None:
        """An optimiser is about to step (a closure may bring the backward pass within it)."""
        self.pause()
        self.settle()
        if optimizer not in self.live and len(self.live) < 8:
            self.live.append(optimizer)
            self.capture.optimizers.append(self._settings(optimizer, closure))
        if not self.train_done and len(self.capture.events) < 4000 and optimizer in self.live:
            self.capture.events += str(self.live.index(optimizer))
        if self.held_since and (self.stepped or self.held_rows >= ENOUGH_HELD):
            self.held_done = True  # what came before the first step may be a trial run of two batches
        self.held_since, self.stepped = False, True

    def unstepped(self, made: list[Optimizer]) -> None:
        """No optimiser ever stepped: those that were made show how the script meant to train."""
        for optimizer in made:
            settings = self._settings(optimizer, False)
            if any(names for _, names in settings.groups):
                self.capture.optimizers.append(settings)

    def _settings(self, optimizer: Optimizer, closure: bool) -> OptimizerCopy:
        groups = []
        for group in optimizer.param_groups:
            names = [self._name(p) for p in group["params"]]
            options = {key: value for key, value in group.items() if key != "params" and not isinstance(value, Tensor)}
            options |= {key: float(value) for key, value in group.items() if key == "lr"}
            groups.append((options, [name for name in names if name is not None]))
        return OptimizerCopy(type(optimizer), groups, closure)

    def _name(self, parameter: Tensor) -> tuple[int, str] | None:
        for number, root in enumerate(self.capture.roots):
            for name, p in root.named_parameters():
                if p is parameter:
                    return number, name
        return None

    def end_epoch(self) -> None:
        """The first epoch is over, or as much of it as is kept."""
        if not self.train_done and self.capture.batches:
            self.train_done = True
            self.capture.epoch_backwards = len(self.capture.batches)
            self.hashes = set()
            self.recorder.clear()
            self.memo = {}

    def loader_began(self, loader: Any) -> None:
        """A loader starts an epoch of batches."""
        if torch.is_grad_enabled() and self.capture.batches and self.training_loader is loader:
            self.end_epoch()
        if torch.is_grad_enabled() and not self.capture.batches:
            self.training_loader = loader
            self._order(loader)

    def _order(self, loader: Any) -> None:
        """Whether a loader shuffles, and the labels in the order of its data set where that is plain."""
        sampler, data = getattr(loader, "sampler", None), getattr(loader, "dataset", None)
        if isinstance(sampler, SequentialSampler):
            self.capture.shuffled = False
        elif isinstance(sampler, RandomSampler):
            self.capture.shuffled = True
        if isinstance(data, TensorDataset) and len(data.tensors) > 1:
            self.capture.data_labels = data.tensors[-1][:MOST_ROWS]

    def fetching(self) -> None:
        """The loader is asked for a batch: what comes now belongs to no pass before it."""
        self.pause()
        self.settle()

    # Held-out rows.

    def settle(self) -> None:
        """Whatever followed a pass without gradients has been seen: keep the rows and the labels that they met."""
        if self.pending is not None:
            pending, self.pending = self.pending, None
            self._hold(pending, self.after)
            self.after.clear()

    def _hold(self, pending: tuple[Call, Any, Any, bool, Any], recorder: Recorder) -> None:
        call, args, kwargs, training, output = pending
        outs, given = [t for t in leaves(output) if t.ndim], leaves((args, kwargs))  # a loss of its own aside
        if not outs or not given or not outs[0].ndim:
            return
        rows = len(given[0]) if given[0].ndim else 1
        label = self._label(recorder, given, outs)
        if outs[0].ndim == 2 and outs[0].shape[1] == 1:
            self.capture.argmax_of_one |= any(_over_columns(operation) for operation in recorder.operations)
        keep = min(rows, MOST_HELD - self.held_rows)
        size = sum(t.numel() * t.element_size() for t in given) * keep // max(rows, 1)
        if keep <= 0 or self.held_bytes + size > MOST_HELD_BYTES:
            self.held_done = self.held_done or self.stepped
            return
        self.held_since = True
        self.held_rows += keep
        self.held_bytes += size

        def cut(tensor: Tensor) -> Tensor:
            part = tensor[:keep] if tensor.ndim and len(tensor) == rows else tensor
            with torch.inference_mode(False):
                return part.detach().clone()

        self.capture.held.append(
            Held(call, mapped(args, cut), mapped(kwargs, cut), None if label is None else cut(label), training, keep)
        )

    def _label(self, recorder: Recorder, given: list[Tensor], outs: list[Tensor]) -> Tensor | None:
        """The tensor, as long as the answers, that came from outside after them; else what the loader gave beside."""
        own = {id(t) for t in given} | {t.data_ptr() for t in given}
        rows = len(outs[0])
        met = [t for t in recorder.apart([*given, *outs]) if id(t) not in own and t.data_ptr() not in own]
        batch = leaves(self.batch)
        beside = [t for t in batch if id(t) not in own] if any(t is g for t in batch for g in given) else []
        fits = [t for t in [*met, *beside] if t.ndim and len(t) == rows and not isinstance(t, nn.Parameter)]
        return fits[0] if fits else None

    # The recorder's life.

    @property
    def done(self) -> bool:
        return bool(self.capture.broken) or (self.train_done and self.held_done)

    @property
    def training(self) -> bool:
        """Are rows of the training still kept?"""
        return not (self.capture.broken or self.train_done)

    @property
    def busy(self) -> bool:
        """Does a backward pass or a step mean anything to it now? Not between the first epoch and held-out rows."""
        return not self.train_done or self.pending is not None or self.held_since

    def resume(self, recorder: Recorder) -> None:
        """Let the recorder hear what follows."""
        if self.recording is None:
            put_below(recorder)
            self.recording = recorder

    def pause(self) -> None:
        """Let it hear no more."""
        recorder, self.recording = self.recording, None
        if recorder is not None:
            take_out(recorder)

    def finish(self) -> Capture:
        """The run is over."""
        self.pause()
        self.settle()
        if self.unused_call is not None and not self.train_done:
            self._evaluation_with_gradients()
        self.end_epoch()
        capture = self.capture
        capture.losses = [float(loss) for loss in capture.losses]
        _same_slots(capture)
        capture.complete = capture.tape is not None and bool(capture.optimizers) and not capture.broken
        self.recorder.clear()
        self.after.clear()
        self.memo = {}
        return capture


def _counts(tensor: Tensor) -> bool:
    """Is it 0, 1, 2, ... : the numbers of the rows of a batch, not something about them?"""
    if tensor.ndim != 1 or len(tensor) < 2 or tensor.is_floating_point():
        return False
    return torch.equal(tensor, torch.arange(len(tensor), device=tensor.device, dtype=tensor.dtype))


def _over_columns(operation: Operation) -> bool:
    """Is it an argmax over the last axis?"""
    given = [*operation.args[1:2], *(value for key, value in operation.kwargs.items() if key in ("dim", "axis"))]
    return operation.name == "argmax" and any(value in (1, -1) for value in given)


def _same_slots(capture: Capture) -> None:
    """What was the same at every step and is not as long as a batch is a constant: class weights, a scale."""
    if len(capture.batches) < 1:
        return
    first = capture.batches[0]
    rows = next((len(t) for t, slot in zip(first, capture.slots) if slot[0] == "rows" and t.ndim), 0)
    for i, slot in enumerate(capture.slots):
        if slot[0] == "rows" and all(_counts(batch[i]) for batch in capture.batches):
            capture.slots[i] = ("range",)
    for i, slot in enumerate(capture.slots):
        if slot[0] != "rows":
            continue
        values = [batch[i] for batch in capture.batches]
        short = not first[i].ndim or len(first[i]) != rows
        if short and all(v.shape == values[0].shape and torch.equal(v, values[0]) for v in values[1:]):
            capture.slots[i] = ("same",)


def copied(models: Sequence[nn.Module], memo: dict[int, Any] | None = None) -> list[nn.Module]:
    """Copies that share what the models share, without hooks of the script's own: those print, count and collect."""
    memo = {} if memo is None else memo
    copies = [copy.deepcopy(model, memo) for model in models]
    for module in {module for model in copies for module in model.modules()}:
        for hooks in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks):
            for key in [k for k, hook in hooks.items() if not type(hook).__module__.startswith("torch.nn.utils")]:
                del hooks[key]
    return copies


def unwrapped(module: nn.Module) -> nn.Module:
    """The model inside what torch.compile or a parallel wrapper made of it."""
    for name in ("_orig_mod", "module"):
        inner = module._modules.get(name)
        wraps = type(module).__name__ in ("OptimizedModule", "DistributedDataParallel", "DataParallel")
        if inner is not None and wraps:
            return unwrapped(inner)
    return module

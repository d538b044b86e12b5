"""The timeline: of every step of any training loop, which part of it went into what. Nothing is drawn or changed.

Each moment belongs to one phase: what runs inside another thing (a backward pass in an optimiser's closure) is taken
from that. What nothing announces goes to the phase that the last thing heard of leads to. Batches, the model and the
way to the loss are captured from the first steps, which are not counted.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _BaseDataLoaderIter

from glia.vitals.calls import Calls
from glia.vitals.capture import Capturer, unwrapped
from glia.vitals.fair import FairClock
from glia.vitals.listen import Enough
from glia.vitals.overhear import patched

PHASES = (
    "data",
    "forward",
    "loss",
    "backward",
    "replayed",
    "optimiser",
    "rest",
    "evaluation",
    "logging",
    "doctor",
)
SETTLE = 3  # first steps that are not counted: allocators, caches, workers that start
CAPTURED = 8  # batches that are kept
MOST_STEPS = 4096  # steps that are kept, at equal distances over the run
EXACT = 10  # on a GPU, blocks of so many steps: one that waits for it at every boundary, one that does not


class Timeline:
    """Fills `steps` while `watching` is on.

    steps: seconds by phase (in the order of PHASES), a tuple a step. whole: seconds a step, where nothing waits for
    the GPU. marked: the loop says itself where a step ends, by `cut`; otherwise the first optimiser that steps does.
    deep: calls of modules and backward passes are heard; steps that are replayed are not replayed then.
    """

    def __init__(self, *, capture: bool = True, marked: bool = False, deep: bool = True):
        self.thread, self.marked, self.deep = threading.get_ident(), marked, deep
        self.ready: Callable[[], bool] = lambda: True  # are steps made by now as most of them will be?
        self.calls = Calls(self._enter, self._leave)
        self.capturer: Capturer | None = Capturer(most_batches=CAPTURED, held=False) if capture else None
        self.enough: Callable[[int], bool] | None = None
        self.steps: list[tuple[float, ...]] = []
        self.early: list[tuple[float, ...]] = []  # those that do not count, unless there are no others
        self.whole: list[float] = []
        self.count = self.backwards = 0
        self.loaders: list[DataLoader[Any]] = []  # that batches are trained on from
        self.cleared: bool | None = None  # gradients were set to None, not to zero
        self.clip = 0.0  # the limit of the gradient's norm
        self.clips = self.anomaly = 0  # steps with gradients clipped; backward passes in anomaly mode
        self.busy = 0.0  # share of the time in which other programs had the cores; it is counted nowhere
        self.compiled = False  # a model that torch.compile or a parallel wrapper holds was called
        self.reads = 0  # times that a number was read back from a GPU
        self.stride = 1
        self._spent = dict.fromkeys(PHASES, 0.0)
        self._stack: list[str] = []
        self._gap = "rest"
        self._root: nn.Module | None = None
        self._graded = self._exact = False
        self._leader: Optimizer | None = None
        self._loaders: dict[int, Any] = {}  # by the id of their iterators
        self._last: Any = None  # the loader that was asked last
        self._fetching = False
        self._steps_deep = 0
        self.clock = FairClock()
        self._at = self.clock()

    # Time.

    def _now(self) -> float:
        if self._exact:
            torch.cuda.synchronize()
        return self.clock()

    def begin(self, phase: str) -> None:
        """What follows belongs to `phase`, until `end`."""
        self._charge()
        self._stack.append(phase)

    def end(self, gap: str = "") -> None:
        """It is over. gap: what is not announced belongs to that from now on."""
        self._charge()
        self._stack.pop()
        self._gap = gap or self._gap

    @contextmanager
    def span(self, phase: str) -> Iterator[None]:
        """The block belongs to `phase`; what follows it unannounced, to the rest."""
        self.begin(phase)
        try:
            yield
        finally:
            self.end("rest")

    @contextmanager
    def aside(self, phase: str) -> Iterator[None]:
        """The block, somewhere within a step, belongs to `phase`; what comes after it goes on as before."""
        self.begin(phase)
        try:
            yield
        finally:
            self.end()

    def waited(self, seconds: float) -> None:
        """This step waited so long for its batch, as a loop says that keeps time itself."""
        more = min(seconds - self._spent["data"], self._spent["rest"])
        if more > 0:
            self._spent["rest"] -= more
            self._spent["data"] += more

    def cut(self) -> None:
        """A step is over."""
        self._charge()
        taken = tuple(self._spent.values())
        self.count += 1
        capturing = self.capturer is not None and self.capturer.training
        if self.capturer is not None and capturing and len(self.capturer.capture.batches) >= CAPTURED:
            self.capturer.end_epoch()
        kept = self.steps if self.count > SETTLE and not capturing and self.ready() else self.early
        if self._exact or not torch.cuda.is_initialized():
            if self.count % self.stride == 0:
                kept.append(taken)
        elif kept is self.steps:
            self.whole.append(sum(taken) - taken[PHASES.index("evaluation")])
        if len(kept) >= MOST_STEPS:
            kept[:] = kept[1::2]
            self.stride *= 2
        self._spent = dict.fromkeys(PHASES, 0.0)
        self._exact = torch.cuda.is_initialized() and self.count // EXACT % 2 == 0
        self._at = self._now()
        if self.enough is not None and self.enough(self.count):
            raise Enough

    def _charge(self) -> None:
        now = self._now()
        self._spent[self._stack[-1] if self._stack else self._gap] += now - self._at
        self._at = now

    # What is heard. Only on the thread that began; our own time is charged to nothing.

    def _mine(self) -> bool:
        return threading.get_ident() == self.thread

    def _captured(self, work: Callable[..., None], *args: Any) -> None:
        capturer = self.capturer
        if capturer is None or capturer.done:
            return
        try:
            work(capturer, *args)
        except Exception as error:  # nothing can be tried then; the script must not notice
            capturer.capture.broken = f"{type(error).__name__}: {error}"
            capturer.pause()
        self._at = self._now()

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if not self._mine() or self._root is not None or next(module.parameters(), None) is None:
            return
        self._root, self.calls.inside, self._graded = module, True, torch.is_grad_enabled()
        self.compiled |= unwrapped(module) is not module
        self._charge()
        self._captured(Capturer.enter, module, args, kwargs)
        inside = self._graded or self._gap in ("data", "loss")  # such as the teacher of a student
        self.begin("forward" if inside else "evaluation")

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if module is not self._root or not self._mine():
            return
        self._root, self.calls.inside = None, False
        self.end("loss" if self._graded else "evaluation" if self._stack[-1] == "evaluation" else "")
        self._captured(Capturer.leave, module, args, kwargs, output)

    def _timed(self, phase: str, gap: str, before: Callable[..., None]) -> Callable[[Any], Any]:
        """A maker of wrappers that charge a function's time to a phase."""

        def make(original: Any) -> Any:
            def timed(*args: Any, **kwargs: Any) -> Any:
                if not self._mine() or phase in self._stack:
                    return original(*args, **kwargs)
                self._charge()
                before(*args, **kwargs)
                self.begin(phase)
                try:
                    return original(*args, **kwargs)
                finally:
                    self.end(gap)

            return timed

        return make

    @contextmanager
    def hearing(self, owner: Any, name: str, phase: str) -> Iterator[None]:
        """A function of our own loop is charged to `phase` inside the block."""
        with patched(owner, name, self._timed(phase, "rest", lambda *args, **kwargs: None)):
            yield

    def _beginning(self, original: Any) -> Any:
        """Of an epoch of a loader."""

        def begin(loader: Any) -> Any:
            if not self._mine() or self._fetching:
                return original(loader)
            if torch.is_grad_enabled():
                self._captured(Capturer.loader_began, loader)
            return self._fetched(loader, lambda: original(loader))

        def beginning(loader: Any) -> Any:
            batches = begin(loader)
            self._loaders[id(batches)] = loader
            return batches

        return beginning

    def _following(self, original: Any) -> Any:
        """The next batch of a loader."""

        def following(batches: Any) -> Any:
            if not self._mine() or self._fetching:
                return original(batches)
            loader = self._loaders.get(id(batches))
            if self.capturer is not None and self.capturer.training:
                self._captured(Capturer.fetching)
            self._last = loader
            return self._fetched(loader, lambda: original(batches))

        return following

    def _fetched(self, loader: Any, fetch: Callable[[], Any]) -> Any:
        """A loader that no backward pass ever followed is one of rows to look at, once another is known to train."""
        aside = not torch.is_grad_enabled() or bool(self.loaders and all(one is not loader for one in self.loaders))
        phase, gap = ("evaluation", "evaluation") if aside else ("data", "rest")
        self.begin(phase)
        self._fetching = True
        try:
            found = fetch()
            gap = phase
            return found
        finally:
            self._fetching = False
            self.end(gap)

    def _backward(self, loss: Any = None, *args: Any, **kwargs: Any) -> None:
        self.backwards += 1
        self.anomaly += torch.is_anomaly_enabled()
        if self._last is not None and all(one is not self._last for one in self.loaders):
            self.loaders.append(self._last)
        loss = loss if isinstance(loss, Tensor) else next(iter(loss or ()), None)
        if isinstance(loss, Tensor):
            self._captured(Capturer.backward, loss)

    def _clipping(self, parameters: Any, max_norm: float, *args: Any, **kwargs: Any) -> None:
        self.clip, self.clips = float(max_norm), self.clips + 1

    def _clearing(self, owner: Any, set_to_none: bool = True) -> None:
        self.cleared = set_to_none if self.cleared is None else self.cleared

    def _stepping(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if not self._mine():
            return
        self._steps_deep += 1
        if self._steps_deep > 1:  # a subclass calls the step of its parent, and torch has hooks in both
            return
        self._charge()
        closure = (len(args) > 1 and args[1] is not None) or kwargs.get("closure") is not None
        self._captured(Capturer.step, optimizer, closure)
        self.begin("optimiser")

    def _stepped(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if not self._mine() or not self._stack:
            return
        self._steps_deep -= 1
        if self._steps_deep:
            return
        self.end("rest")
        self._leader = self._leader or optimizer
        if not self.marked and optimizer is self._leader:
            self.cut()

    @contextmanager
    def watching(self) -> Iterator["Timeline"]:
        """Listen inside the block."""
        with ExitStack() as watch:
            for handle in (
                register_optimizer_step_pre_hook(self._stepping),
                register_optimizer_step_post_hook(self._stepped),
            ):
                watch.callback(handle.remove)
            if torch.cuda.is_available():
                watch.enter_context(self._reading())
            back = self._timed("backward", "rest", self._backward)
            for owner, name, make in (
                *(((Tensor, "backward", back), (torch.autograd, "backward", back)) if self.deep else ()),
                (DataLoader, "__iter__", self._beginning),
                (_BaseDataLoaderIter, "__next__", self._following),
                (clip_grad, "clip_grad_norm_", self._timed("optimiser", "rest", self._clipping)),
                (torch.nn.utils, "clip_grad_norm_", self._timed("optimiser", "rest", self._clipping)),
                (Optimizer, "zero_grad", self._timed("optimiser", "", self._clearing)),
                (nn.Module, "zero_grad", self._timed("optimiser", "", self._clearing)),
                (torch.amp.GradScaler, "scale", self._scaling),
            ):
                watch.enter_context(patched(owner, name, make))
            watch.callback(self.calls.switch, on=False)
            self.calls.switch(on=self.deep)
            self._at = self.clock()
            began, kept = perf_counter(), self.clock.kept_waiting()
            try:
                yield self
            finally:
                self.busy = (self.clock.kept_waiting() - kept) / (perf_counter() - began)
                if self.capturer is not None:
                    self.capturer.pause()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Count `.item()`, which Tensor inherits."""
        original = Tensor.item

        def item(tensor: Any) -> Any:
            self.reads += tensor.is_cuda
            return original(tensor)

        Tensor.item = item  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            del Tensor.item

    def _scaling(self, original: Any) -> Any:
        def scale(scaler: Any, outputs: Any) -> Any:
            if self.capturer is not None and isinstance(outputs, Tensor):
                self.capturer.scaled = outputs
            return original(scaler, outputs)

        return scale

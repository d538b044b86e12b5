"""Layers: the outermost modules of a run, and what their modules answered at the steps that are measured."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from glia.vitals.chart import LayerVitals, ModelFacts, ParameterFacts, Spread
from glia.vitals.measure import described, first_tensor, norms, sample, spread

MOST_LAYERS = 256  # modules measured at a step
MOST_MODELS = 16  # outermost modules told apart
MOST_FORWARDS = 8  # forward passes measured at a step
WEIGHT_SAMPLE = 2**14  # numbers of a parameter that are compared before and after a step
_WRAPPERS = ("_orig_mod.", "module.")  # put before a path by torch.compile, DDP


class Layers:
    """The outermost modules seen, and what their modules answered on the way to the next step."""

    def __init__(self) -> None:
        self.roots: list[nn.Module] = []
        self.paths: dict[int, str] = {}  # of every module in them, by id; `roots` keeps the ids valid
        self.known: set[int] = set()  # parameters in them
        self.called: set[int] = set()
        self.graded: Counter[int] = Counter()
        self.measured = 0
        self.clear()

    def clear(self) -> None:
        """A step is over."""
        self.running: nn.Module | None = None
        self.entrance: nn.Module | None = None  # the first outermost module of the step: its input is the batch
        self.forwards = 0
        self.answers: dict[int, tuple[nn.Module, Spread, Spread]] = {}
        self.batch: tuple[tuple[int, ...], str, Spread] | None = None
        self.before: dict[int, Tensor] = {}
        self.grad_norms: dict[int, float] = {}
        # What one module gives, the next one takes. By id: the tensor, so that its id stays its own, and its version.
        self.spreads: dict[int, tuple[Tensor, int, Spread]] = {}

    def enter(self, module: nn.Module, given: Any) -> None:
        """A forward pass begins: is it an outermost one? What is kept of each is the last one before a step."""
        if self.running is not None or next(module.parameters(), None) is None:
            return
        own = {id(p) for p in module.parameters()}
        if not own <= self.known and len(self.roots) < MOST_MODELS:
            self.roots.append(module)
            self.known |= own
            self.paths |= {id(inner): _path(name) for name, inner in module.named_modules()}
        self.running = module
        self.forwards += 1
        if self.forwards > MOST_FORWARDS:
            return
        for inner in module.modules():
            self.answers.pop(id(inner), None)
        self.entrance = self.entrance or module
        if self.entrance is module:
            self.batch = described(given)

    def leave(self, module: nn.Module, given: Any, output: Any) -> None:
        """A module of a running model answered; what it was given is measured where it has weights."""
        if self.running is None:
            return
        if module is self.running:
            self.running = None
        if id(module) not in self.paths:
            return
        self.called.add(id(module))
        own = _own(module)
        plain_leaf = next(module.children(), None) is None
        full = id(module) in self.answers or len(self.answers) >= MOST_LAYERS or self.forwards > MOST_FORWARDS
        out, x = first_tensor(output), first_tensor(given)
        if full or out is None or not (own or plain_leaf):
            return
        taken = self._spread(x) if own and x is not None else Spread()
        self.answers[id(module)] = (module, self._spread(out), taken)

    def _spread(self, x: Tensor) -> Spread:
        """Measured once, and again after an operation in place. How wide each column is, is asked at the first step."""
        version = -1 if x.is_inference() else x._version
        known = self.spreads.get(id(x))
        if known is None or known[1] != version:
            self.spreads[id(x)] = known = (x, version, spread(x, columns=not self.measured))
        return known[2]

    def before_step(self, theirs: set[int]) -> None:
        """The gradients as the optimiser of `theirs` (ids of parameters) finds them, and the weights as they were."""
        self.measured += 1
        for root in self.roots:
            self.graded.update(id(p) for p in root.parameters() if p.grad is not None)
        own = {key: [p for p in _own(module) if id(p) in theirs] for key, (module, _, _) in self.answers.items()}
        self.before |= {id(p): sample(p.detach(), WEIGHT_SAMPLE).clone() for part in own.values() for p in part}
        found = norms([[p.grad for p in part if p.grad is not None] for part in own.values()])
        self.grad_norms |= dict(zip(own, found))

    def layers(self, step: int) -> Iterator[LayerVitals]:
        """What the modules answered, once the step is done."""
        groups: list[list[Tensor]] = []
        for module, _, _ in self.answers.values():
            own = _own(module)
            pairs = [(self.before[id(p)], sample(p.detach(), WEIGHT_SAMPLE)) for p in own if id(p) in self.before]
            groups += [list(own), [old for old, _ in pairs], [new - old for old, new in pairs]]
        found = iter(norms(groups))
        for key, (module, out, taken) in self.answers.items():
            size, was, change = next(found), next(found), next(found)
            yield LayerVitals(
                step, self.paths[key], type(module).__name__, out, taken, self.grad_norms.get(key, math.nan),
                size, change / was if was else math.nan, leaf=next(module.children(), None) is None,
            )  # fmt: skip

    def facts(self, optimized: set[int]) -> Iterator[ModelFacts]:
        """What each model is made of, and which parameters were reached."""
        for root in self.roots:
            owners = {id(p): module for module in root.modules() for p in _own(module)}
            parameters = tuple(
                ParameterFacts(
                    _path(name), p.numel(), p.requires_grad, id(p) in optimized, self.graded[id(p)],
                    id(owners[id(p)]) in self.called,
                )
                for name, p in root.named_parameters()
            )  # fmt: skip
            modules = tuple((_path(name), type(module).__name__) for name, module in root.named_modules())
            yield ModelFacts(type(root).__name__, modules, parameters, self.measured)


def _own(module: nn.Module) -> Sequence[Tensor]:
    """The parameters that a module holds itself."""
    return [p for p in module._parameters.values() if p is not None]


def _path(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    return name

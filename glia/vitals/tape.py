"""Tape: what a script does with tensors between its model and its loss, written down so that it can be done again.

Everything outside modules is recorded as torch functions; a call of a model is one operation. A hand-written loss, a
penalty, a flipped sign or a division by the accumulated steps are all in it, without a look at the source.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack, _pop_mode, _push_mode

LONGEST = 4000  # operations of a step; a longer one is not recorded


@dataclass(frozen=True, slots=True)
class Ref:
    """The place of a tensor among the values of a tape."""

    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """The call of a model: which root, and the path of the module in it."""

    root: int
    path: str


@dataclass(slots=True)
class Operation:
    """One step of a tape: a torch function, or the Call of a model; `outs` are the places of the tensors it gives."""

    function: Any
    args: Any
    kwargs: Any
    outs: list[int]
    used: list[int]  # places of the tensors that it takes, in order

    @property
    def name(self) -> str:
        return "call" if isinstance(self.function, Call) else getattr(self.function, "__name__", "?")


@dataclass(slots=True)
class Tape:
    """The operations that lead to a scalar. given: places of tensors that come from outside, in the order of use."""

    operations: list[Operation]
    loss: int
    given: list[int] = field(default_factory=list)

    @property
    def signature(self) -> tuple[str, ...]:
        """Tells tapes of one kind of step from those of another."""
        return tuple(operation.name for operation in self.operations)

    @property
    def calls(self) -> list[Operation]:
        """The calls of models, in order."""
        return [operation for operation in self.operations if isinstance(operation.function, Call)]

    def replay(
        self, given: Sequence[Any], call: Callable[[Call, Any, Any], Any], replaced: Mapping[int, Tensor] | None = None
    ) -> Tensor:
        """Do it again with other tensors `given`. replaced: values by place, to be used for what would be computed.

        An operation all of whose results are replaced is left out.
        """
        values: dict[int, Any] = dict(zip(self.given, given))
        replaced = replaced or {}
        values.update(replaced)
        for operation in self.operations:
            if operation.outs and all(at in replaced for at in operation.outs):
                continue
            args, kwargs = filled(operation.args, values), filled(operation.kwargs, values)
            if isinstance(operation.function, Call):
                result = call(operation.function, args, kwargs)
            else:
                result = operation.function(*args, **kwargs)
            for at, tensor in zip(operation.outs, leaves(result)):
                if at not in replaced:
                    values[at] = tensor
        return values[self.loss]


class Recorder(TorchFunctionMode):
    """Records torch functions while it is entered. Tensors are kept alive, for their ids are their names here."""

    def __init__(self) -> None:
        super().__init__()
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self.operations: list[Operation] = []
        self.kept: list[Tensor] = []  # by place
        self.places: dict[int, int] = {}  # id -> place
        self.made: set[int] = set()
        self.seen: list[int] = []  # places met since the last operation
        self.overflown = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.overflown or torch.compiler.is_compiling():
            return func(*args, **kwargs)
        references = (_referred(args, self.place), _referred(kwargs, self.place))
        result = func(*args, **kwargs)
        self.record(func, references, result)
        return result

    def record(self, function: Any, references: tuple[Any, Any], result: Any) -> None:
        """Write one operation down, if it makes or changes a tensor."""
        used, self.seen = self.seen, []
        outs = leaves(result)
        if not outs and getattr(function, "__name__", "") not in ("__setitem__", "backward"):
            return
        made = [self._new(tensor) for tensor in outs]
        self.operations.append(Operation(function, *references, made, used))
        if len(self.operations) > LONGEST:
            self.overflown = True

    def place(self, tensor: Tensor) -> Ref:
        """Where a tensor stands; one not seen before comes from outside."""
        at = self.places.get(id(tensor))
        if at is None:
            at = self._new(tensor, made=False)
        self.seen.append(at)
        return Ref(at)

    def _new(self, tensor: Tensor, made: bool = True) -> int:
        at = len(self.kept)
        self.kept.append(tensor)
        self.places[id(tensor)] = at
        if made:
            self.made.add(at)
        return at

    def tape(self, loss: Tensor) -> Tape | None:
        """What leads from the models to `loss`, or None where that was not recorded.

        Whatever depends on neither a model nor a weight is given, as it was: labels that were cut, cast or encoded.
        """
        last = self.places.get(id(loss))
        if last is None or last not in self.made or self.overflown:
            return None
        moving = self._reached({at for at, tensor in enumerate(self.kept) if _is_weight(tensor)}, calls=True)
        needed, kept = {last}, []
        for operation in reversed(self.operations):
            used = set(operation.used)
            in_place = operation.name.endswith("_") or operation.name == "__setitem__"
            touches = not needed.isdisjoint(operation.outs) or (in_place and not needed.isdisjoint(used))
            if not touches or not (isinstance(operation.function, Call) or not moving.isdisjoint(used)):
                continue
            kept.append(operation)
            needed |= used
        kept.reverse()
        made = {at for operation in kept for at in operation.outs}
        given = [at for at in dict.fromkeys(ref for op in kept for ref in op.used) if at not in made]
        return Tape(kept, last, given) if last in made else None

    def apart(self, sources: Iterable[Tensor]) -> list[Tensor]:
        """Tensors that were met or made and do not depend on `sources`: those from outside first."""
        reached = self._reached({self.places[id(source)] for source in sources if id(source) in self.places})
        order = sorted(range(len(self.kept)), key=lambda at: at in self.made)
        return [self.kept[at] for at in order if at not in reached]

    def _reached(self, reached: set[int], calls: bool = False) -> set[int]:
        """Places that depend on those; calls: and on the answers of models."""
        for operation in self.operations:
            if (calls and isinstance(operation.function, Call)) or not reached.isdisjoint(operation.used):
                reached.update(operation.outs)
        return reached


def _is_weight(tensor: Tensor) -> bool:
    return tensor.requires_grad and tensor.is_leaf


def put_below(recorder: Recorder) -> None:
    """Under the script's own modes, such as `with torch.device(...)`: they take themselves off the top at their end."""
    above = [_pop_mode() for _ in _get_current_function_mode_stack()]
    lowest = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)  # set_default_device's lies at the bottom
    if above and above[-1] is lowest:
        _push_mode(above.pop())
    for mode in (recorder, *reversed(above)):
        _push_mode(mode)


def take_out(recorder: Recorder) -> None:
    """Off the stack of modes, wherever it lies."""
    modes = [_pop_mode() for _ in _get_current_function_mode_stack()]
    for mode in reversed(modes):
        if mode is not recorder:
            _push_mode(mode)


def leaves(value: Any, depth: int = 4) -> list[Tensor]:
    """The tensors within what a module or a function takes or gives, in a fixed order."""
    if isinstance(value, Tensor):
        return [value]
    if depth == 0 or value is None or isinstance(value, str | int | float | bool | nn.Module):
        return []
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in leaves(item, depth - 1)]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in leaves(item, depth - 1)]
    if is_dataclass(value) and not isinstance(value, type):
        return [leaf for one in fields(value) for leaf in leaves(getattr(value, one.name), depth - 1)]
    return (
        [leaf for item in vars(value).values() for leaf in leaves(item, depth - 1)]
        if hasattr(value, "__dict__")
        else []
    )


def mapped(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """The same structure of lists, tuples and dicts, with every tensor changed; other objects are left as they are."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, list):
        return [mapped(item, change) for item in value]
    if isinstance(value, tuple):
        items = [mapped(item, change) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, dict):
        return {key: mapped(item, change) for key, item in value.items()}
    if isinstance(value, Mapping):
        return {key: mapped(item, change) for key, item in value.items()}
    return value


def _referred(value: Any, place: Callable[[Tensor], Ref]) -> Any:
    return mapped(value, place)


def filled(value: Any, values: Mapping[int, Any]) -> Any:
    """The same structure with the tensors in place of their Refs."""
    if isinstance(value, Ref):
        return values[value.at]
    if isinstance(value, list):
        return [filled(item, values) for item in value]
    if isinstance(value, tuple):
        items = [filled(item, values) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, dict):
        return {key: filled(item, values) for key, item in value.items()}
    return value

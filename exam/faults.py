"""Faults: what can go wrong in a program. A fault is a generator over one program and a source of randomness:

what stands before its `yield` the healthy twin has too, what follows it is the fault; one that ends without a `yield`
does not fit the program.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from exam.program import Program

Change = Callable[[Program, Random], Iterator[None]]
ANY = (
    "linear", "mlp", "mlp", "cnn", "cnn", "cnn-norm", "conv1d", "recurrent", "recurrent", "transformer", "embedding",
    "language", "towers", "autoencoder",
)  # fmt: skip
DEEP = tuple(kind for kind in ANY if kind != "linear")
LAYERED = ("mlp", "mlp", "cnn", "cnn-norm")


@dataclass(frozen=True)
class Fault:
    """causes: the accepted words, the first is the primary. shows: how it must show beside its twin.

    "worse": a clearly lower skill. "slightly": a lower one. "certain": it is there whatever the skill is.
    """

    name: str
    causes: tuple[str, ...]
    change: Change
    kinds: tuple[str, ...]
    data: str | None
    shows: str


FAULTS: list[Fault] = []


def fault(
    *causes: str, kinds: tuple[str, ...] = ANY, data: str | None = None, shows: str = "worse"
) -> Callable[[Change], Change]:
    """Enters a generator into the list."""

    def enter(change: Change) -> Change:
        FAULTS.append(Fault(change.__name__, causes, change, kinds, data, shows))
        return change

    return enter

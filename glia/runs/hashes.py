"""hashes.jsonl: every tensor of a run as it went, hashed, so that a repetition can say where the two part."""

import hashlib
import json
import math
import time
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glia import disk
from glia.runs import seals
from glia.runs.packing import tensors_in

NAME = "hashes.jsonl"
SHARE = 0.01  # of the time of training that hashing may take
FREE_S = 0.02  # of a run that it may take besides, so that a short one has lines too
LINES = 200  # of epochs in the file, about, however many there are
PARTS = ("model", "optimizer", "average")  # of a snapshot; the best weights are those of some epoch
WITH_OPTIMIZER = 3  # times the model's own tensors that an optimiser with two moments adds up to


def hash_of(tensor: Tensor) -> str:
    """16 hexadecimal digits: the first 8 bytes of the sha256 of dtype, shape and content."""
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    made = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    made.update(flat.numpy().data)
    return made.hexdigest()[:16]


def hashes(state: dict[str, Any]) -> dict[str, str]:
    """The hash of each tensor of a snapshot, by its place: "model.body.0.weight", "optimizer.state.0.exp_avg"."""
    return {name: hash_of(tensor) for name, tensor in tensors(state).items()}


def tensors(state: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors of a snapshot's `PARTS`, by place."""
    return {name: tensor for part in PARTS if part in state for name, tensor in tensors_in(state[part], part)}


class Hashes:
    """Writes the file while a run goes on: before the first step, at epochs and at checkpoints.

    A line more is left out where hashing would take more than `SHARE` of the time since the run began, and `FREE_S`;
    so it hangs on the clock which steps have a line, never what a line holds. first: the model's state before the first
    step; None for a run that goes on, whose lines after step `kept` are then dropped. Raises DamagedError when those
    that were sealed are not there any more.
    """

    def __init__(self, folder: Path, epochs: int, first: dict[str, Any] | None, kept: int = 0):
        old = _lines((folder / NAME).read_bytes()) if first is None and (folder / NAME).is_file() else []
        whole = [line for line, _ in takewhile(lambda one: one[0]["step"] <= kept, old)]
        keep = seals.cut(folder, NAME, old[len(whole) - 1][1] if whole else 0)
        self.log = disk.Log(folder / NAME, keep_bytes=keep)
        self.rhythm = max(1, math.ceil(epochs / LINES))
        self.names: list[str] = next((line["names"] for line in reversed(whole) if "names" in line), [])
        self.last = max((line.get("step", -1) for line in whole), default=-1)
        self.spent = self.cost = 0.0
        self.began = time.perf_counter()
        if first is not None:
            self._write(0, lambda: {"model": first})
            self.cost, self.spent = WITH_OPTIMIZER * self.cost, 0.0

    def take(self, epoch: int, step: int, snapshot: Callable[[], dict[str, Any]], *, last: bool = False) -> None:
        """At an epoch's end; epochs from 1."""
        if last or epoch % self.rhythm == 0:
            self.save(step, snapshot, last=last)

    def save(self, step: int, snapshot: Callable[[], dict[str, Any]], *, last: bool = False) -> None:
        """Wherever there is something to be hashed, unless it would take too long or has been done."""
        spare = FREE_S + SHARE * (time.perf_counter() - self.began) - self.spent
        if step > self.last and (last or self.cost < spare):
            self._write(step, snapshot)

    def _write(self, step: int, snapshot: Callable[[], dict[str, Any]]) -> None:
        began = time.perf_counter()
        found = hashes(snapshot())
        if list(found) != self.names:
            self.names = list(found)
            self.log.append({"step": step, "names": self.names})
        self.log.append({"step": step, "hashes": list(found.values())})
        self.last, self.cost = step, time.perf_counter() - began
        self.spent += self.cost

    def close(self) -> None:
        self.log.close()


def read(folder: Path) -> dict[int, dict[str, str]]:
    """The hashes of a run by step (0: before the first), each by the tensor's place.

    Raises DamagedError: a changed hash would pass for a run that went another way.
    """
    found: dict[int, dict[str, str]] = {}
    names: list[str] = []
    for line, _ in _lines(seals.checked(folder, NAME) or b""):
        names = line.get("names", names)
        if len(line.get("hashes", ())) == len(names) > 0:
            found[line["step"]] = dict(zip(names, line["hashes"], strict=True))
    return found


def _lines(content: bytes) -> list[tuple[dict[str, Any], int]]:
    """The whole lines, each with where it ends; a kill may have cut the last one short."""
    found, end = list[tuple[dict[str, Any], int]](), 0
    for text in content.splitlines(keepends=True):
        end += len(text)
        try:
            line = json.loads(text) if text.endswith(b"\n") else None
        except (ValueError, RecursionError):
            break
        if not isinstance(line, dict) or not isinstance(line.get("step"), int):
            break
        if not all(isinstance(line.get(key, []), list) for key in ("names", "hashes")):
            break
        found.append((line, end))
    return found

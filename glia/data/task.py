"""Task: what kind of answer is wanted, and how numbers become that answer."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from glia.catalog import entry as catalog


@dataclass(frozen=True)
class Task:
    """What is to be answered.

    kind: "classify" (one of `classes`), "multilabel" (each of `targets` yes or no), "regress" (a number for each),
    "forecast" (each target, some steps ahead), "language" (the next token, one of `classes`, at every place of a text),
    "translate" (each text in another language or form), "transcribe" (signs in order; the first of `classes`
    is none at all), "own" (whatever the user's Step says).
    center, scale: for "regress", what each target was standardised by, from the training rows alone.
    weights: for "classify", the class weights of the loss; empty when all count the same.
    """

    kind: str
    targets: tuple[str, ...]
    classes: tuple[str, ...] = ()
    center: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()

    @property
    def outputs(self) -> int:
        """How many numbers the network gives a row."""
        return len(self.classes) if self.kind in ("classify", "language", "transcribe") else len(self.targets)

    @property
    def loss(self) -> str:
        """Name of the fitting loss in the catalogue."""
        return str(catalog.find("tasks", self.kind).facts["loss"])

    @property
    def metric(self) -> str:
        """Name of the measure people read first."""
        return str(catalog.find("tasks", self.kind).facts["metric"])

    def decode(self, outputs: Tensor) -> Tensor:
        """Network outputs (N, outputs) to probabilities, or to values in the targets' own units."""
        if self.kind in ("classify", "language", "transcribe"):
            return outputs.float().softmax(-1)
        if self.kind == "multilabel":
            return outputs.float().sigmoid()
        center, scale = (torch.tensor(v, dtype=torch.float32, device=outputs.device) for v in (self.center, self.scale))
        return outputs.float() * scale + center

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Task":
        fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in data.items()}
        return cls(**fields)

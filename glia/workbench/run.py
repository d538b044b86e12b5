"""Run: a run folder with its verbs. What `glia.train` returns and `glia.open` finds again.

What answers and draws is imported by the verb that needs it: a training that begins has no use for it yet.
"""

import inspect
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from glia.data.prepared import Reader, allowing
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.build import example
from glia.recipe import Recipe
from glia.runs import machine
from glia.runs.folder import RunFolder
from glia.workbench.believed import Described, described, rebuilt

if TYPE_CHECKING:
    import polars as pl


class Run:
    """A trained network with all that was written down about it.

    Attributes: folder (Path), recipe, metrics (by part), history (figures by epoch), model (with the best weights),
    task, reader.
    """

    def __init__(self, folder: RunFolder, model: nn.Module | None = None):
        self._folder = folder
        self._given = model

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, {self.status.get('state', 'unknown')})"

    @property
    def folder(self) -> Path:
        return self._folder.path

    @property
    def name(self) -> str:
        return self._folder.name

    @property
    def recipe(self) -> Any:
        return self._folder.recipe

    @property
    def status(self) -> dict[str, Any]:
        """``{"state": "finished" | "stopped" | "failed" | "running", "why", "epoch", "step", "best_epoch"}``"""
        return self._folder.read_json("status.json", {})

    @property
    def promise(self) -> str:
        """Of a run that was resumed: where, and whether its numbers are bit-exact all the same. Otherwise empty."""
        return machine.promise(self._folder.read_json("machine.json", {}))

    @property
    def metrics(self) -> dict[str, Any]:
        """Figures on each part, and those of the baselines."""
        return self._folder.read_json("metrics.json", {})

    @property
    def history(self) -> dict[str, list[float]]:
        """Figures by epoch, as a dict of lists."""
        return self._folder.history()

    @property
    def findings(self) -> list[dict[str, Any]]:
        """What the doctor found, notes last: ``[{"code", "name", "severity", "where", "why", "cure", ...}]``"""
        return [one for one in self._folder.read_json("findings.json", {}).get("findings", []) if isinstance(one, dict)]

    @cached_property
    def _described(self) -> Described:
        return described(self._load[0], str(self.folder / "model"))

    @cached_property
    def _load(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        return self._folder.load_model("best")

    @cached_property
    def task(self) -> Task:
        return self._described.task

    @cached_property
    def reader(self) -> Reader:
        return self._described.reader

    @cached_property
    def model(self) -> nn.Module:
        """The network in evaluation mode, with its best weights."""
        network, weights = self._described.network, self._load[1]
        if network.name is None and self._given is None:
            raise GliaError(
                f"{self.folder} holds the weights of a network of your own ({network.class_})",
                hint="glia.open(folder, model=your_network)",
            )
        if self._given is None:
            return rebuilt(self._described, weights, str(self.folder)).eval()
        try:
            self._given.load_state_dict(weights)
        except RuntimeError as error:
            raise GliaError(f"the weights in {self.folder} do not fit the network", got=error) from None
        return self._given.eval()

    def predict(self, source: Any, *, keep: bool = False, **options: Any) -> Any:
        """A polars frame of predictions for new rows (a path, a frame, a folder of pictures, arrays).

        options: of the kind of answer, such as horizon=48 of forecasts; and limits="pixels=200e6", or as a dict, to
        read more than `glia list limits` and the training allow.
        """
        from glia.predict.predict import whole

        return whole(self._frames(source, keep=keep, **options))

    def predict_file(
        self, source: Any, out: Path | str, *, keep: bool = False, overwrite: bool = False, **options: Any
    ) -> int:
        """Predictions for a source of any size, written piece by piece to CSV, Parquet or JSON lines; rows written.

        Texts that are written go to a file of any other suffix too, a line each.
        """
        from glia.predict.rows import write_rows

        frames = self._frames(source, keep=keep, **options)
        text = "prediction" if self.task.kind == "translate" else None
        return write_rows(frames, Path(out), source=source, overwrite=overwrite, text=text)

    def _frames(self, source: Any, *, limits: Any = None, **options: Any) -> "Iterator[pl.DataFrame]":
        from glia.predict.jobs import job_of

        frames = job_of(self.task).frames
        known = list(inspect.signature(frames).parameters)[4:]  # after the network, the task, the reader, the source
        for name in options:
            if name not in known:
                raise GliaError(f"predictions of this run have no {name}", expected=f"one of {', '.join(known)}")
        return frames(self.model, self.task, self._allowing(limits), source, **options)

    def evaluate(self, source: Any, *, limits: Any = None) -> dict[str, float]:
        """Figures on new rows that have their answers. limits: as of `predict`."""
        from glia.predict.jobs import job_of

        return job_of(self.task).evaluate(self.model, self.task, self._allowing(limits), source)

    def _allowing(self, limits: Any) -> Reader:
        return allowing(self.reader, Recipe.of(limits=limits or {}).data.limits)

    def generate(
        self,
        prompt: str = "",
        *,
        tokens: int = 200,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
    ) -> str:
        """What a language model writes after `prompt`: so many tokens, the same for the same seed.

        temperature: 0 takes the likeliest token each time. top_k, top_p: draw from the k likeliest only, or the fewest
        that hold this share. `glia.workbench.generate.pieces` gives the text as it comes.
        """
        from glia.workbench.generate import pieces

        return "".join(
            *pieces(self, prompt, tokens=tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
        )

    def report(self) -> Path:
        """Write the report page again; its path."""
        from glia.report.page import render

        self._folder.write("report.html", render(self.folder))
        return self.folder / "report.html"

    def export(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write the network, with its preparation, as ONNX (`.onnx`) or a torch.export program (`.pt2`)."""
        from glia.predict.export import export

        if self.task.kind == "translate":
            raise GliaError("a network that writes one token after another is no single file", hint="glia predict")
        rows = example(self._described.facts)
        return export(self.model, self.task, rows, Path(path), overwrite=overwrite)


def open_run(path: Path | str, model: nn.Module | None = None) -> Run:
    """A run on disk: ``glia.open("runs/titanic-3")``. model: needed when the network was one of your own."""
    return Run(RunFolder.open(path), model)

"""Run folder: the waist between training and everything after it. What is where, and how it is read back."""

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from glia import disk
from glia.errors import DamagedError, DiskError, GliaError, nearest
from glia.recipe import Recipe
from glia.runs import seals
from glia.runs.packing import in_one_piece
from glia.runs.plain import plain_files

DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # such a folder cannot be copied to Windows
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def plain_name(text: str) -> str:
    """A safe folder name made from any text: letters, digits, dots and dashes."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:48].rstrip("-._")
    return f"run-{name}".lower() if DEVICE.fullmatch(name) else name.lower() or "run"


def check_name(name: str) -> None:
    """Raises GliaError for a name that could lead out of a folder, or that some system takes for a device."""
    if not NAME.fullmatch(name):
        raise GliaError("a run's name", got=repr(name[:80]), expected="letters, digits, '.', '_', '-'; at most 64")
    if DEVICE.fullmatch(name) or name.endswith("."):
        raise GliaError("a run's name", got=repr(name), expected="none that Windows keeps for itself")


def _harmless(cell: Any) -> Any:
    """Text that a spreadsheet would run as a formula with an apostrophe before it (see glia.data.formulas); names of
    figures may come from a Step of the user's, and a chart from anywhere."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in _FORMULA else cell


class RunFolder:
    """The files of one run. Reading only checks and parses; all writing goes through `glia.disk`."""

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def create(cls, root: Path, name: str) -> "RunFolder":
        """A new folder below `root`: `name`, or `name-2`, `name-3` ... when that exists."""
        check_name(name)
        return cls(disk.new_folder(root, name))

    @classmethod
    def open(cls, path: Path | str) -> "RunFolder":
        """A run that exists."""
        folder = Path(path)
        if not (folder / "recipe.toml").is_file():
            there = [p.name for p in folder.parent.iterdir() if p.is_dir()] if folder.parent.is_dir() else []
            close = nearest(folder.name, there)
            what = "is not a run folder (it has no recipe.toml)" if folder.is_dir() else "does not exist"
            raise GliaError(f"{folder} {what}", hint=f"'{folder.parent / close}'" if close else "`ls runs`")
        plain_files(folder)
        return cls(folder)

    @property
    def name(self) -> str:
        return self.path.name

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Only one process at a time trains into a run; what killed ones left behind is tidied up."""
        with disk.locked(self.path):
            for folder in (self.path, self.path / "checkpoints"):
                if folder.is_dir():
                    disk.tidy(folder)
            yield
            with suppress(DiskError):  # only housekeeping: until it comes through, old files pass for new ones
                seals.settle(self.path)

    def write(self, name: str, content: bytes | str) -> None:
        """A plain file of the run, sealed."""
        seals.write(self.path, name, content.encode() if isinstance(content, str) else content)

    def write_json(self, name: str, value: Any) -> None:
        self.write(name, disk.as_json(value))

    def write_folder(self, name: str, files: dict[str, bytes]) -> None:
        """A folder of the run, with a manifest; from now on it must be there."""
        disk.write_folder(self.path / name, files)
        seals.note(self.path, folder=name)

    def read_json(self, name: str, default: Any = None) -> Any:
        """A JSON file of the run; `default` where the run has none. Raises DamagedError where it is not as written."""
        path = self.path / name
        content = seals.checked(self.path, name)
        if content is None:
            return default
        try:
            value = json.loads(content)
        except (OSError, ValueError, RecursionError) as error:
            raise DamagedError(f"{path} cannot be read", got=error) from None
        if default is not None and not isinstance(value, type(default)):
            raise DamagedError(f"{path} cannot be read", got=type(value).__name__, expected=type(default).__name__)
        return value

    @property
    def recipe(self) -> Recipe:
        path = self.path / "recipe.toml"
        try:
            content = seals.checked(self.path, path.name)
            return Recipe.from_toml((content or b"").decode(), str(path))
        except UnicodeDecodeError as error:
            raise DamagedError(f"{path} cannot be read", got=error) from None

    def chart(self) -> Iterator[dict[str, Any]]:
        """The lines of chart.jsonl; a last line that a kill cut short is left out."""
        return self.lines("chart.jsonl")

    def lines(self, name: str) -> Iterator[dict[str, Any]]:
        """The same of another file of lines."""
        for line in (seals.checked(self.path, name) or b"").splitlines():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                return
            if isinstance(value, dict):
                yield value

    def history(self) -> dict[str, list[float]]:
        """Figures by epoch: ``{"epoch": [...], "train_loss": [...], "valid_loss": [...], ...}``."""
        epochs = [line for line in self.chart() if line.get("kind") == "epoch"]
        names = list(dict.fromkeys(name for line in epochs for name in line if name != "kind"))
        return {name: [line.get(name, float("nan")) for line in epochs] for name in names}

    def write_history(self) -> None:
        """history.csv: the epochs as a table for people and spreadsheets, which find no formula in it."""
        history = self.history()
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(map(_harmless, history))
        writer.writerows(map(_harmless, row) for row in zip(*history.values(), strict=True))
        self.write("history.csv", text.getvalue())

    def save_model(self, parts: dict[str, Any], weights: dict[str, dict[str, Tensor]]) -> None:
        """model/: `parts` as JSON files, each of `weights` as safetensors, one manifest over all."""
        files = {f"{name}.json": json.dumps(part, indent=1).encode() for name, part in parts.items()}
        for name, tensors in weights.items():
            own = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
            files[f"{name}.safetensors"] = in_one_piece(own)
        self.write_folder("model", files)

    def load_model(self, weights: str = "best") -> tuple[dict[str, Any], dict[str, Tensor]]:
        """(parts, tensors) that `save_model` wrote, verified; "best" or "last" weights."""
        if not disk.folder_exists(self.path / "model"):
            raise GliaError(f"{self.path} has no model yet", hint=f"glia resume {self.path}")
        files = disk.read_folder(self.path / "model")
        try:
            parts = {n.removesuffix(".json"): json.loads(data) for n, data in files.items() if n.endswith(".json")}
            tensors = safetensors.torch.load(files[f"{weights}.safetensors"])
        except (ValueError, KeyError, safetensors.SafetensorError) as error:
            raise DamagedError(f"{self.path / 'model'} cannot be read", got=error) from None
        return parts, tensors

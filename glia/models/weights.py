"""Published weights into a network: safetensors files with the names of torchvision, timm, Hugging Face or our own.

No pickle is read: a .pt, .pth or .bin file can run any code when it is opened.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor, nn

from glia import disk, limits
from glia.errors import DamagedError, GliaError
from glia.models.adapt import Change, adapted
from glia.models.keys import Name, Names, best_names
from glia.models.normalise import Normalise
from glia.nn.stages import stages, within

PICKLES = frozenset({".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".tar"})
FILE, INDEX = "model.safetensors", "model.safetensors.index.json"
FEW = 0.5  # share of the body's tensors, below which the weights are those of another network
SHOWN = 4  # names in a line
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Loaded:
    """What of a file went into a network. All names but `unexpected` are the network's own.

    source: whose names the file has ("torchvision", "timm", "huggingface", "glia"). missing: not in the file.
    unexpected: of the file, with no place here. wrong_shape: name -> (shape in the file, shape here). left: of the
    head, left out because it was asked for. adapted: of those matched, what was fitted to other sizes (`adapt`).
    sha256: of the file; of several, of their names and sums.
    """

    path: str
    sha256: str
    source: str
    matched: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    wrong_shape: Mapping[str, tuple[Shape, Shape]] | None = None
    left: tuple[str, ...] = ()
    adapted: tuple[str, ...] = ()

    @property
    def fresh(self) -> tuple[str, ...]:
        """Names of what keeps its first, random values."""
        return (*self.missing, *(self.wrong_shape or {}), *self.left)

    def line(self) -> str:
        """One line for people."""
        wrong = [f"{name} {_sized(a)} -> {_sized(b)}" for name, (a, b) in (self.wrong_shape or {}).items()]
        parts = (
            ("fitted to this size", self.adapted), ("not loaded", wrong),
            ("not in the file", self.missing), ("the head stays new", self.left),
            ("without a place here", self.unexpected),
        )  # fmt: skip
        told = "".join(f"; {what}: {_listed(names)}" for what, names in parts if names)
        return f"loaded {len(self.matched)} of {len(self.matched) + len(self.fresh)} tensors ({self.source}){told}"

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        wrong = {name: [list(theirs), list(ours)] for name, (theirs, ours) in (self.wrong_shape or {}).items()}
        return {
            "path": self.path, "sha256": self.sha256, "source": self.source, "matched": len(self.matched),
            "missing": list(self.missing), "unexpected": list(self.unexpected), "wrong_shape": wrong,
            "left": list(self.left), "adapted": list(self.adapted), "fresh": list(self.fresh),
        }  # fmt: skip


def load_weights(
    model: nn.Module, path: Path | str, *, head: bool = True, raised: limits.Raised = limits.USUAL
) -> Loaded:
    """Fill `model` with the weights of `path`, tensor by tensor; what does not fit keeps its values and is told.

    path: a .safetensors file, a folder with model.safetensors or its shards and their index, or a run of glia. The
    table of names is the one of the network (`published_keys`, and its own names) under which most tensors fit; what
    wraps the network there ("module.", "bert.", ...) may be there or not. Numbers are converted to those of the model
    (float16 and bfloat16 files too). head: False leaves the last stage as it is, though it would fit.
    Raises GliaError for a pickle, for weights of another network (less than half of the body fits) and for numbers
    that are not finite; DamagedError for a file that is not whole.
    """
    files = Files.of(path, raised)
    wanted, spared = _wanted(model)
    shapes = {name: tuple(value.shape) for name, value in wanted.items()}
    names = best_names(model, files.shapes, shapes)
    body = [name for stage in stages(model)[:-1] for name in shapes if within(name, stage)] or list(shapes)
    found, wrong, unexpected = _sorted_out(names, files.shapes, shapes)
    changes = {name: change for name, sizes in wrong.items() if (change := adapted(model, name, *sizes))}
    places = {one.ours: one for one in names.of(files.shapes) if one.ours in changes}
    found, wrong = found | places, {name: sizes for name, sizes in wrong.items() if name not in changes}
    _check(files, names, [name for name in body if name in found], body, wrong)
    last = [] if head else [name for name in found if within(name, stages(model)[-1])]
    for name, theirs in found.items():
        if name not in last:
            _fill(wanted[name], files.read(theirs.key), theirs, files.path, changes.get(name))
    matched = [name for name in found if name not in last]
    tied = {wanted[name].data_ptr() for name in matched}
    missing = [n for n in shapes if n not in found and n not in wrong and wanted[n].data_ptr() not in tied]
    return Loaded(
        str(files.path), files.sha256, names.source,
        matched=tuple(name for name in matched if name not in spared),
        missing=tuple(name for name in missing if name not in spared),
        unexpected=tuple(unexpected),
        wrong_shape=wrong,
        left=tuple(last),
        adapted=tuple(name for name in changes if name not in last),
    )  # fmt: skip


def _wanted(model: nn.Module) -> tuple[dict[str, Tensor], set[str]]:
    """(All that a file may fill, the names that it need not have: counters of batches, figures of the preparation)."""
    wanted = model.state_dict()
    spared = {name for name in wanted if name.endswith("num_batches_tracked")}
    for path, module in model.named_modules():
        if isinstance(module, Normalise):
            spared |= {f"{path}.{name}" if path else name for name, _ in module.named_buffers()}
    return wanted, spared


def _sorted_out(
    names: Names, theirs: Mapping[str, Shape], ours: Mapping[str, Shape]
) -> tuple[dict[str, Name], dict[str, tuple[Shape, Shape]], list[str]]:
    """Our names that fit, those of another shape, and names of the file that nothing has here."""
    found: dict[str, Name] = {}
    wrong: dict[str, tuple[Shape, Shape]] = {}
    unexpected: list[str] = []
    for name in names.of(theirs):
        if name.ours not in ours or name.ours in found:
            unexpected.append(name.key)
            continue
        shape = name.shape(theirs[name.key])
        if shape == ours[name.ours]:
            found[name.ours] = name
        else:
            wrong[name.ours] = shape, ours[name.ours]
    # In the order of the network, whatever that of the file is.
    in_order = {name: found[name] for name in ours if name in found}
    return in_order, {name: wrong[name] for name in ours if name in wrong and name not in found}, unexpected


def _check(
    files: "Files", names: Names, fitting: list[str], body: list[str], wrong: Mapping[str, tuple[Shape, Shape]]
) -> None:
    """Enough of the body must fit; the first layer that does not tells why."""
    if len(fitting) >= FEW * len(body):
        return
    first = next((name for name in body if name in wrong), None)
    if first is not None:
        theirs, ours = (_sized(shape) for shape in wrong[first])
        raise GliaError(
            f"the weights in {files.path} are of another size: {first} ({names.source}; "
            f"{len(fitting)} of {len(body)} tensors of the body fit)", got=theirs, expected=ours,
            hint="the network of that size, or its weights",
        )  # fmt: skip
    raise GliaError(
        f"the weights in {files.path} are of another network: {len(fitting)} of {len(body)} tensors fit",
        got=f"names such as {next(iter(files.shapes), 'none')}",
        expected=f"names such as {body[0]}",
    )


@torch.no_grad()
def _fill(ours: Tensor, theirs: Tensor, name: Name, path: Path, change: Change | None = None) -> None:
    if theirs.is_floating_point() != ours.is_floating_point() or theirs.is_complex() != ours.is_complex():
        kinds = (str(value.dtype).removeprefix("torch.") for value in (theirs, ours))
        raise GliaError(
            f"{name.key} in {path}", got=next(kinds), expected=next(kinds), hint="weights that are not quantised"
        )
    value = theirs.t() if name.transpose else theirs
    if value.is_floating_point() and not value.float().isfinite().all():
        raise GliaError(f"{name.key} in {path} holds numbers that are not finite")
    ours.copy_(change(value) if change is not None else value)


class Files:
    """One or several safetensors files, read tensor by tensor. shapes: of all tensors, by their names there."""

    def __init__(self, path: Path, parts: list[Path], raised: limits.Raised):
        self.path, self.parts = path, parts
        self.shapes: dict[str, Shape] = {}
        self._place: dict[str, Any] = {}
        self._sha256: str | None = None
        for part in parts:
            for key, shape, opened in _opened(part, raised):
                self.shapes[key], self._place[key] = shape, opened

    @classmethod
    def of(cls, given: Path | str, raised: limits.Raised = limits.USUAL) -> "Files":
        """The files that a path means. Raises GliaError where it means none that can be read."""
        path = Path(given)
        if path.is_dir():
            return cls(path, _in_folder(path), raised)
        if not path.is_file():
            raise GliaError(f"there are no weights {path}", expected="a .safetensors file, a folder with one, or a run")
        if path.name.endswith(".index.json"):
            return cls(path, _shards(path), raised)
        if path.suffix.lower() in PICKLES:
            raise _pickle(path)
        if path.suffix.lower() != ".safetensors":
            raise GliaError(f"{path} is no file of weights", expected="a .safetensors file")
        return cls(path, [path], raised)

    def read(self, key: str) -> Tensor:
        """One tensor, into memory of its own."""
        try:
            tensor: Tensor = self._place[key].get_tensor(key)
        except _BROKEN as error:
            raise DamagedError(f"{key} in {self.path} cannot be read", got=_said(error)) from None
        return tensor

    @property
    def sha256(self) -> str:
        """Of the file; of several files, of their names and sums."""
        if self._sha256 is None:
            sums = [(part.name, _sha256(part)) for part in sorted(self.parts)]
            joined = hashlib.sha256(json.dumps(sums).encode()).hexdigest()
            self._sha256 = sums[0][1] if len(sums) == 1 else joined
        return self._sha256


_BROKEN = (safetensors.SafetensorError, OSError, ValueError, RuntimeError, TypeError, KeyError, AttributeError)


def _opened(path: Path, raised: limits.Raised) -> Iterator[tuple[str, Shape, Any]]:
    """Name and shape of each tensor, and the open file."""
    _check_header(path, raised)
    try:
        opened: Any = safetensors.safe_open(path, "pt")
        keys = list(opened.keys())
        found = [(key, tuple(opened.get_slice(key).get_shape()), opened) for key in keys]
    except _BROKEN as error:
        raise DamagedError(f"{path} is no whole safetensors file", got=_said(error)) from None
    limits.check("tensors", len(found), path, raised)
    yield from found


def _check_header(path: Path, raised: limits.Raised) -> None:
    """The first eight bytes say how long the header is, all of which is held in memory."""
    try:
        with path.open("rb") as file:
            promised, size = int.from_bytes(file.read(8), "little"), path.stat().st_size
    except OSError as error:
        raise DamagedError(f"{path} cannot be read", got=_said(error)) from None
    if promised > size - 8:
        found = f"a header of {promised:,} bytes in a file of {size:,}"
        raise DamagedError(f"{path} is no whole safetensors file", got=found)
    limits.check("header_bytes", promised, path, raised)


def _in_folder(folder: Path) -> list[Path]:
    """Those of a run of glia, or of a folder as Hugging Face's hub has them."""
    if (folder / "recipe.toml").is_file():
        return [_of_run(folder)]
    if (folder / FILE).is_file():
        return [folder / FILE]
    if (folder / INDEX).is_file():
        return _shards(folder / INDEX)
    found = sorted(path for path in folder.iterdir() if path.suffix == ".safetensors")
    if len(found) == 1:
        return found
    pickled = next((path for path in sorted(folder.iterdir()) if path.suffix.lower() in PICKLES), None)
    if pickled is not None and not found:
        raise _pickle(pickled)
    raise GliaError(
        f"{folder} does not say which weights are meant",
        got=f"{len(found)} .safetensors files",
        expected=f"{FILE} or {INDEX}",
    )


def _of_run(folder: Path) -> Path:
    """The best weights of a run, compared with its manifest."""
    path = folder / "model" / "best.safetensors"
    if not path.is_file():
        raise GliaError(f"{folder} has no model yet", hint=f"glia resume {folder}")
    try:
        listed = json.loads((path.parent / disk.MANIFEST).read_bytes())["files"][path.name]["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError(f"{path.parent} is not whole", got=_said(error)) from None
    if _sha256(path) != listed:
        raise DamagedError(f"{path} is damaged", got="other bytes than were written")
    return path


def _shards(index: Path) -> list[Path]:
    """The files that an index names, beside it."""
    try:
        names = sorted({str(name) for name in json.loads(index.read_bytes())["weight_map"].values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedError(f"{index} cannot be read", got=_said(error)) from None
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise GliaError(f"{index} names a file outside its folder", got=name)
        if not (index.parent / name).is_file():
            raise GliaError(f"{index} names {name}, which is not beside it", hint="download all parts")
    if not names:
        raise DamagedError(f"{index} names no files")
    return [index.parent / name for name in names]


def _pickle(path: Path) -> GliaError:
    return GliaError(
        f"{path} is a pickle, which can run any code when it is read",
        expected="a .safetensors file",
        hint=f"glia import {path} --out {path.with_suffix('.safetensors').name}",
    )


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DamagedError(f"{path} cannot be read", got=_said(error)) from None


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


def _sized(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a number"


def _listed(names: Any) -> str:
    names = list(names)
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")

"""Arrays of pictures and labels from where they lie: .npz and .npy files, Python objects, scikit-learn's digits."""

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from glia import limits
from glia.data.images.arrays import Array
from glia.data.images.listing import PARTS
from glia.data.images.pixels import free_bytes
from glia.errors import GliaError, unknown

DIGITS = "digits"
_PICTURES = frozenset({"x", "images", "image", "imgs", "pictures", "data"})
_LABELS = frozenset({"y", "labels", "label", "targets", "target"})
_CLASS_NAMES = frozenset({"classes", "class_names", "label_names", "names"})
HARMLESS_BYTES = 100_000_000  # arrays that are smaller need no limit on how tightly they are packed
_BROKEN = (
    *(OSError, ValueError, EOFError, KeyError, TypeError, SyntaxError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, TokenError),
)


@dataclass(frozen=True)
class Part:
    """Pictures as they were given, (N, H, W), (N, H, W, C) or (N, C, H, W), and their labels or None."""

    name: str  # "train", "valid", "test", or "" where the source does not say
    pictures: Array
    labels: Array | None


@dataclass(frozen=True)
class Arrays:
    """What an array source holds. channels_first: what a shape that fits both layouts is taken for."""

    parts: list[Part]
    class_names: tuple[str, ...] = ()
    channels_first: bool = False
    target: str = "label"
    notes: tuple[str, ...] = ()
    called: str = "the arrays"


def is_array_source(source: Any, raised: limits.Raised = limits.USUAL) -> bool:
    """Pictures as an array or a pair of them, an .npz or .npy file, or the name of the bundled digits."""
    if isinstance(source, (str, Path)):
        path = Path(source)
        if source == DIGITS and not path.exists():
            return True
        if path.suffix.lower() not in (".npz", ".npy") or not path.is_file():
            return False
        return any(len(shape) in (3, 4) for shape, _ in _stored(path, raised).values())
    if isinstance(source, (tuple, list)) and len(source) == 2:
        return _dimensions(source[0]) in (3, 4) and _dimensions(source[1]) in (1, 2)
    return _dimensions(source) in (3, 4)


def open_arrays(
    source: Any, target: Sequence[str] = (), labelled: bool = True, raised: limits.Raised = limits.USUAL
) -> Arrays:
    """Read any array source; `target` may name the array of labels in an .npz; `labelled=False` reads no labels."""
    if isinstance(source, (str, Path)):
        if source == DIGITS and not Path(source).exists():
            return _digits()
        path = Path(source)
        if path.suffix.lower() == ".npz":
            return _from_npz(path, target, labelled, raised)
        return _from_npy(path, labelled, raised)
    x, y = source if isinstance(source, (tuple, list)) else (source, None)
    pictures, labels = _numpy(x), None if y is None else _numpy(y)
    _same_length(pictures, labels, "the arrays")
    return Arrays([Part("", pictures, labels)], channels_first=not isinstance(x, np.ndarray))


def _from_npz(path: Path, target: Sequence[str], labelled: bool, raised: limits.Raised) -> Arrays:
    """Arrays by their usual names (x_train, test_images, X, labels, ...), or the only pair that fits."""
    stored = _load(path, raised)
    pictures = {part: name for name in stored if (part := _part(name, _PICTURES)) is not None and stored[name].ndim > 2}
    if not pictures:
        able = [name for name, array in stored.items() if array.ndim in (3, 4)]
        if len(able) != 1:
            what = f"{path.name} does not say which array holds the pictures"
            raise GliaError(what, got=", ".join(stored) or "none", expected="x and y, or x_train, y_train, x_test ...")
        pictures = {"": able[0]}
    labels = {part: name for name in stored if (part := _part(name, _LABELS)) is not None}
    if target:
        if len(target) > 1 or target[0] not in stored:
            raise unknown(f"array in {path.name}", ", ".join(target), stored)
        labels[_part(target[0], _LABELS) or ""] = target[0]
    notes, parts, label = [], [], "label"
    for part, name in pictures.items():
        found = labels.get(part) if part in labels or part else _only_labels(stored, name)
        if labelled and found is None:
            if part in ("", "train"):
                raise GliaError(f"{path.name} holds no labels for {name}", got=", ".join(stored), hint="target=NAME")
            notes.append(f"{name} has no labels and is left out.")
            continue
        label = found if found and part == "" else label
        parts.append(_labelled(path, part, name, found if labelled else None, stored))
    texts = (array for name, array in stored.items() if name.lower() in _CLASS_NAMES and array.dtype.kind == "U")
    return Arrays(parts, tuple(map(str, next(texts, ()))), target=label, notes=tuple(notes), called=str(path))


def _labelled(path: Path, part: str, pictures: str, labels: str | None, stored: dict[str, Array]) -> Part:
    y = None if labels is None else stored[labels]
    _same_length(stored[pictures], y, f"{path}: {pictures} and {labels}")
    return Part(part, stored[pictures], y)


def _part(name: str, kinds: frozenset[str]) -> str | None:
    """ "train" for x_train or train_images, "" for x or images; None for a name that is not of those kinds."""
    words = name.lower().split("_")
    if len(words) == 1 and words[0] in kinds:
        return ""
    if len(words) == 2:
        for word, other in (words, words[::-1]):
            if word in kinds and other in PARTS:
                return PARTS[other]
    return None


def _only_labels(stored: dict[str, Array], pictures: str) -> str | None:
    """The only other array with one number, or one row, for each picture."""
    rows = len(stored[pictures])
    able = [name for name, a in stored.items() if name != pictures and a.ndim in (1, 2) and len(a) == rows]
    return able[0] if len(able) == 1 else None


def _from_npy(path: Path, labelled: bool, raised: limits.Raised) -> Arrays:
    """x.npy with y.npy beside it (images.npy with labels.npy; x_train.npy with y_train.npy, x_test.npy ...)."""
    files = {file.stem: file for file in sorted(path.parent.glob("*.npy"))}
    part = _part(path.stem, _PICTURES)
    if not labelled or part is None:
        if labelled:
            raise GliaError(f"no labels beside {path.name}", expected="x.npy with y.npy, or images.npy with labels.npy")
        return Arrays([Part("", _load(path, raised)[path.stem], None)], called=str(path))
    parts = []
    for other in [""] if part == "" else ["train", "valid", "test"]:
        x = next(
            (name for name in files if _part(name, _PICTURES) == other and (other != part or name == path.stem)), None
        )
        y = next((name for name in files if _part(name, _LABELS) == other), None)
        if x is not None and y is not None:
            parts.append(_labelled(files[x], other, x, y, _load(files[x], raised) | _load(files[y], raised)))
        elif x is not None and other == part:
            raise GliaError(f"no labels beside {path.name}", expected=f"{path.stem.replace('x', 'y')}.npy")
    return Arrays(parts, called=str(path))


def _same_length(pictures: Array, labels: Array | None, what: str) -> None:
    if labels is not None and len(pictures) != len(labels):
        raise GliaError(f"{what} do not fit together", got=f"{len(pictures)} pictures and {len(labels)} labels")


def _numpy(value: Any) -> Array:
    """A NumPy array of numbers or texts from an array, a tensor or a list."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    array = np.asarray(value)
    if array.dtype.kind not in "buifSU":
        array = array.astype(str) if array.ndim == 1 else array
    if array.dtype.kind not in "buifSU":
        raise GliaError("pictures must be an array of numbers, all of one size", got=f"dtype {array.dtype}")
    return array


def _dimensions(value: Any) -> int:
    shape = getattr(value, "shape", None)
    return len(shape) if shape is not None else (1 if isinstance(value, (list, tuple)) and value else 0)


def _digits() -> Arrays:
    # Read as `load_digits` does, without the second that it takes to import all of scikit-learn.
    spec = find_spec("sklearn")
    where = Path(str(spec.origin)).parent if spec is not None else Path()
    rows = np.loadtxt(where / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    x, y = rows[:, :-1], rows[:, -1].astype(np.int64)
    pictures = np.rint(x.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    return Arrays([Part("", pictures, y)], tuple("0123456789"), target="digit")


def _stored(path: Path, raised: limits.Raised) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape and type of each array in a file, from the headers alone, which are compared with what is there.

    Raises GliaError on damage, and where a small file promises arrays beyond the limits.
    """
    try:
        size = path.stat().st_size
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                found = {path.stem: _header(file)}
                _whole(path, found[path.stem], size - file.tell())
        else:
            found = _members(path)
    except _BROKEN as error:
        raise GliaError(f"{path} is no sound NumPy file", got=_said(error)) from None
    needed = sum(map(_bytes, found.values()))
    limits.check("array_bytes", needed, path, raised)
    if needed > max(limits.most("zip_ratio", raised) * size, HARMLESS_BYTES):
        raise limits.exceeded("zip_ratio", needed // max(size, 1), path, raised)
    return found


def _members(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    found = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith(".npy"):
                with archive.open(member) as entry:
                    array = _header(entry)
                    _whole(path, array, member.file_size - entry.tell())
                found[member.filename[:-4]] = array
    return found


def _bytes(array: tuple[tuple[int, ...], np.dtype[Any]]) -> int:
    shape, dtype = array
    return int(np.prod(shape, dtype=object)) * dtype.itemsize


def _whole(path: Path, array: tuple[tuple[int, ...], np.dtype[Any]], left: int) -> None:
    """The numbers that the header promises are there. Raises ValueError."""
    if any(type(side) is not int or side < 0 for side in array[0]):
        raise ValueError(f"a shape of {array[0]}")
    if not array[1].hasobject and _bytes(array) > left:
        raise ValueError(f"{array[0]} numbers of {array[1].itemsize} bytes are promised, {left:,} bytes are there")


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _load(path: Path, raised: limits.Raised) -> dict[str, Array]:
    """Every array of a file that fits in memory; nothing is unpickled."""
    needed = sum(map(_bytes, _stored(path, raised).values()))
    if needed > free_bytes():
        raise GliaError(f"{path} does not fit in memory", got=f"{needed / 1e9:.1f} GB", hint="a folder of pictures")
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {path.stem: loaded}
        with loaded as archive:
            return {name: archive[name] for name in archive.files}
    except _BROKEN as error:
        raise GliaError(f"cannot read {path}", got=_said(error), expected="plain arrays of numbers") from None


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]

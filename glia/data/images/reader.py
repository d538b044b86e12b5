"""ImageReader: any source of pictures to the tensors that a trained network takes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from warnings import warn

import torch

from glia.data.images.arrayfiles import Arrays, is_array_source, open_arrays
from glia.data.images.arrays import channels_first, finite, label_columns
from glia.data.images.decode import is_picture_name
from glia.data.images.labels import encode
from glia.data.images.listing import Listing, any_pictures, class_of, test_folder
from glia.data.images.pathtable import PathTable, by_table
from glia.data.images.pictures import array_rows, renamed
from glia.data.images.pixels import Decoded, decode_all
from glia.data.prepared import Raw
from glia.data.tables.source import ReadOptions
from glia.data.task import Task
from glia.errors import GliaError

PIECE_BYTES = 1 << 28  # of decoded pictures at a time, at most


@dataclass(frozen=True)
class ImageReader:
    """How raw pictures become uint8 (N, channels, height, width), the same way at training and prediction.

    low, high: the values of black and white in arrays. names: of the pictures it was made with, by row; not stored.
    """

    channels: int
    size: tuple[int, int]
    task: Task
    low: float = 0.0
    high: float = 255.0
    options: ReadOptions = field(default_factory=ReadOptions)
    class_names: tuple[str, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict, compare=False, repr=False)

    kind = "image"

    def stream(self, source: Any, *, targets: bool = False, rows: int = 4096) -> Iterator[Raw]:
        """Pictures of a folder (any depth), one file, a list of files, a table of paths, or arrays.

        `targets=True` takes the class from the folder, the labels from the table's columns or the array; of a source
        with an official test part it reads that part alone. Unreadable files have no row; a warning names them.
        """
        rows = max(1, min(rows, PIECE_BYTES // (self.channels * self.size[0] * self.size[1])))
        if _is_one_array(source):
            source = source[None]
        if is_array_source(source, self.options.limits):
            found = open_arrays(source, labelled=targets, raised=self.options.limits)
            yield from self._from_arrays(found, targets, rows)
        else:
            yield from self._from_files(self._listing(source, targets), targets, rows)

    def name_of(self, row: int) -> str:
        """What people call a row of the source that this reader was made with."""
        return self.names.get(row, str(row))

    def to_dict(self) -> dict[str, Any]:
        """Everything but `names`, as plain JSON."""
        plain = {name: getattr(self, name) for name in ("kind", "channels", "low", "high")}
        lists = {"size": list(self.size), "class_names": list(self.class_names)}
        return plain | lists | {"task": self.task.to_dict(), "options": asdict(self.options)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ImageReader":
        options: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in data["options"].items()}
        return cls(
            data["channels"],
            (data["size"][0], data["size"][1]),
            Task.from_dict(data["task"]),
            data["low"],
            data["high"],
            ReadOptions(**options),
            tuple(data["class_names"]),
        )

    def _listing(self, source: Any, targets: bool) -> Listing:
        """The files that a source means, with labels if they are wanted."""
        if isinstance(source, (list, tuple)):
            return _unlabelled([Path(item) for item in source], Path(), targets)
        path = Path(source) if isinstance(source, (str, Path)) else None
        if path is not None and path.is_dir():
            root = test_folder(path) if targets else path
            paths = any_pictures(root)
            if not paths:
                raise GliaError(f"no pictures in {path}", expected="files such as .jpg and .png")
            answers = {self.task.targets[0]: [class_of(p, root) for p in paths]} if targets else {}
            return Listing(root, paths, answers, [""] * len(paths))
        if path is not None and is_picture_name(path):
            return _unlabelled([path], path.parent, targets)
        return by_table(source, PathTable(self.options, self.task.targets if targets else ()), labelled=targets)

    def _from_files(self, listing: Listing, targets: bool, rows: int) -> Iterator[Raw]:
        broken: list[str] = []
        for start in range(0, len(listing.paths), rows):
            some = listing.only(range(start, min(start + rows, len(listing.paths))))
            decoded: Decoded = decode_all(some.paths, self.channels, self.size, self.options.limits)
            broken += [f"{some.names[i]} ({why})" for i, why in decoded.broken.items()]
            good = some.only(decoded.kept)
            if good.paths:
                labels = encode(good.answers, self.task, good.names) if targets else None
                yield Raw(torch.from_numpy(decoded.pixels), labels, good.names, None)
        if not broken:
            return
        message = f"{len(broken)} of {len(listing.paths)} pictures cannot be read: {', '.join(broken[:5])}"
        if len(broken) == len(listing.paths):
            raise GliaError(message)
        warn(message, stacklevel=2)

    def _from_arrays(self, found: Arrays, targets: bool, rows: int) -> Iterator[Raw]:
        parts = [part for part in found.parts if part.name == "test"] or found.parts
        for part in parts:
            pictures = channels_first(part.pictures, found.channels_first)
            if targets and part.labels is None:
                raise GliaError("these pictures have no labels", expected="(x, y)")
            if count := int((~finite(pictures)).sum()):
                warn(f"{count} of {len(pictures)} pictures hold NaN or infinite values, read as black", stacklevel=2)
            for start in range(0, len(pictures), rows):
                some = pictures[start : start + rows]
                inputs = torch.from_numpy(array_rows(some, self.low, self.high, self.channels, self.size))
                names = [str(i) for i in range(start, start + len(some))]
                labels = None
                if targets and part.labels is not None:
                    answers = label_columns(part.labels[start : start + rows], self.task.targets, self.task.kind)
                    cells = {name: renamed(c, found.class_names or self.class_names) for name, c in answers.items()}
                    labels = encode(cells, self.task, names)
                yield Raw(inputs, labels, names, None)

    def knowing(self, names: Sequence[str], rows: Sequence[int]) -> "ImageReader":
        """The reader with the names of its own rows."""
        return replace(self, names=dict(zip(rows, names)))


def _is_one_array(source: Any) -> bool:
    """(H, W), or (H, W, C): a single picture."""
    shape: tuple[int, ...] = getattr(source, "shape", ())
    return len(shape) == 2 and not hasattr(source, "columns") or (len(shape) == 3 and shape[2] in (3, 4))


def _unlabelled(paths: list[Path], root: Path, targets: bool) -> Listing:
    if targets:
        raise GliaError("single pictures have no labels", got=str(paths[0]), expected="a folder of class folders")
    return Listing(root, paths, {}, [""] * len(paths))

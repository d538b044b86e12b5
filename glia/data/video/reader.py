"""VideoReader: any source of clips to the tensors that a trained network takes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from warnings import warn

import numpy as np
import torch

from glia.data.images.decode import Unreadable
from glia.data.images.labels import encode
from glia.data.images.listed import How
from glia.data.images.pixels import in_threads, quiet
from glia.data.prepared import Raw
from glia.data.tables.source import ReadOptions
from glia.data.task import Task
from glia.data.video.frames import Clip, Shape, read_clip
from glia.data.video.source import listing, test_tops
from glia.errors import GliaError

PIECE_BYTES = 1 << 28  # of decoded clips at a time, at most


@dataclass(frozen=True)
class VideoReader:
    """How folders of frames become uint8 (N, frames, channels, height, width), the same way at training and prediction.

    names: of the clips it was made with, by row; not stored.
    """

    shape: Shape
    task: Task
    options: ReadOptions = field(default_factory=ReadOptions)
    names: Mapping[int, str] = field(default_factory=dict, compare=False, repr=False)

    kind = "video"

    def stream(self, source: Any, *, targets: bool = False, rows: int = 4096) -> Iterator[Raw]:
        """Clips of a folder (any depth), a list of folders, or a table with a column of them.

        `targets=True` takes the class from the folder above, or the labels from the table; of a source with an official
        test part it reads that part alone. Unreadable clips have no row, and unreadable frames are left out; a warning
        names both.
        """
        path = Path(source) if isinstance(source, (str, Path)) else None
        if targets and path is not None and path.is_dir():
            source = test_tops(path)
        clips = listing(source, How(self.options, self.task.targets if targets else ()), labelled=targets)
        rows = max(1, min(rows, PIECE_BYTES // int(np.prod(self.shape.whole))))
        broken: list[str] = []
        left_out: list[str] = []
        for start in range(0, len(clips.paths), rows):
            some = clips.only(range(start, min(start + rows, len(clips.paths))))
            with quiet():
                found = in_threads(self._read, some.paths)
            broken += [f"{name} ({why})" for name, why in zip(some.names, found) if isinstance(why, str)]
            read = [(i, clip) for i, clip in enumerate(found) if isinstance(clip, Clip)]
            left_out += [f"{name} ({why})" for _, clip in read for name, why in clip.broken.items()]
            good = some.only([i for i, _ in read])
            if read:
                pixels = torch.from_numpy(np.stack([clip.pixels for _, clip in read]))
                yield Raw(pixels, encode(good.answers, self.task, good.names) if targets else None, good.names, None)
        said = f"{len(broken)} of {len(clips.paths)} clips cannot be read: {', '.join(broken[:5])}"
        if len(broken) == len(clips.paths):
            raise GliaError(said)
        if broken:
            warn(said, stacklevel=2)
        if left_out:
            warn(f"{len(left_out)} frames cannot be read and are left out: {', '.join(left_out[:5])}", stacklevel=2)

    def name_of(self, row: int) -> str:
        """What people call a row of the source that this reader was made with."""
        return self.names.get(row, str(row))

    def knowing(self, names: Sequence[str], rows: Sequence[int]) -> "VideoReader":
        """The reader with the names of its own rows."""
        return replace(self, names=dict(zip(rows, names)))

    def to_dict(self) -> dict[str, Any]:
        """Everything but `names`, as plain JSON."""
        return {
            "kind": self.kind,
            "shape": {**asdict(self.shape), "size": list(self.shape.size)},
            "task": self.task.to_dict(),
            "options": asdict(self.options),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "VideoReader":
        options: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in data["options"].items()}
        shape = Shape(**{**data["shape"], "size": tuple(data["shape"]["size"])})
        return cls(shape, Task.from_dict(data["task"]), ReadOptions(**options))

    def _read(self, clip: Path) -> Clip | str:
        try:
            return read_clip(clip, self.shape, self.options.limits)
        except Unreadable as error:
            return str(error)

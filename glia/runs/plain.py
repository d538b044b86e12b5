"""Only plain files of a plausible size make a run: a link may lead anywhere, a pipe never ends."""

import os
import stat
from pathlib import Path

from glia.errors import DamagedError, DiskError

DEEPEST = 3  # folders below the run's own
LARGEST = {
    ".toml": 1 << 20,
    ".json": 1 << 28,
    ".jsonl": 1 << 28,
    ".html": 1 << 28,
    ".csv": 1 << 28,
}  # bytes, by suffix; weights may have any size


def plain_files(run: Path) -> None:
    """Raises DamagedError for a link, a pipe, a device or a file too large anywhere in a run's folder.

    The folder itself may be reached through a link: that is the user's own. What lies in it may come from anybody, and
    a link there would have glia read, or write, elsewhere.
    """
    _look(run, DEEPEST)


def _look(folder: Path, deeper: int) -> None:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                facts = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(facts.st_mode):
                    if deeper:
                        _look(Path(entry.path), deeper - 1)
                elif not stat.S_ISREG(facts.st_mode):
                    got = "a link" if entry.is_symlink() else "a pipe or a device"
                    raise DamagedError(f"{entry.path} is no plain file", got=got, hint="put the file itself there")
                elif facts.st_size > LARGEST.get(os.path.splitext(entry.name)[1], facts.st_size):
                    raise DamagedError(f"{entry.path} is too large", got=f"{facts.st_size:,} bytes")
    except FileNotFoundError:  # another process replaces what it writes
        return
    except OSError as error:
        raise DiskError(f"cannot read {folder}: {error.strerror or error}") from None

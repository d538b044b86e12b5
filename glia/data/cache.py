"""Where what can be made again is kept."""

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """$GLIA_CACHE, or ~/.cache/glia, and in it a folder for this kind of things. It may be deleted at any time."""
    if given := os.environ.get("GLIA_CACHE"):
        return Path(given) / kind
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glia" / kind

"""glia predict."""

import time
from pathlib import Path
from typing import Any

from glia.cli.heavy import heavy
from glia.cli.screen import Console


def run(path: Path, source: str, *, out: Path | None, keep: bool, overwrite: bool, **options: Any) -> None:
    """Write predictions and say how many and where."""
    with heavy():
        from glia.workbench.run import open_run

    began = time.monotonic()
    target = out or Path(f"{Path(source).name.partition('.')[0]}-predictions.csv")
    asked = {name: value for name, value in options.items() if value is not None}
    rows = open_run(path).predict_file(source, target, keep=keep, overwrite=overwrite, **asked)
    Console(highlight=False).print(
        f"{rows:,} predictions in {target} ({time.monotonic() - began:.1f} s)", soft_wrap=True
    )

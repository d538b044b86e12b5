"""The adult data, as published, as files that glia reads."""

from pathlib import Path
from typing import Any

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def adult_files(folder: Path) -> dict[str, Any]:
    """The settings of `glia.train` for training and published test rows, which are written to `folder`."""
    import polars as pl  # not where the memory of others is measured

    files = {}
    for part in ("train", "test"):
        frame = pl.read_csv(SHARED / f"adult/adult-{part}.csv.gz", has_header=False, infer_schema_length=0)
        # The published test labels end in a full stop; the training labels do not.
        frame = frame.with_columns(pl.col("column_14").str.strip_chars(" ."))
        files[part] = folder / f"adult-{part}.csv"
        frame.write_csv(files[part], include_header=False)
    return {"source": files["train"], "test": str(files["test"]), "target": 14, "header": False}

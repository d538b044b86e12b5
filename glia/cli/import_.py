"""glia import."""

from pathlib import Path

from glia.cli.screen import Console


def run(path: Path, *, out: Path | None, part: str, overwrite: bool) -> None:
    """Write the weights as safetensors; say what they are and where."""
    from glia.foreign.importer import import_weights

    target = out or path.with_suffix(".safetensors")
    done = import_weights(path, target, part=part, overwrite=overwrite)
    console = Console(highlight=False)
    console.print(f"{done.path}: {done.line()}", markup=False, soft_wrap=True)

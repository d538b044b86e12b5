"""Which tensors of a loaded checkpoint are its weights, and whether they are what they claim to be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from glia.errors import GliaError

USUAL = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params", "module")
MOST = 50_000  # tensors; the largest published networks have some thousands
LONGEST = 1_000  # letters of a name
DEEPEST = 8  # dimensions of a tensor
TIMES = 4  # how often the bytes of the file may appear: T5 keeps its embedding under four names
DTYPES = {
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2,
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """taken: the name that the weights stood under, "" where the file is nothing but weights. others: names of further
    dicts of tensors. left: entries that are no tensors."""

    tensors: dict[str, Tensor]
    taken: str
    others: tuple[str, ...]
    left: int


def find(checkpoint: Any, part: str = "") -> Found:
    """The dict of tensors in a checkpoint: under `part`, or under one of the usual names, or the whole of it.

    Raises GliaError where there is none, or where it is not clear which is meant.
    """
    if not isinstance(checkpoint, Mapping):
        raise GliaError("no weights by name", got=f"a {type(checkpoint).__name__}", expected="a dict of tensors")
    dicts = [str(name) for name, value in checkpoint.items() if isinstance(name, str) and _tensors_in(value)]
    if part:
        if part not in dicts:
            raise GliaError(f"no weights under {part!r}", expected=f"one of {', '.join(dicts[:12]) or 'none'}")
        return _found(checkpoint, part, dicts)
    if _tensors_in(checkpoint):
        return _found(checkpoint, "", dicts)
    usual = [name for name in USUAL if name in dicts]
    if not usual and len(dicts) > 1:
        raise GliaError("it is not clear which weights are meant", got=", ".join(dicts[:12]), hint="--part NAME")
    if not dicts:
        names = ", ".join(str(name)[:40] for name in list(checkpoint)[:6]) or "nothing"
        raise GliaError("no weights by name", got=names, expected=f"a dict of tensors, or one under {USUAL[0]!r}")
    return _found(checkpoint, (usual or dicts)[0], dicts)


def _tensors_in(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(one, Tensor) for one in value.values())


def _found(checkpoint: Mapping[Any, Any], taken: str, dicts: list[str]) -> Found:
    chosen = checkpoint[taken] if taken else checkpoint
    tensors = {name: value for name, value in chosen.items() if isinstance(name, str) and isinstance(value, Tensor)}
    return Found(tensors, taken, tuple(name for name in dicts if name != taken), len(chosen) - len(tensors))


def checked(tensors: Mapping[str, Tensor], file_bytes: int) -> dict[str, Tensor]:
    """Each tensor with memory of its own, ready to be written.

    Before anything is copied: no tensor may have more numbers than its memory holds (a stride of 0 makes ten thousand
    millions of one), nor may all together be many times the file. Raises GliaError with the name of the first that is
    not so.
    """
    if len(tensors) > MOST:
        raise GliaError("too many tensors", got=f"{len(tensors):,}", expected=f"at most {MOST:,}")
    total = 0
    for name, tensor in tensors.items():
        if not name or len(name) > LONGEST or name == "__metadata__" or not name.isprintable():
            raise GliaError("the name of a tensor", got=repr(name[:60]), expected=f"1 to {LONGEST} printable letters")
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            kind = "quantised" if tensor.is_quantized else f"{tensor.layout} on {tensor.device}"
            raise GliaError(f"tensor {name}", got=kind, expected="plain numbers")
        if tensor.dtype not in DTYPES:
            raise GliaError(f"tensor {name}", got=str(tensor.dtype), expected="floats, whole numbers or bool")
        size, held = tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()
        if tensor.ndim > DEEPEST or size > held or held > file_bytes * TIMES:
            got = f"shape {_sized(tensor)}, {size:,} bytes out of {held:,} in a file of {file_bytes:,}"
            raise GliaError(f"tensor {name} claims more than the file holds", got=got)
        total += size
        if total > file_bytes * TIMES:
            raise GliaError("the tensors claim more than the file holds", got=f"{total:,} bytes from {file_bytes:,}")
    return {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}


def _sized(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape[:6])) or "a number"

"""Nested state (dicts, lists, numbers, tensors) to safetensors and JSON, and back, bit for bit."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from glia.errors import DamagedError

_NAMES = {
    **{torch.bool: "BOOL", torch.uint8: "U8", torch.int8: "I8", torch.int16: "I16", torch.float16: "F16"},
    **{torch.bfloat16: "BF16", torch.int32: "I32", torch.float32: "F32", torch.float64: "F64", torch.int64: "I64"},
}
_ORDER = list(_NAMES)


def pack(tree: Any) -> tuple[bytes, bytes]:
    """(JSON, safetensors) of a tree; tensors are replaced by their names, tuples and non-text keys are marked."""
    tensors: dict[str, Tensor] = {}

    def walk(node: Any, path: str) -> Any:
        if isinstance(node, Tensor):
            tensors[path] = node.detach().cpu().contiguous()
            return {"tensor": path}
        if isinstance(node, dict):
            return {"dict": [[key, walk(value, f"{path}.{key}")] for key, value in node.items()]}
        if isinstance(node, list | tuple):
            kind = "list" if isinstance(node, list) else "tuple"
            return {kind: [walk(value, f"{path}.{i}") for i, value in enumerate(node)]}
        if node is None or isinstance(node, bool | int | float | str):
            return {"value": node}
        raise TypeError(f"a checkpoint cannot hold {type(node).__name__} (at {path})")

    skeleton = walk(tree, "state")
    return json.dumps(skeleton).encode(), in_one_piece(tensors)


def in_one_piece(tensors: Mapping[str, Tensor]) -> bytes:
    """What `safetensors.torch.save` gives, without the two copies of all tensors that it makes besides, and of tensors
    that share memory too: a run's state is many times its weights, and all of it is held while it is written.

    Source of the format: huggingface.co/docs/safetensors. The largest numbers come first, so that each begins at a
    multiple of its own size.
    """
    if any(tensor.dtype not in _NAMES for tensor in tensors.values()):  # complex ones, or of 8 bits
        return safetensors.torch.save({name: tensor.clone() for name, tensor in tensors.items()})
    header: dict[str, dict[str, Any]] = {}
    parts: list[bytes | memoryview] = []
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (-_ORDER.index(item[1].dtype), item[0])):
        flat = tensor.reshape(-1).view(torch.uint8)  # of 16-bit floats NumPy knows nothing
        begin, end = end, end + flat.numel()
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
        parts.append(flat.numpy().data)
    written = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    written += b" " * (-len(written) % 8)
    return b"".join([len(written).to_bytes(8, "little"), written, *parts])


def unpack(skeleton: bytes, tensors: bytes) -> Any:
    """What `pack` was given."""
    try:
        loaded = safetensors.torch.load(tensors)

        def build(node: Any) -> Any:
            ((kind, value),) = node.items()
            if kind == "tensor":
                return loaded[value]
            if kind == "dict":
                return {key: build(item) for key, item in value}
            if kind in ("list", "tuple"):
                items = [build(item) for item in value]
                return items if kind == "list" else tuple(items)
            return value

        return build(json.loads(skeleton))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, safetensors.SafetensorError) as error:
        raise DamagedError(
            "a checkpoint's state does not fit together", got=f"{type(error).__name__}: {error}"
        ) from None


def tensors_in(tree: Any, place: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors in nested mappings and lists, with where they stand: "optimizer.state.0.exp_avg"."""
    if isinstance(tree, Tensor):
        yield place, tree
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from tensors_in(value, f"{place}.{key}")
    elif isinstance(tree, list | tuple):
        for number, value in enumerate(tree):
            yield from tensors_in(value, f"{place}.{number}")

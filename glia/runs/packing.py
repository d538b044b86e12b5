"""Nested state (dicts, lists, numbers, tensors) to safetensors and JSON, and back, bit for bit."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import safetensors.torch
from torch import Tensor

from glia.errors import DamagedError


def pack(tree: Any) -> tuple[bytes, bytes]:
    """(JSON, safetensors) of a tree; tensors are replaced by their names, tuples and non-text keys are marked."""
    tensors: dict[str, Tensor] = {}

    def walk(node: Any, path: str) -> Any:
        if isinstance(node, Tensor):
            # A copy of its own: safetensors refuses tensors that share memory, and the run goes on while we write.
            tensors[path] = node.detach().cpu().contiguous().clone()
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
    return json.dumps(skeleton).encode(), safetensors.torch.save(tensors)


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

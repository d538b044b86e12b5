"""Overhear: what torch has no hooks for. Backward passes, loaders, clipping, loss scaling, optimisers that are made.

Each patch calls the original with what it was given, and is taken away at the end; nothing is drawn or changed.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad
from torch.optim import Optimizer
from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _BaseDataLoaderIter


class Ear(Protocol):
    """Who is told."""

    def backward(self, tensors: Any) -> None: ...
    def loader(self, loader: Any) -> None: ...
    def fetching(self) -> None: ...
    def batch(self, batch: Any) -> None: ...
    def made(self, optimizer: Optimizer) -> None: ...
    def clipped(self, most: float) -> None: ...
    def scaled(self, loss: Any) -> None: ...
    def cleared(self, owner: Any) -> None: ...
    def evaluating(self) -> None: ...


@contextmanager
def overheard(ear: Ear) -> Iterator[None]:
    """Tell `ear` what goes on inside the block."""
    inside = threading.local()

    def backward(original: Any) -> Any:
        def heard(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            if getattr(inside, "backward", False):
                return original(tensors, *args, **kwargs)
            inside.backward = True
            try:
                ear.backward(tensors)
                return original(tensors, *args, **kwargs)
            finally:
                inside.backward = False

        return heard

    def began(original: Any) -> Any:
        def iterate(loader: Any) -> Any:
            ear.loader(loader)
            return original(loader)

        return iterate

    def following(original: Any) -> Any:
        def following_batch(iterator: Any) -> Any:
            ear.fetching()
            batch = original(iterator)
            ear.batch(batch)
            return batch

        return following_batch

    def created(original: Any) -> Any:
        def create(optimizer: Any, *args: Any, **kwargs: Any) -> None:
            original(optimizer, *args, **kwargs)
            ear.made(optimizer)

        return create

    def clipping(original: Any) -> Any:
        def clip(parameters: Any, most: Any, *args: Any, **kwargs: Any) -> Any:
            ear.clipped(float(most))
            return original(parameters, most, *args, **kwargs)

        return clip

    def scaling(original: Any) -> Any:
        def scale(scaler: Any, outputs: Any) -> Any:
            ear.scaled(outputs)
            return original(scaler, outputs)

        return scale

    def clearing(original: Any) -> Any:
        def clear(owner: Any, *args: Any, **kwargs: Any) -> Any:
            ear.cleared(owner)
            return original(owner, *args, **kwargs)

        return clear

    def entering(original: Any) -> Any:
        def enter(context: Any) -> Any:
            ear.evaluating()
            return original(context)

        return enter

    def switching(original: Any) -> Any:
        def train(module: Any, mode: bool = True) -> Any:
            if not mode:
                ear.evaluating()
            return original(module, mode)

        return train

    with ExitStack() as patches:
        for owner, name, make in (
            (torch.autograd, "backward", backward),
            (Tensor, "backward", backward),
            (DataLoader, "__iter__", began),
            (_BaseDataLoaderIter, "__next__", following),
            (Optimizer, "__init__", created),
            (clip_grad, "clip_grad_norm_", clipping),
            (torch.nn.utils, "clip_grad_norm_", clipping),
            (clip_grad, "clip_grad_value_", clipping),
            (torch.nn.utils, "clip_grad_value_", clipping),
            (torch.amp.GradScaler, "scale", scaling),
            (Optimizer, "zero_grad", clearing),
            (nn.Module, "zero_grad", clearing),
            (nn.Module, "train", switching),
            (torch.no_grad, "__enter__", entering),
            (torch.inference_mode, "__enter__", entering),
        ):
            patches.enter_context(_patched(owner, name, make))
        yield


@contextmanager
def _patched(owner: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    original = vars(owner)[name]
    setattr(owner, name, make(original))
    try:
        yield
    finally:
        setattr(owner, name, original)

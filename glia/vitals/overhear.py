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

    def created(original: Any) -> Any:
        def create(optimizer: Any, *args: Any, **kwargs: Any) -> None:
            original(optimizer, *args, **kwargs)
            ear.made(optimizer)

        return create

    def following(original: Any) -> Any:
        def following_batch(iterator: Any) -> Any:
            ear.fetching()
            batch = original(iterator)
            ear.batch(batch)
            return batch

        return following_batch

    def clipping(parameters: Any, *args: Any, **kwargs: Any) -> None:
        most = [*args, *(kwargs[name] for name in ("max_norm", "clip_value") if name in kwargs)]
        if most:
            ear.clipped(float(most[0]))

    def switching(module: Any, mode: bool = True) -> None:
        if not mode:
            ear.evaluating()

    backward = _outermost(ear.backward, ear)
    began = _first(ear.loader)
    clip = _first(clipping)
    clear = _first(lambda owner, *args, **kwargs: ear.cleared(owner))
    quiet = _first(lambda context: ear.evaluating())
    with ExitStack() as patches:
        for owner, name, make in (
            (torch.autograd, "backward", backward),
            (Tensor, "backward", backward),
            (DataLoader, "__iter__", began),
            (_BaseDataLoaderIter, "__next__", following),
            (Optimizer, "__init__", created),
            (clip_grad, "clip_grad_norm_", clip),
            (torch.nn.utils, "clip_grad_norm_", clip),
            (clip_grad, "clip_grad_value_", clip),
            (torch.nn.utils, "clip_grad_value_", clip),
            (torch.amp.GradScaler, "scale", _first(lambda scaler, outputs: ear.scaled(outputs))),
            (Optimizer, "zero_grad", clear),
            (nn.Module, "zero_grad", clear),
            (nn.Module, "train", _first(switching)),
            (torch.no_grad, "__enter__", quiet),
            (torch.inference_mode, "__enter__", quiet),
        ):
            patches.enter_context(patched(owner, name, make))
        yield


Make = Callable[[Any], Any]


def _first(tell: Callable[..., None]) -> Make:
    """Tell with the same arguments, then do it."""

    def make(original: Any) -> Any:
        def told(*args: Any, **kwargs: Any) -> Any:
            tell(*args, **kwargs)
            return original(*args, **kwargs)

        return told

    return make


def _outermost(tell: Callable[[Any], None], ear: Ear) -> Make:
    """Tell of a call, but not of those within it: Tensor.backward calls torch.autograd.backward."""
    inside = threading.local()

    def make(original: Any) -> Any:
        def told(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            if getattr(inside, "yes", False):
                return original(tensors, *args, **kwargs)
            inside.yes = True
            try:
                tell(tensors)
                return original(tensors, *args, **kwargs)
            finally:
                inside.yes = False

        told.ear = ear  # type: ignore[attr-defined]  # so that a loop which makes no such pass can tell it
        return told

    return make


@contextmanager
def patched(owner: Any, name: str, make: Make) -> Iterator[None]:
    original = vars(owner)[name]
    setattr(owner, name, make(original))
    try:
        yield
    finally:
        setattr(owner, name, original)

"""Changes that may make a step faster, of those that this one leaves room for."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from glia.data.batches import usable_cores
from glia.nn.precision import by_onednn, onednn_products
from glia.profiling.trials import aside
from glia.profiling.work import Change, Rig, Work
from glia.training.feed import folds_pictures

FUSED = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.Adagrad)
UNSET, CALM, UNREAD = "gradients set to None", "anomaly mode off", "no .item() at each step"
SETTING = re.compile(r"\w+=\w+(;|$)")
TIMES = 4  # as many rows as a larger batch has


def candidates(work: Work) -> Iterator[Change]:
    """What is worth a trial, the likeliest first. Each stands on the step as it is."""
    usual = work.usual
    for change in _candidates(work, Rig(work)):
        contexts = (*usual.contexts, *change.contexts)
        how = change.how
        if work.settings and not SETTING.match(how):
            how = f"no setting of a run makes it; in a loop of your own: {how}"
        zero, item = usual.zero and change.name != UNSET, usual.item and change.name != UNREAD
        yield replace(change, how=how, contexts=contexts, zero=zero, item=item)


def _candidates(work: Work, rig: Rig) -> Iterator[Change]:
    cuda = rig.device.type == "cuda"
    attention = _attends(rig)
    device = rig.device.type
    half = Change(
        "bfloat16 autocast",
        "precision=bfloat16"
        if work.settings
        else f'with torch.autocast("{device}", torch.bfloat16): the forward pass and the loss',
        autocast=True,
    )
    explicit = Change(
        "attention computed step by step",
        "with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH): the step",
        (lambda: sdpa_kernel(SDPBackend.MATH),),
    )
    products = _products(work, cuda)
    if work.usual.zero:
        yield Change(UNSET, "optimizer.zero_grad(), without set_to_none=False")
    if work.anomaly:
        calm = (lambda: torch.autograd.set_detect_anomaly(False),)
        yield Change(CALM, "torch.autograd.set_detect_anomaly(False)", calm)
    if not work.half:
        yield half
    if products is not None:
        yield products
    if attention and not cuda:
        yield explicit
        if not work.half:
            yield half.joined(explicit)
        if products is not None:
            yield products.joined(explicit)
    if _convolves(rig) and not _lies_so(rig):
        line = (
            "memory_format=channels_last"
            if work.settings
            else "model.to(memory_format=torch.channels_last), and the same of each batch of pictures"
        )
        yield Change("channels_last", line, layout=True)
        if not work.half:
            yield half.joined(Change("channels_last", line, layout=True))
    name = next((type(o).__name__ for o in rig.optimizers if _may_fuse(o)), "")
    if name:
        yield Change("fused optimiser", f"torch.optim.{name}(..., fused=True)", options={"fused": True})
    if work.usual.item:
        yield Change(
            "no .item() at each step", "read the loss every 50 steps or so: total += loss.detach()", item=False
        )
    if cuda:
        yield Change("torch.compile", "model = torch.compile(model)", compiled=True)
    else:
        yield from _threads(work)
    if work.larger is not None and _enough(work):
        line = f"batch_size={TIMES * work.rows}; then find the learning rate anew"
        yield Change(f"{TIMES} times the rows a step", line, rows=TIMES, apart=True)


def _products(work: Work, cuda: bool) -> Change | None:
    if cuda:
        if torch.get_float32_matmul_precision() != "highest":
            return None
        return Change("TF32 products", 'torch.set_float32_matmul_precision("high")', (_tf32,))
    if not torch.backends.mkldnn.is_available() or by_onednn() or work.onednn:
        return None
    how = "products=onednn" if work.settings else 'torch.backends.mkldnn.matmul.fp32_precision = "bf16"'
    return Change("products by oneDNN", how, (onednn_products,))


@contextmanager
def _tf32() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _threads(work: Work) -> Iterator[Change]:
    now = torch.get_num_threads()
    cores = usable_cores()
    for count in sorted({1, max(1, cores // 2), cores} - {now}):
        s = "" if count == 1 else "s"
        how = f"threads={count}" if work.settings else f"torch.set_num_threads({count})"
        yield Change(f"{count} thread{s}, not {now}", how, (_with_threads(count),))


def _with_threads(count: int) -> Callable[[], AbstractContextManager[Any]]:
    @contextmanager
    def within() -> Iterator[None]:
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    return within


class _Heard(TorchFunctionMode):
    """Is torch's attention called?"""

    def __init__(self) -> None:
        super().__init__()
        self.yes = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.yes |= func is scaled_dot_product_attention
        return func(*args, **(kwargs or {}))


def _attends(rig: Rig) -> bool:
    with aside(), _Heard() as heard:
        rig.loss()
    fast = (nn.MultiheadAttention, nn.TransformerEncoderLayer)  # they may call it below Python
    return heard.yes or any(isinstance(m, fast) for model in rig.models for m in model.modules())


def _convolves(rig: Rig) -> bool:
    if rig.work.settings:
        return folds_pictures(rig.models[0], rig.batches[0])
    return any(isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for model in rig.models for m in model.modules())


def _lies_so(rig: Rig) -> bool:
    """Are the pictures of a run, or the weights of a script's convolutions, channels_last already?"""
    if rig.work.settings:
        return rig.work.usual.layout
    weights = [m.weight for model in rig.models for m in model.modules() if isinstance(m, nn.Conv2d)]
    wide = [w for w in weights if w.shape[1] > 1 and w.shape[2] > 1]
    return bool(wide) and all(w.is_contiguous(memory_format=torch.channels_last) for w in wide)


def _may_fuse(optimizer: torch.optim.Optimizer) -> bool:
    plain = all(
        p.is_floating_point() and p.device.type in ("cpu", "cuda") for g in optimizer.param_groups for p in g["params"]
    )
    group = optimizer.param_groups[0]
    return type(optimizer) in FUSED and plain and not group.get("fused") and not group.get("differentiable")


def _enough(work: Work) -> bool:
    """Are there rows for a larger batch?"""
    try:
        return bool(work.larger and work.larger(TIMES))
    except ValueError:
        return False

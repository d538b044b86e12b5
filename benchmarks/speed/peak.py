"""Part `peak`: the share of what this machine can multiply and add that each work's step comes to."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed import steps
from benchmarks.speed.page import DASH, Figures, Keep, forget
from benchmarks.speed.turns import ask
from benchmarks.speed.works import ALL, BY_NAME, Work

TITLE = "Share of the peak"
ABOUT = [
    "Floating-point operations of a step (torch's counter over forward and backward; a multiplication and an addition",
    "are two; of the LSTM four gates a place, three times), over the step's time, over the fastest matrix product that",
    "torch makes here, in float32 and in bfloat16, of the sizes 512 to 2048, measured in the same call.",
]
SIZES = (512, 1024, 2048)


def products(asked: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The worker's side: GFLOP/s of square products in both formats, the best of some sizes and turns."""
    return {name: max(_rate(size, getattr(torch, name)) for size in SIZES) for name in ("float32", "bfloat16")}


def _rate(size: int, dtype: torch.dtype) -> float:
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    out = a @ b
    best = float("inf")
    for _ in range(7):
        began = time.perf_counter()
        torch.mm(a, b, out=out)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best / 1e9


def flops(work: Work) -> float:
    """Of one step, forward and backward."""
    if work.flops is not None:
        return work.flops
    rows = work.rows(work.batch, Path())
    network = work.first_network()
    assert rows.x is not None and rows.y is not None
    # The counter knows no fused attention on a CPU.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        work.loss(network(rows.x), rows.y).backward()
    return float(counter.get_total_flops())


def run(
    names: Sequence[str], tools: Sequence[str], rounds: int, more: dict[str, Any], keep: Keep = forget
) -> list[Figures]:
    works = [BY_NAME[name] for name in names] or [work for work in ALL if work.core]
    ours = [name for name in ("glia", "glia-float32", "plain") if name in tools]
    found, loads = steps.measured(works, ours, rounds, more)
    peaks = [ask({"task": "peak"}) for _ in range(rounds)]
    best = {name: max(one[name] for one in peaks) for name in ("float32", "bfloat16")}
    what = Figures("Fastest matrix product, GFLOP/s", ["format", "GFLOP/s"])
    what.rows = [[name, f"{rate:.0f}"] for name, rate in best.items()]
    titles = {"glia": "glia", "glia-float32": "glia, float32", "plain": "plain loop"}
    columns = ["work", "GFLOP a step", *(f"{titles[n]}, of {f}" for n in ours for f in best), "load"]
    table = Figures("Share of the peak", columns)
    for work in works:
        count, row = flops(work), []
        for name in ours:
            ms = steps.our_time(found[work.name], name, "ms")
            row += [DASH if ms is None else f"{count / (ms / 1000) / 1e9 / rate:.1%}" for rate in best.values()]
        table.rows.append([work.title, f"{count / 1e9:.4g}", *row, f"{loads[work.name]:.1f}"])
    return [what, table]

"""Hostile files: an audit hook watches while the command line opens them, and nothing of them may run or be written."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from glia.torture.result import Result
from torture.traps import PHOTOS, QUIET, RUN, TABLE, Trap, all_traps
from torture.watched import CANARY, Job, Outcome, outcomes

NAME = "hostile"
PROMISE = (
    "A hostile file of data, weights, settings or a whole run folder runs nothing and writes nothing: one line, exit 2."
)
SMALL, LARGE = 60, 1_000
SLOW = 15.0  # seconds


def run(count: int, folder: Path, tell: Callable[[str], None]) -> Result:
    """Set up to `count` different traps, one after another, each beside a good run, and step into them."""
    began, traps = time.monotonic(), all_traps()[:count]
    goods = prepare(folder / "goods")
    work = folder / "work"
    failed: list[str] = []
    slowest = 0.0
    found = outcomes(_jobs(traps, goods, work), folder / "temporary")
    for number, (trap, outcome) in enumerate(zip(traps, found)):
        failed += [f"{trap.name}: {wrong}" for wrong in faults(trap, outcome, work)]
        slowest = max(slowest, outcome.seconds)
        tell(f"{number + 1} of {len(traps)}, {len(failed)} failed")
    found.close()
    figures = {"slowest": f"{slowest:.1f} s"}
    return Result(NAME, PROMISE, len(traps), tuple(failed), time.monotonic() - began, figures)


def prepare(goods: Path) -> Path:
    """A good run of a small table, its table, and a folder of pictures."""
    goods.mkdir(parents=True)
    draw = np.random.default_rng(0)
    cells = draw.random((60, 2))
    lines = [f"{a:.3f},{b:.3f},{'uv'[int(a + b > 1)]}\n" for a, b in cells]
    (goods / TABLE).write_text("a,b,y\n" + "".join(lines))
    for name, shade in (("dark", 40), ("light", 200)):
        (goods / PHOTOS / name).mkdir(parents=True)
        for number in range(8):
            pixels = (draw.integers(-30, 30, (16, 16, 3)) + shade).astype(np.uint8)
            Image.fromarray(pixels).save(goods / PHOTOS / name / f"{number}.png")
    words = ["train", TABLE, "--target", "y", "model=mlp", "hidden=4", "--name", Path(RUN).name, *QUIET]
    code = "from glia.cli.main import main; main()"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code, *words], cwd=goods, check=True, env=environment)
    return goods


def _jobs(traps: list[Trap], goods: Path, work: Path) -> Iterator[Job]:
    """Each trap is set when its turn comes: what is outside of its folder is made anew too."""
    for trap in traps:
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(goods, work / "case")
        (work / "outside").mkdir()
        (work / "outside" / "secret").write_text("secret")
        Image.new("RGB", (8, 8)).save(work / "outside" / "secret.png")
        trap.set(work / "case")
        kept[:] = [listing(work / "outside")]
        allowed = ["runs", "p.csv", "w.safetensors"]
        drafts = [f".{name}.*.tmp" for name in allowed[1:]]
        yield Job(list(trap.argv), str(work / "case"), [str(work / "case" / one) for one in allowed + drafts], SLOW * 2)


kept: list[dict[str, bytes]] = []
"""What lay outside before the last trap was stepped into."""


def listing(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with what it holds; of huge ones the size."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        if path.stat().st_size < 1 << 20
        else str(path.stat().st_size).encode()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def faults(trap: Trap, outcome: Outcome, work: Path) -> Iterator[str]:
    """What went wrong, a line each."""
    lines = [line for line in outcome.said.splitlines() if line.strip()]
    if outcome.seen:
        yield f"the hook saw {'; '.join(outcome.seen[:3])}"
    if outcome.code not in trap.codes:
        yield f"exit code {outcome.code} after {outcome.seconds:.0f} s: {lines[-1][:200] if lines else 'nothing said'}"
    elif outcome.code and (len(lines) != 1 or not lines[0].startswith("glia: ")):
        yield f"{len(lines)} lines, the last one {lines[-1][:200] if lines else ''!r}"
    if any("Traceback" in line for line in lines):
        yield "a traceback"
    if outcome.seconds > SLOW:
        yield f"{outcome.seconds:.0f} s"
    if list(work.rglob(CANARY)):
        yield "the canary was touched"
    if listing(work / "outside") != kept[0]:
        yield "something outside changed"

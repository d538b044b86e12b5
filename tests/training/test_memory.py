"""What is freed within a step and between steps; in processes of their own, for it hangs on all that was before."""

import gc
import os
import platform
import subprocess
import sys

import pytest

from glia.training import memory

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no glibc")

STEPS = """
import resource
import torch
from torch import nn
from glia.data.batches import Batches
from glia.training.loop import fit

x, y = torch.randn(320, 3, 32, 32), torch.randint(10, (320,))
body = nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(25088, 10)
def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6

faults = [resource.getrusage(resource.RUSAGE_SELF).ru_minflt]
for moment in fit(nn.Sequential(*body), (Batches(x, y, torch.arange(320)), None), epochs=3, batch_size=32):
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    within = held()
print((faults[-3] - faults[-13]) / 10, within - held())
"""


def of_steps(**environment: str) -> tuple[float, float]:
    """Pages that the system had to clear for a step of the last epoch, and MB that went back after training."""
    command = [sys.executable, "-c", STEPS]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | environment)
    pages, back = map(float, done.stdout.split())
    return pages, back


def test_a_step_gets_the_memory_of_the_one_before() -> None:
    ours, back = of_steps()
    # As somebody asked for: each block of its own, which goes back when it is freed.
    theirs, _ = of_steps(MALLOC_MMAP_THRESHOLD_="65536")
    assert ours < 1000 < 5000 < theirs
    assert back > 10  # once training is over


def test_holes_between_tensors_are_given_back() -> None:
    """A process of its own: what this one holds hangs on the tests before."""
    program = """
import torch
from glia.training.memory import give_back

def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6

kept = []
for _ in range(400):  # holes of 100 kB, too small for maps of their own
    hole = torch.ones(25_000)
    kept.append((hole, torch.ones(1_000)))
kept = [small for _, small in kept]
del hole
before = held()
give_back()
print(before - held())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 20


def test_what_was_there_before_is_not_gone_through_for_cycles() -> None:
    kept = gc.get_freeze_count()
    with memory.settled():
        assert gc.get_freeze_count() > 10_000
        inside = gc.get_freeze_count()
        with memory.settled():  # a training inside another changes nothing
            assert gc.get_freeze_count() == inside
        assert gc.get_freeze_count() == inside
    assert gc.get_freeze_count() == kept

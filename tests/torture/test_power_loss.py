"""What a save acknowledged survives every loss of power; and every fsync is needed for that."""

import os
import tempfile
from pathlib import Path
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from torture import power_loss
from torture.forgetful import Forgetful
from torture.power_loss import ACTIONS, History

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
SEEDS = st.integers(0, 10_000).map(Random)
ACTION = st.sampled_from(ACTIONS)


class PowerLoss(RuleBasedStateMachine):
    """Saves, kills and losses of power in any order; `History` raises where something acknowledged is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY)
        self.history = History(Path(self.folder.name) / "disk")

    @rule(action=ACTION, random=SEEDS)
    def save(self, action: str, random: Random) -> None:
        self.history.act(action, random)

    @rule(action=ACTION, random=SEEDS, kill_at=st.integers(0, 30), power=st.booleans())
    def save_and_be_cut_off(self, action: str, random: Random, kill_at: int, power: bool) -> None:
        self.history.act(action, random, kill_at, power=power)

    @rule(random=SEEDS)
    def lose_power(self, random: Random) -> None:
        self.history.lose_power(random)

    @rule(random=SEEDS)
    def kill(self, random: Random) -> None:
        self.history.kill(random)

    def teardown(self) -> None:
        self.history.lose_power(Random(0))
        self.history.close()
        self.folder.cleanup()


TestPowerLoss = PowerLoss.TestCase
TestPowerLoss.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


def test_every_fsync_is_needed() -> None:
    """Each place that asks for an fsync, left out, must lose something in one of the histories."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        sites = set().union(*(power_loss.history(Path(folder, "disk"), seed) for seed in range(40)))
        assert len(sites) >= 15
        found = power_loss.mutants(Path(folder, "disk"), sites, 400)
    assert all(found.values()), [site for site, at in found.items() if not at]


def test_the_model_forgets_what_was_not_synced(tmp_path: Path) -> None:
    """By hand: a synced file whose name is not, a name whose file is not."""
    seen = set()
    for seed in range(40):
        disk = Forgetful(tmp_path / "disk")
        one = disk.open(disk.root / "one", os.O_WRONLY | os.O_CREAT)
        disk.write(one, memoryview(b"1" * 5000))
        disk.fsync(one)
        root = disk.open(disk.root, os.O_RDONLY)
        disk.fsync(root)
        two = disk.open(disk.root / "two", os.O_WRONLY | os.O_CREAT)
        disk.write(two, memoryview(b"2" * 5000))
        disk.rename(disk.root / "two", disk.root / "one")
        disk.lose_power(Random(seed))
        seen.add((disk.root / "one").read_bytes() if (disk.root / "one").exists() else None)
    whole, zeros = b"2" * 5000, b"\0" * 4096
    assert {b"1" * 5000, whole, b""} <= seen and None not in seen
    assert any(content and content.startswith(zeros) for content in seen if content)

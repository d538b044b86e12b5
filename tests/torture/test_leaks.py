"""Leaks: small numbers of the experiment; and that each kind of leak would be seen."""

from pathlib import Path

import pytest
import torch

from torture.leaks import WORK, Held, grown, watched

WARMING_KB = 20_000.0  # four repeats are all warm-up: here files, threads, tensors and hooks are what counts


@pytest.mark.parametrize("name", ["epochs", "table runs", "runs with charts", "predictions", "listening"])
def test_nothing_grows(name: str, tmp_path: Path) -> None:
    assert not grown(watched(WORK[name](tmp_path / "work"), 4, WARMING_KB), WARMING_KB)


def test_a_leak_of_each_kind_is_seen(capsys: pytest.CaptureFixture[str]) -> None:
    kept: list[object] = []
    files = []

    def tensors() -> None:
        kept.append(torch.ones(2_000_000))

    def opened() -> None:
        files.append(open(__file__, "rb"))  # noqa: SIM115 - left open on purpose

    assert any("memory" in line for line in grown(watched(tensors, 6)))
    assert "test_leaks.py" in capsys.readouterr().out
    assert any("files" in line for line in grown(watched(opened, 6)))
    for one in files:
        one.close()
    assert grown([Held(1.0, 3, 1, 5, n) for n in range(4)]) == ["hooks grow from 2 to 3 in 2 repeats"]

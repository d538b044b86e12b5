"""The hashes of a run: what they see, what a kill leaves of them, what they cost."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from glia.errors import DamagedError
from glia.runs import hashes, seals
from glia.runs.hashes import Hashes
from glia.runs.verify import damaged


def state(*, shift: float = 0.0) -> dict[str, Any]:
    model = {"weight": torch.arange(6.0).view(2, 3) + shift, "none": torch.empty(0), "count": torch.tensor(3)}
    moments = {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(2, 3)}}
    return {"model": model, "optimizer": {"state": moments, "param_groups": [{"lr": 0.1}]}, "best": {"weights": model}}


def test_a_hash_is_of_type_shape_and_every_bit() -> None:
    one = torch.tensor([1.0, 2.0])
    assert hashes.hash_of(one) == hashlib.sha256(b"torch.float32 (2,)" + one.numpy().tobytes()).hexdigest()[:16]
    others = [
        one.view(2, 1),
        one.double(),
        one.bfloat16(),
        torch.nextafter(one, one + 1),
        -one,
        torch.tensor([2.0, 1.0]),
    ]
    assert len({hashes.hash_of(tensor) for tensor in (one, *others)}) == 7
    assert hashes.hash_of(torch.arange(6.0).view(2, 3).t()) == hashes.hash_of(torch.arange(6.0).view(2, 3).t().clone())
    assert hashes.hash_of(torch.tensor([0.0])) != hashes.hash_of(torch.tensor([-0.0]))


def test_what_is_written_is_read_and_a_kill_takes_the_last_line_at_most(tmp_path: Path) -> None:
    writer = Hashes(tmp_path, 2, state()["model"])
    writer.take(1, 5, state, last=True)
    writer.take(2, 9, lambda: state(shift=1.0), last=True)
    writer.close()
    found = hashes.read(tmp_path)
    assert list(found) == [0, 5, 9] and "model.weight" in found[0]
    assert {name for name in found[5] if found[5][name] != found[9][name]} == {"model.weight"}
    assert "optimizer.state.0.exp_avg" in found[5] and not any(name.startswith("best") for name in found[5])
    whole = (tmp_path / hashes.NAME).read_bytes()
    for end in range(len(whole)):
        (tmp_path / hashes.NAME).write_bytes(whole[:end])
        assert all(found[step] == value for step, value in hashes.read(tmp_path).items())
    (tmp_path / hashes.NAME).write_bytes(whole[:-20])
    again = Hashes(tmp_path, 2, None, kept=5)
    again.take(2, 9, lambda: state(shift=1.0), last=True)
    again.close()
    assert hashes.read(tmp_path) == found


def test_a_changed_hash_is_damage_and_not_another_run(tmp_path: Path) -> None:
    writer, path = Hashes(tmp_path, 2, state()["model"]), tmp_path / hashes.NAME
    writer.take(1, 5, state, last=True)
    writer.take(2, 9, state, last=True)
    seals.note(tmp_path, (writer.log,))
    writer.close()
    Hashes(tmp_path, 2, None, kept=5).close()  # a run that goes on; nothing of it is sealed yet, but what is kept is
    whole = path.read_bytes()
    assert list(hashes.read(tmp_path)) == [0, 5] and damaged(tmp_path) == []
    path.write_bytes(whole.replace(b'"hashes": ["', b'"hashes": ["f', 1))
    assert damaged(tmp_path) == [hashes.NAME]
    with pytest.raises(DamagedError, match=r"hashes\.jsonl is damaged"):
        hashes.read(tmp_path)
    with pytest.raises(DamagedError, match="move it away"):
        Hashes(tmp_path, 2, None, kept=5)
    path.unlink()
    Hashes(tmp_path, 2, None, kept=5).close()
    assert hashes.read(tmp_path) == {} and damaged(tmp_path) == []


def test_hashing_takes_its_share_of_the_time_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def slow(given: dict[str, Any]) -> dict[str, str]:
        now[0] += 1.0  # seconds
        return {"model.weight": "0" * 16}

    monkeypatch.setattr(hashes.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(hashes, "hashes", slow)
    writer = Hashes(tmp_path, 100, {})
    for epoch in range(1, 101):
        now[0] += 10.0
        writer.take(epoch, epoch, dict, last=epoch == 100)
    writer.close()
    written = list(hashes.read(tmp_path))
    assert written[0] == 0 and written[-1] == 100
    assert 5 <= len(written) <= 2 + 0.01 * now[0], written

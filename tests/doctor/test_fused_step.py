"""One kernel for Adam's step in a trial: the oracle is torch's own step of one tensor at a time."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from glia.doctor import trial
from glia.doctor.trial import _fused
from tests.doctor.test_trial import network, script, trials

Made = Callable[[nn.Module], torch.optim.Optimizer]
STEPPERS: dict[str, Made] = {
    "Adam": lambda model: torch.optim.Adam(model.parameters(), 3e-3, weight_decay=1e-3),
    "AdamW": lambda model: torch.optim.AdamW(model.parameters(), 3e-3, amsgrad=True),
}


@pytest.mark.parametrize("name", STEPPERS)
@pytest.mark.parametrize("change", [{}, {"lr": 0.01}, {"clip_norm": 0.5}], ids=["none", "lr", "clip"])
def test_a_trial_comes_to_the_same_numbers(name, change, monkeypatch):
    chart = script(optimizer=STEPPERS[name], epochs=6)
    asked: list[dict[str, Any]] = []
    before = trial._fused
    monkeypatch.setattr(trial, "_fused", lambda *a: asked.extend(before(*a)) or before(*a))
    quick = trials(chart).attempt(change)
    monkeypatch.setattr(trial, "_fused", lambda kind, groups: groups)
    plain = trials(chart).attempt(change)
    assert [group["fused"] for group in asked] == [True]
    assert quick.steps == plain.steps == 36 and not quick.error
    assert quick.last_loss == pytest.approx(plain.last_loss, abs=1e-5)
    assert quick.first_loss == plain.first_loss and quick.last_loss < quick.first_loss
    assert quick.skill == pytest.approx(plain.skill, abs=1e-5)


def groups_of(model: nn.Module, **options: Any) -> list[dict[str, Any]]:
    return [{"params": list(model.parameters()), "lr": 0.1, **options}]


def test_what_the_kernel_cannot_take_or_the_script_chose_stays():
    class Own(torch.optim.Adam):
        """It may step in its own way."""

    net, adam = network(), torch.optim.Adam
    assert _fused(adam, groups_of(net, foreach=None))[0]["fused"] is True
    assert "fused" not in _fused(Own, groups_of(net))[0]
    assert "fused" not in _fused(torch.optim.SGD, groups_of(net))[0]
    assert "fused" not in _fused(adam, groups_of(net, foreach=False))[0]
    assert _fused(adam, groups_of(net, fused=False))[0]["fused"] is False
    assert "fused" not in _fused(adam, groups_of(net, differentiable=True))[0]
    assert "fused" not in _fused(adam, groups_of(nn.Linear(2, 2, device="meta")))[0]
    assert "fused" not in _fused(adam, groups_of(nn.Conv2d(2, 2, 3).to(memory_format=torch.channels_last)))[0]

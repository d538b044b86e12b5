"""Optimizers without the import of torch's compiler: the same numbers, and the compiler works when somebody asks."""

import subprocess
import sys
from typing import Any
from unittest import mock

import pytest
import torch
from torch import nn

from glia.optim import bare as bared
from glia.optim.bare import bare, new

KINDS = {"SGD": {"momentum": 0.9}, "Adam": {}, "AdamW": {"fused": True}, "RMSprop": {}, "Adagrad": {}, "NAdam": {}}


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that never imported it, which this one may have."""
    monkeypatch.setattr(bared, "_COMPILER", "no such module")


def trained(kind: str, *, short: bool) -> dict[str, Any]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    make = getattr(torch.optim, kind)
    groups = [{"params": list(model[0].parameters()), "lr": 0.02}, {"params": list(model[2].parameters())}]
    optimizer = (new if short else lambda cls, *args, **options: cls(*args, **options))(make, groups, **KINDS[kind])
    asked = bare if short else lambda method: method
    for step in range(5):
        asked(optimizer.zero_grad)()
        model(torch.ones(2, 3) * step).square().sum().backward()
        asked(optimizer.step)()
        if step == 2:
            asked(optimizer.load_state_dict)(asked(optimizer.state_dict)())
    assert all(p.requires_grad and p.grad_fn is None for p in model.parameters())
    assert "add_param_group" not in vars(optimizer)
    return {"weights": model.state_dict(), "state": optimizer.state_dict()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_are_the_optimizers_own(kind: str) -> None:
    ours, theirs = trained(kind, short=True), trained(kind, short=False)
    torch.testing.assert_close(ours["weights"], theirs["weights"], rtol=0, atol=0)
    torch.testing.assert_close(ours["state"]["state"], theirs["state"]["state"], rtol=0, atol=0)
    assert ours["state"]["param_groups"] == theirs["state"]["param_groups"]


def test_hooks_of_a_step_run_in_their_order_and_closures_have_gradients() -> None:
    p, seen = nn.Parameter(torch.ones(1)), list[str]()
    optimizer = new(torch.optim.SGD, [p], lr=0.1)
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))

    def closure() -> torch.Tensor:
        seen.append(f"within {torch.is_grad_enabled()}")
        p.grad = torch.ones(1)
        return p.sum()

    assert bare(optimizer.step)(closure).item() == 1
    assert seen == ["before", "within True", "after"]
    assert p.item() == pytest.approx(0.9)


def test_what_somebody_wrapped_or_wrote_stays_as_it_is() -> None:
    p = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([p], lr=0.1)
    with mock.patch.object(optimizer, "step") as asked:
        bare(optimizer.step)()
    asked.assert_called_once_with()
    with mock.patch.object(torch.optim.SGD, "zero_grad", autospec=True) as cleared:
        bare(optimizer.zero_grad)()
    cleared.assert_called_once_with(optimizer)
    differentiable = torch.optim.SGD([p], lr=0.1, differentiable=True)
    assert bare(differentiable.step) == differentiable.step
    torch.optim.lr_scheduler.StepLR(optimizer, 1)  # it wraps the step of this one to count it
    assert bare(optimizer.step) is optimizer.step


def test_errors_of_a_constructor_come_through() -> None:
    with pytest.raises(ValueError, match="Invalid learning rate"):
        new(torch.optim.SGD, [nn.Parameter(torch.ones(1))], lr=-1.0)
    with pytest.raises(ValueError, match="empty parameter list"):
        new(torch.optim.Adam, [])


def test_a_training_imports_no_compiler_and_compiling_works_afterwards() -> None:
    code = (
        "import sys, torch\n"
        "from torch import nn\n"
        "import glia\n"
        "x, y = torch.randn(64, 3), torch.randint(0, 2, (64,))\n"
        "model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))\n"
        "moments = list(glia.fit(model, [(x, y)] * 2, epochs=1))\n"
        "moments[-1].snapshot()\n"
        "assert 'torch._dynamo' not in sys.modules\n"
        "optimizer = torch.optim.AdamW(model.parameters())\n"
        "made = []\n"
        "def seen(graph, inputs):\n"
        "    made.append(graph)\n"
        "    return graph\n"
        "@torch.compile(backend=seen)\n"
        "def step(x):\n"
        "    optimizer.zero_grad()\n"
        "    model(x).sum().backward()\n"
        "    optimizer.step()\n"
        "step(x)\n"
        "assert made, 'nothing was compiled'\n"
        "list(glia.fit(torch.compile(model, backend=seen), [(x, y)], epochs=1))\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr

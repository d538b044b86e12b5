"""Verdicts: on what fails, the right cause first and its cure tried; silence on what is well, or only hard."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import glia
from glia.doctor.examine import examine
from glia.doctor.finding import Finding
from glia.doctor.judge import diagnose, says
from glia.vitals.chart import Chart

GENERATOR = torch.Generator().manual_seed(33)
ROWS = 400
X = torch.randn(ROWS, 8, generator=GENERATOR)
CLASSES = (X @ torch.randn(8, 4, generator=GENERATOR)).argmax(1)
NUMBER = (X[:, :1] * 2 - X[:, 1:2] + X[:, 2:3] * X[:, 3:4]) / 2.5
TRAIN, HELD = 300, slice(300, ROWS)
Loss = Callable[[Tensor, Tensor], Tensor]


def network(
    hidden: Callable[[], nn.Module] = nn.ReLU, last: nn.Module | None = None, outputs: int = 4, depth: int = 2
) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for wide in [8] + [32] * (depth - 1):
            layers += [nn.Linear(wide, 32), hidden()]
        return nn.Sequential(*layers, nn.Linear(32, outputs), *([last] if last is not None else []))


def adam(model: nn.Module, lr: float = 1e-2) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr)


def sgd(lr: float) -> Callable[[nn.Module], torch.optim.Optimizer]:
    return lambda model: torch.optim.SGD(model.parameters(), lr)


def script(
    model: nn.Module | None = None,
    optimizer: Callable[[nn.Module], torch.optim.Optimizer] = adam,
    loss: Loss = F.cross_entropy,
    x: Tensor = X,
    y: Tensor = CLASSES,
    *,
    epochs: int = 15,
    clear: bool = True,
    shuffle: bool = True,
) -> Chart:
    model = model or network()
    stepper, generator = optimizer(model), torch.Generator().manual_seed(1)
    with torch.random.fork_rng(devices=[]), glia.listen() as chart:
        torch.manual_seed(2)
        for _ in range(epochs):
            model.train()
            order = torch.randperm(TRAIN, generator=generator) if shuffle else torch.arange(TRAIN)
            for rows in order.split(32):
                if clear:
                    stepper.zero_grad()
                loss(model(x[rows]), y[rows]).backward()
                stepper.step()
            model.eval()
            with torch.no_grad():
                loss(model(x[HELD]), y[HELD])
    return chart


def alarms(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.alarms]


def onehot(o: Tensor, y: Tensor) -> Tensor:
    return F.mse_loss(o, F.one_hot(y, 4).float())


def zeroed(model: nn.Module) -> nn.Module:
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model


def scaled(x: Tensor) -> Tensor:
    return x * torch.tensor([1e-3, 1e4, 1.0, 300.0, 1e-2, 5e3, 1.0, 1e4]) + 2e4


FAILING: dict[str, tuple[Callable[[], Chart], set[str]]] = {
    "a rate far too low": (lambda: script(optimizer=sgd(1e-7)), {"lr_too_low"}),
    "a rate far too high": (lambda: script(optimizer=lambda m: adam(m, 30.0)), {"lr_too_high"}),
    "a flipped sign": (lambda: script(loss=lambda o, y: -F.cross_entropy(o, y)), {"flipped_loss_sign"}),
    "a relu before negative numbers": (
        lambda: script(network(nn.Tanh, last=nn.ReLU(), outputs=1), loss=F.mse_loss, y=NUMBER - 3),
        {"wrong_output_activation"},
    ),
    "inputs of all scales": (
        lambda: script(network(nn.Tanh), sgd(0.05), x=scaled(X)), {"data_not_normalised"},
    ),
    "weights of zero": (lambda: script(zeroed(network()), sgd(0.1)), {"wrong_init"}),
    "deep sigmoids": (
        lambda: script(network(nn.Sigmoid, depth=7), sgd(0.1)),
        {"wrong_hidden_activation", "vanishing_gradient_architecture", "too_many_layers"},
    ),
    "targets of a large scale": (
        lambda: script(network(outputs=1), sgd(1e-3), F.mse_loss, y=NUMBER * 1e4 + 1e5),
        {"target_not_normalised", "lr_too_high"},
    ),
    "gradients never cleared": (lambda: script(optimizer=sgd(0.5), clear=False), {"missing_zero_grad"}),
    "dropout of nearly all": (
        lambda: script(network(lambda: nn.Sequential(nn.ReLU(), nn.Dropout(0.97)), depth=3)), {"dropout_too_high"},
    ),
}  # fmt: skip
HEALTHY: dict[str, Callable[[], Chart]] = {
    "classes": script,
    "numbers": lambda: script(network(outputs=1), loss=F.mse_loss, y=NUMBER, epochs=40),
    "sgd, tanh, a little dropout": lambda: script(
        network(lambda: nn.Sequential(nn.Tanh(), nn.Dropout(0.1))), sgd(0.3), epochs=40
    ),
    "log-probabilities": lambda: script(network(last=nn.LogSoftmax(1)), loss=F.nll_loss),
}


@pytest.mark.parametrize("name", FAILING)
def test_the_cause_comes_first_and_its_cure_is_proved(name):
    program, causes = FAILING[name]
    chart = program()
    verdict = diagnose(chart, trial_seconds=10.0)
    found = alarms(verdict.findings)
    assert found and found[0].cause in causes, [(f.code, f.cause) for f in verdict.findings]
    trial = found[0].remedies[0].trial
    assert trial is not None and trial.steps > 0 and trial.seeds >= 1
    assert math.isnan(trial.before) or trial.after > trial.before
    assert found[0].remedies[0].change and verdict.trials > 0 and verdict.seconds > 0


@pytest.mark.parametrize("name", HEALTHY)
def test_silence_on_what_is_well(name):
    chart = HEALTHY[name]()
    assert next(s.skill for s in chart.scores if s.part == "valid") > 0.7
    assert alarms(diagnose(chart, trial_seconds=5.0).findings) == []


def test_silence_on_what_is_only_hard():
    generator = torch.Generator().manual_seed(5)
    flip = torch.rand(ROWS, generator=generator) < 0.4
    noisy = torch.where(flip, torch.randint(0, 4, (ROWS,), generator=generator), CLASSES)
    chart = script(network(depth=1), sgd(0.1), y=noisy)
    assert 0.25 < next(s.skill for s in chart.scores if s.part == "valid") < 0.6
    assert alarms(diagnose(chart, trial_seconds=5.0).findings) == []


def test_evidence_that_cures_is_not_driven_out_by_more_steps():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        x = torch.randn(600, 20)
        y = (x @ torch.randn(20, 5)).argmax(1)
        model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 5), nn.Softmax(dim=1))
        optimizer = sgd(0.1)(model)
        with glia.listen() as chart:
            for _ in range(20):
                for rows in torch.randperm(480).split(32):
                    optimizer.zero_grad()
                    F.cross_entropy(model(x[rows]), y[rows]).backward()
                    optimizer.step()
                with torch.no_grad():
                    F.cross_entropy(model(x[480:]), y[480:])
    found = alarms(diagnose(chart, trial_seconds=20.0).findings)
    assert found and found[0].cause == "wrong_output_activation", [(f.code, f.cause) for f in found]


def test_what_is_wrong_by_itself_is_told_though_the_run_does_well():
    x = torch.cat([X, F.one_hot(CLASSES, 4).float()[:, :1]], 1)
    x[300:, :8] = x[:100, :8]
    y = torch.cat([CLASSES[:300], CLASSES[:100]])
    x[300:, 8] = x[:100, 8]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(9, 32), nn.ReLU(), nn.Linear(32, 4))
    chart = script(model, x=x, y=y, epochs=30)
    assert next((s.skill for s in chart.scores if s.part == "valid"), 1.0) > 0.7
    sure = [f for f in examine(chart) if f.sure and f.alarms]
    assert "data_leak" in {f.cause for f in sure}
    told = diagnose(chart, trial_seconds=3.0).findings
    assert {f.code for f in sure} <= {f.code for f in told}


@pytest.mark.parametrize("program", [FAILING["a rate far too low"][0], HEALTHY["classes"]])
def test_without_a_budget_it_is_what_examine_says(program):
    chart = program()
    verdict = diagnose(chart, trial_seconds=0)
    assert verdict.findings == examine(chart) and (verdict.trials, verdict.seconds) == (0, 0.0)
    assert all(not finding.remedies for finding in verdict.findings)


def test_without_rows_it_is_what_examine_says():
    chart = FAILING["a rate far too low"][0]()
    chart.bench = None
    assert diagnose(chart).findings == examine(chart)
    assert diagnose(Chart()).findings == []


def test_rules_may_be_left_out():
    chart = FAILING["a flipped sign"][0]()
    first = diagnose(chart, trial_seconds=3.0).findings[0]
    again = diagnose(chart, skip=[first.code], trial_seconds=3.0).findings
    assert first.code not in {f.code for f in again}


def test_alarms_come_before_notes_and_each_rule_once():
    for program, _ in list(FAILING.values())[:3]:
        findings = diagnose(program(), trial_seconds=3.0).findings
        kinds = [finding.alarms for finding in findings]
        assert kinds == sorted(kinds, reverse=True)
        places = [(f.code, f.where) for f in findings]
        assert len(places) == len(set(places))


def test_a_verdict_keeps_to_its_budget_and_touches_nothing():
    chart = script(network(depth=3), sgd(1e-7), epochs=120)
    model = chart.bench.capture.roots[0]
    before, random = [p.clone() for p in model.parameters()], torch.get_rng_state()
    verdict = diagnose(chart, trial_seconds=2.0)
    assert 0 < verdict.seconds < 6.0
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert torch.equal(torch.get_rng_state(), random)


def test_the_same_run_gets_the_same_verdict():
    chart = FAILING["inputs of all scales"][0]()
    first, second = (diagnose(chart, trial_seconds=60.0) for _ in range(2))
    assert [(f.code, f.cause, f.remedies) for f in first.findings] == [
        (f.code, f.cause, f.remedies) for f in second.findings
    ]


def test_remedies_are_plain_data():
    finding = diagnose(FAILING["a rate far too low"][0](), trial_seconds=5.0).findings[0]
    plain = finding.to_dict()
    assert plain["remedies"][0]["trial"]["after"] > plain["remedies"][0]["trial"]["before"]
    assert not any(key.endswith("_times") for remedy in plain["remedies"] for key in remedy["change"])
    assert replace(finding, remedies=()).to_dict()["remedies"][0]["change"] == dict(finding.change)


def test_changes_in_words():
    assert says({"lr": 0.01, "optimizer": "Adam"}) == "lr 0.01, optimizer Adam"
    assert says({"zero_grad": True, "epochs": 40}) == "zero grad on, epochs 40"

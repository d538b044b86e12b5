"""What is shown, in which order, and what is left out."""

import json
from types import SimpleNamespace

import pytest
from fault_pairs import PAIRS, X, Y
from small_programs import mlp, sgd, train
from torch.nn import functional as F

from glia.doctor.examine import examine, modules, rules
from glia.doctor.finding import Finding, Rule
from glia.errors import GliaError
from glia.vitals.chart import Chart, StepVitals

STUCK = Chart(steps=[StepVitals(i, loss=2.3, lr=0.1) for i in range(200)])


def test_an_empty_chart_gives_nothing_and_a_healthy_one_no_alarm():
    model = mlp()
    assert examine(Chart()) == []
    assert [f for f in examine(train(model, sgd(model), (X, Y), F.cross_entropy)) if f.alarms] == []


@pytest.mark.parametrize("name", ["GL301", "gl301", "loss-not-falling"])
def test_a_rule_can_be_left_out_by_code_or_name(name):
    assert [finding.code for finding in examine(STUCK)] == ["GL301"]
    assert examine(STUCK, skip=[name]) == []


def test_an_unknown_rule_is_refused_with_the_nearest_name():
    with pytest.raises(GliaError, match="'loss-not-falling'"):
        examine(STUCK, skip=["loss-not-fallin"])


def test_a_cause_silences_its_symptoms():
    # A run with NaN among its inputs has no loss and no gradients either: one finding says it all.
    found = [f for f in examine(PAIRS["GL104"][0]()) if f.alarms]
    assert [finding.code for finding in found] == ["GL104"]
    assert examine(PAIRS["GL104"][0](), skip=["GL104"])[0].code == "GL302"


def test_explanations_name_rules_that_exist_and_no_two_explain_each_other():
    by_code = {rule.code: rule for rule in rules()}
    assert len(by_code) == len(rules()) == len({rule.name for rule in rules()})
    for rule in rules():
        assert set(rule.explains) <= set(by_code), rule.code
        assert not [code for code in rule.explains if rule.code in by_code[code].explains]


def test_a_symptom_counts_only_in_a_run_that_fails(monkeypatch):
    def told(prior: float, sure: bool = False) -> list[int]:
        rule = Rule("GL999", "x", "lr_too_high")
        finding = rule.finding("warning", "here", {"a": 1}, "why", "cure", safe=True, prior=prior, sure=sure)
        fake = SimpleNamespace(RULE=rule, check=lambda chart: iter([finding]))
        monkeypatch.setattr("glia.doctor.examine.modules", lambda: (fake,))
        return [len(examine(chart)) for chart in (STUCK, falls)]

    falls = Chart(steps=[StepVitals(i, loss=2.3 - i / 100, lr=0.1) for i in range(200)])
    assert told(0.7) == [1, 0]
    assert told(0.3) == [0, 0]
    assert told(0.3, sure=True) == [1, 1]


def test_notes_come_last_and_do_not_explain(monkeypatch):
    rule = Rule("GL104", "nan-in-inputs", "nan_in_data", explains=("GL301",))
    note = rule.finding("note", "here", {"share": 1 / 3}, "why", "cure", safe=True)
    real = [module for module in modules() if module.RULE.code == "GL301"]
    fake = SimpleNamespace(RULE=rule, check=lambda chart: iter([note, note]))
    monkeypatch.setattr("glia.doctor.examine.modules", lambda: (fake, *real))
    assert [(f.code, f.severity) for f in examine(STUCK)] == [("GL301", "warning"), ("GL104", "note")]


def test_a_finding_is_plain_data():
    finding = examine(STUCK)[0]
    assert isinstance(finding, Finding)
    again = json.loads(json.dumps(finding.to_dict(), allow_nan=False))
    assert {"code", "name", "severity", "cause", "where", "evidence", "why", "cure", "safe", "remedies"} <= set(again)
    assert again["figures"]["first_loss"] == 2.3
    assert again["remedies"][0]["change"] == {"lr": 1.0}

"""What is shown, in which order, and what is left out."""

import json

import pytest
from fault_pairs import PAIRS, X, Y
from small_programs import mlp, sgd, train
from torch.nn import functional as F

from glia.doctor.examine import CHECKS, EXPLAINS, examine
from glia.doctor.finding import Finding, Rule
from glia.errors import GliaError
from glia.vitals.chart import Chart, StepVitals

STUCK = Chart(steps=[StepVitals(i, loss=2.3, lr=0.1) for i in range(200)])


def test_an_empty_chart_and_a_healthy_one_give_nothing():
    model = mlp()
    assert examine(Chart()) == []
    assert examine(train(model, sgd(model), (X, Y), F.cross_entropy)) == []


@pytest.mark.parametrize("name", ["GL301", "gl301", "loss-not-falling"])
def test_a_rule_can_be_left_out_by_code_or_name(name):
    assert [finding.code for finding in examine(STUCK)] == ["GL301"]
    assert examine(STUCK, skip=[name]) == []


def test_an_unknown_rule_is_refused_with_the_nearest_name():
    with pytest.raises(GliaError, match="'loss-not-falling'"):
        examine(STUCK, skip=["loss-not-fallin"])


def test_a_cause_silences_its_symptoms():
    # A run with NaN among its inputs has no loss and no gradients either: one finding says it all.
    found = examine(PAIRS["GL104"][0]())
    assert [finding.code for finding in found] == ["GL104"]
    assert examine(PAIRS["GL104"][0](), skip=["GL104"])[0].code == "GL302"


def test_explanations_name_rules_that_exist_and_never_go_in_a_circle():
    codes = {rule.code for rule, _ in CHECKS}
    assert set(EXPLAINS) <= codes and set().union(*EXPLAINS.values()) <= codes
    for cause, symptoms in EXPLAINS.items():
        assert all(cause not in EXPLAINS.get(symptom, ()) for symptom in symptoms)
    assert len(codes) == len(CHECKS) == len({rule.name for rule, _ in CHECKS})


def test_notes_come_last_and_do_not_explain(monkeypatch):
    note = Rule("GL104", "nan-in-inputs").finding("note", "here", {"share": 1 / 3}, "a", "b", safe=True)
    monkeypatch.setattr("glia.doctor.examine.CHECKS", ((Rule("GL104", "x"), lambda chart: iter([note, note])), *CHECKS))
    assert [(f.code, f.severity) for f in examine(STUCK)] == [("GL301", "warning"), ("GL104", "note")]


def test_a_finding_is_plain_data():
    finding = examine(STUCK)[0]
    assert isinstance(finding, Finding)
    again = json.loads(json.dumps(finding.to_dict(), allow_nan=False))
    assert set(again) == {"code", "name", "severity", "where", "evidence", "cause", "cure", "safe"}
    assert again["evidence"]["first_loss"] == 2.3

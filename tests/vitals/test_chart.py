"""Charts from the lines of a run, and by hand."""

import json
import math

from glia.vitals.chart import Chart, LayerVitals, Spread, StepVitals

STEP = {"kind": "step", "step": 3, "epoch": 0, "loss": 0.5, "lr": 0.01, "grad_norm": 2.0}
EPOCH = {
    "kind": "epoch", "epoch": 0, "step": 8, "train_loss": 0.4, "valid_loss": 0.6, "valid_accuracy": 0.9, "lr": 0.01,
    "best": True,
}  # fmt: skip


def test_lines_of_a_run_become_a_chart():
    chart = Chart.from_lines(json.dumps(line) for line in (STEP, EPOCH, {"kind": "remark", "text": "later kinds"}))
    assert chart.steps == [StepVitals(3, 0.5, 0.01, 2.0, epoch=0)]
    assert dict(chart.epochs[0].figures) == {"train_loss": 0.4, "valid_loss": 0.6, "valid_accuracy": 0.9}
    assert (chart.epochs[0].epoch, chart.epochs[0].step, chart.backwards) == (0, 8, 1)


def test_parsed_lines_and_numbers_that_are_not_finite_are_taken_too():
    chart = Chart.from_lines([STEP, json.dumps({**STEP, "loss": math.nan}), b'{"kind": "step", "step": 4}'])
    assert math.isnan(chart.steps[1].loss) and math.isnan(chart.steps[2].lr)


def test_a_line_that_was_cut_short_ends_the_chart():
    whole = json.dumps(STEP)
    assert len(Chart.from_lines([whole, whole[:20], whole]).steps) == 1


def test_two_charts_never_share_their_lists():
    first = Chart()
    first.steps.append(StepVitals(0))
    assert Chart().steps == []


def test_what_has_weights_and_how_large_numbers_are():
    assert LayerVitals(0, "a", "Linear", weight_norm=1.0).weighted
    assert not LayerVitals(0, "a", "ReLU").weighted
    assert not LayerVitals(0, "a", "BatchNorm2d", weight_norm=1.0).weighted
    assert Spread(mean=3.0, std=4.0).rms == 5.0
    assert LayerVitals(0, "", "Linear").place == "the model (Linear)"

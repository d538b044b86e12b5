"""Do you need a network: the standard errors against resampling, the sentences against hand-made runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import adult, houses, labels, penguins

from glia.report.read import Predictions, RunFiles, read_run
from glia.report.verdict import Verdict, judge, rmse_error, share_error


def run_of(accuracy: float, baselines: dict[str, float], rows: int = 1000, **card: Any) -> RunFiles:
    """A measured classifier beside baselines."""
    made = [{"name": name, "test": {"accuracy": value}, "seconds": 0.5} for name, value in baselines.items()]
    metrics = {"test": {"accuracy": accuracy, "balanced_accuracy": 0.6}, "baselines": made}
    task = {"kind": "classify", "targets": ["y"], "classes": ["a", "b"]}
    return RunFiles(Path("run"), metrics=metrics, task=task, card={"parts": {"test": rows}, **card})


def verdict(run: RunFiles) -> Verdict:
    found = judge(run)
    assert found is not None
    return found


def test_share_error_is_the_spread_of_resampled_shares() -> None:
    draw = np.random.default_rng(0)
    shares = draw.binomial(400, 0.9, 200_000) / 400
    assert share_error(0.9, 400) == pytest.approx(shares.std(), rel=0.05)


def test_a_perfect_score_is_not_certain() -> None:
    assert share_error(1.0, 20) > 0.05
    assert share_error(1.0, 2000) < 0.002


@pytest.mark.parametrize("targets", [1, 3])
def test_rmse_error_is_the_spread_of_resampled_rmse(targets: int) -> None:
    draw = np.random.default_rng(1)
    truth = draw.normal(0, 1, (500, targets))
    said = truth + draw.standard_t(6, (500, targets)) * [0.5, 2.0, 1.0][:targets]
    error = rmse_error(Predictions(truth if targets > 1 else truth[:, 0], said))
    squares = (said - truth) ** 2
    resampled = [np.sqrt(squares[draw.integers(0, 500, 500)].mean(axis=0)).mean() for _ in range(4000)]
    assert error == pytest.approx(np.std(resampled), rel=0.1)


def test_a_small_gap_is_no_clear_difference() -> None:
    found = verdict(run_of(0.903, {"majority class": 0.6, "gradient boosting": 0.9}))
    assert found.answer == "unclear"
    assert found.sentences[0] == (
        "The network is 0.3 points better than gradient boosting; "
        "the test set's standard error is 0.9 points: no clear difference."
    )


def test_a_large_gap_is_clear_either_way() -> None:
    assert verdict(run_of(0.95, {"gradient boosting": 0.90})).answer == "yes"
    worse = verdict(run_of(0.90, {"gradient boosting": 0.95, "linear model": 0.99}))
    assert worse.answer == "no" and "worse than a linear model" in worse.sentences[0]


def test_more_rows_make_a_gap_clear() -> None:
    answers = [verdict(run_of(0.92, {"linear model": 0.90}, rows=rows)).answer for rows in (100, 1000, 10_000)]
    assert answers == ["unclear", "unclear", "yes"]


def test_a_network_that_has_learnt_nothing_is_told() -> None:
    assert "learnt nothing" in " ".join(verdict(run_of(0.61, {"majority class": 0.61})).sentences)


def test_without_baselines_nothing_is_claimed() -> None:
    found = verdict(run_of(0.99, {}))
    assert found.answer == "alone" and "nothing to compare" in found.sentences[0]


def test_without_a_test_set_the_page_says_that_it_flatters() -> None:
    run = run_of(0.9, {})
    metrics = {"valid": run.metrics["test"], "baselines": []}
    found = verdict(RunFiles(Path("run"), metrics=metrics, task=run.task, card={"parts": {"valid": 90}}))
    assert found.part == "valid" and "flatters" in found.sentences[-1]


def test_uneven_classes_are_mentioned() -> None:
    assert "6.1 times" in verdict(run_of(0.9, {}, imbalance=6.14)).sentences[-1]
    assert "times" not in verdict(run_of(0.9, {}, imbalance=1.2)).sentences[-1]


def test_a_run_that_was_not_measured_has_no_verdict() -> None:
    assert judge(RunFiles(Path("run"))) is None


def test_errors_are_lower_is_better(tmp_path: Path) -> None:
    found = verdict(read_run(houses(tmp_path / "houses")))
    assert [other.name for other in found.others] == ["gradient boosting", "linear model", "mean"]
    assert found.answer == "no" and "worse than that of gradient boosting" in found.sentences[0]


def test_the_made_runs_get_the_answers_they_were_made_for(tmp_path: Path) -> None:
    assert verdict(read_run(penguins(tmp_path / "a"))).answer == "unclear"
    assert verdict(read_run(adult(tmp_path / "b"))).answer == "yes"
    films = verdict(read_run(labels(tmp_path / "c")))
    assert films.answer == "yes" and films.network.error is not None and films.network.error < 0.01

"""Behind scikit-learn's interface: its own checks, and what people do with estimators."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import glia

SMALL: dict[str, Any] = {"model": "mlp", "hidden": (32,), "epochs": 30, "batch_size": 16, "lr": 0.01}
CHECKED = [glia.Classifier(**SMALL), glia.Regressor(**SMALL)]

# Checks of scikit-learn that do not apply, each with its reason. There is one: it needs an environment variable that
# scikit-learn itself sets only in its own test runs, and skips without it.
EXCLUDED = {"check_array_api_input": "asks for SCIPY_ARRAY_API, and for arrays that live outside NumPy"}


def _reasons(estimator: Any) -> dict[str, str]:
    return EXCLUDED


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(CHECKED, expected_failed_checks=_reasons)
def test_scikit_learn(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


def test_in_a_pipeline_and_a_search() -> None:
    X, y = make_classification(120, 6, n_informative=4, random_state=0)
    pipeline = make_pipeline(StandardScaler(), glia.Classifier(**SMALL))
    search = GridSearchCV(pipeline, {"classifier__epochs": [2, 20]}, cv=2).fit(X, y)
    assert search.best_params_["classifier__epochs"] == 20
    assert search.score(X, y) > 0.8


def test_default_network_against_a_linear_model() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    ours = cross_val_score(glia.Classifier(epochs=20), X, y, cv=2).mean()
    linear = cross_val_score(make_pipeline(StandardScaler(), LogisticRegression()), X, y, cv=2).mean()
    assert ours > linear - 0.02


def test_frames_with_gaps_and_words() -> None:
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    X = X.assign(sex=np.where(X["sex"] > 0, "one", "other"))
    X.loc[::7, "bmi"] = np.nan
    model = glia.Regressor(**SMALL).fit(X, y)
    assert model.score(X, y) > 0.4
    assert list(model.feature_names_in_) == list(X.columns)
    np.testing.assert_array_equal(model.predict(X), model.predict(pd.DataFrame(X)))
    again = glia.Regressor(**SMALL).fit(pl.from_pandas(X), y)
    np.testing.assert_array_equal(model.predict(X), again.predict(pl.from_pandas(X)))


def test_labels_of_any_kind_keep_their_order_and_type() -> None:
    X, codes = make_classification(90, 5, n_informative=4, n_redundant=0, n_classes=3, random_state=1)
    names = np.array(["z", "a", "m"])[codes]
    model = glia.Classifier(**SMALL).fit(X, names)
    assert list(model.classes_) == ["a", "m", "z"]
    probabilities = model.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert (model.classes_[probabilities.argmax(1)] == model.predict(X)).all()
    assert model.score(X, names) > 0.7


def test_a_fitted_one_survives_its_copy_and_its_pickle() -> None:
    X, y = make_classification(80, 5, random_state=0)
    model = glia.Classifier(**SMALL).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(model.predict_proba(X), again.predict_proba(X))
    np.testing.assert_array_equal(model.predict_proba(X), clone(model).fit(X, y).predict_proba(X))
    assert model.n_iter_ == len(model.history_["train_loss"]) <= 30


@pytest.mark.parametrize(
    ("X", "y", "words"),
    [
        (np.zeros((5, 2)), np.zeros(5), "one class"),
        (np.full((5, 2), np.inf), np.arange(5) % 2, "infinity"),
        (np.zeros((5, 2)), np.arange(4) % 2, "5 rows and y 4"),
    ],
)
def test_bad_input_is_a_value_error(X: Any, y: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        glia.Classifier(**SMALL).fit(X, y)

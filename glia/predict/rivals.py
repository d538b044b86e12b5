"""Well-known models to hold a network against. Each is fitted on a plain matrix and gives decoded outputs.

A rival takes `x` (N, P) as `matrix` makes it and `y` as NumPy: class indices (N,), labels (N, L) or standardised
values (N, T). What it returns takes another `x` and gives probabilities or standardised values, (N, C).
scikit-learn is imported where it is used: it takes a second, and a training begins long before it needs a rival.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from glia.data.facts import Facts, SeriesFacts, SoundFacts, TableFacts, TextFacts
from glia.data.task import Task
from glia.predict.matrix import width
from glia.predict.measure import Array
from glia.predict.series import widths

Fitted = Callable[[Array], Array]
MOST_CATEGORIES = 64  # one-hot columns of a category column in the linear model: its most frequent levels
TFIDF_C = 10.0  # TF-IDF rows are of length 1, which C = 1 shrinks too much: sst2 has 78 % with 1, 81 % with 10
MOST_BOOSTED = 255  # levels that gradient boosting can take as categories; more are taken as numbers


@dataclass(frozen=True)
class Rival:
    """iterations: how many a full fit may take; `fit(task, facts, x, y, iterations)` stops earlier when told to.
    blind: it looks at no input, so that none need be read. one_hot: categories widen its matrix."""

    name: str
    iterations: int
    fit: Callable[[Task, Facts, Array, Array, int], Fitted]
    blind: bool = False
    one_hot: bool = False

    def columns(self, facts: Facts) -> int:
        """How wide its matrix becomes."""
        if self.one_hot and isinstance(facts, TableFacts):
            return sum(min(n, MOST_CATEGORIES) or 1 for n in facts.levels)
        return width(facts)


def rivals(task: Task, facts: Facts) -> list[Rival]:
    """The ones that make sense for this task and kind of input, the simplest first."""
    constant = Rival("mean" if task.kind == "regress" else "majority class", 1, _constant, blind=True)
    # pixels: logistic regression on MNIST has 91.7 % after 30 iterations and 91.9 % after 100
    iterations = 1 if task.kind == "regress" else 300 if facts.kind == "table" else 50
    if isinstance(facts, TextFacts):
        return [constant, Rival("TF-IDF + linear model", 1 if task.kind == "regress" else 300, _tfidf)]
    linear = Rival("linear model", iterations, _linear, one_hot=True)
    if isinstance(facts, SeriesFacts):
        return [constant, Rival("nearest neighbour", 1, _nearest), Rival("linear model", 4 * iterations, _linear)]
    boosting = Rival("gradient boosting", 100, _boosting)
    return [constant, linear] + ([boosting] if facts.kind == "table" else [])


def _constant(task: Task, facts: Facts, x: Array, y: Array, iterations: int) -> Fitted:
    """The share of each class or label, or the mean: the best answer that looks at no input."""
    answer = np.bincount(y, minlength=len(task.classes)) / len(y) if task.kind == "classify" else y.mean(0)
    return lambda rows: np.tile(answer, (len(rows), 1))


def _linear(task: Task, facts: Facts, x: Array, y: Array, iterations: int) -> Fitted:
    """Logistic regression with C = 1, or ridge regression whose strength leave-one-out chooses."""
    from sklearn.linear_model import LogisticRegression, RidgeCV

    prepare = _plain(facts, x)
    if task.kind == "regress":
        ridge = RidgeCV(alphas=np.logspace(-3, 3, 13)).fit(prepare(x), y)
        return lambda rows: ridge.predict(prepare(rows)).reshape(len(rows), -1)
    fitted = _classes(task, lambda labels: LogisticRegression(max_iter=iterations), prepare(x), y)
    return lambda rows: fitted(prepare(rows))


def _tfidf(task: Task, facts: Facts, x: Array, y: Array, iterations: int) -> Fitted:
    """TF-IDF of tokens and pairs of neighbours, then logistic regression with C = 10, or ridge regression with 1."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge

    pad = facts.pad if isinstance(facts, TextFacts) else 0

    def grams(row: Array) -> list[tuple[int, ...]]:
        tokens = row[row != pad].tolist()
        return [*((token,) for token in tokens), *zip(tokens, tokens[1:])]

    vectors = TfidfVectorizer(analyzer=grams, sublinear_tf=True)
    wide = vectors.fit_transform(x)
    if task.kind == "regress":
        ridge = Ridge(alpha=1.0).fit(wide, y)
        return lambda rows: ridge.predict(vectors.transform(rows)).reshape(len(rows), -1)
    fitted = _classes(task, lambda labels: LogisticRegression(C=TFIDF_C, max_iter=iterations), wide, y)
    return lambda rows: fitted(vectors.transform(rows))


def _boosting(task: Task, facts: Facts, x: Array, y: Array, iterations: int) -> Fitted:
    """Histogram gradient boosting with its own defaults; it takes missing values and categories as they are."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    levels = facts.levels if isinstance(facts, TableFacts) else (0,) * x.shape[1]
    named = {"categorical_features": [0 < n <= MOST_BOOSTED for n in levels], "max_iter": iterations, "random_state": 0}
    if task.kind == "regress":
        each = [HistGradientBoostingRegressor(**named).fit(x, target) for target in y.T]
        return lambda rows: np.column_stack([one.predict(rows) for one in each])

    # its early stopping holds out rows of every class, which a class of one row does not have
    def make(labels: Array) -> Any:
        rarest = np.unique(labels, return_counts=True)[1].min()
        return HistGradientBoostingClassifier(**named, early_stopping="auto" if rarest > 1 else False)

    return _classes(task, make, x, y)


def _nearest(task: Task, facts: Facts, x: Array, y: Array, iterations: int) -> Fitted:
    """The answer of the nearest row (Euclid), of series brought to one length."""
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    steps = widths(facts)[0] if isinstance(facts, SeriesFacts) else x.shape[1]
    if task.kind == "regress":
        nearest = KNeighborsRegressor(1).fit(x[:, :steps], y)
        return lambda rows: nearest.predict(rows[:, :steps]).reshape(len(rows), -1)
    fitted = _classes(task, lambda labels: KNeighborsClassifier(1), x[:, :steps], y)
    return lambda rows: fitted(rows[:, :steps])


def _classes(task: Task, make: Callable[[Array], Any], x: Array, y: Array) -> Fitted:
    """Fit one classifier, or one a label, and give (N, C) probabilities with 0 for classes that `y` lacks."""
    if task.kind == "classify":
        return _one(make, x, y, len(task.classes))
    each = [_one(make, x, label.astype(np.int64), 2) for label in y.T]
    return lambda rows: np.column_stack([one(rows)[:, 1] for one in each])


def _one(make: Callable[[Array], Any], x: Array, y: Array, classes: int) -> Fitted:
    held = np.unique(y)
    model = make(y).fit(x, y) if len(held) > 1 else None

    def fitted(rows: Array) -> Array:
        out = np.zeros((rows.shape[0], classes))  # of sparse rows there is no len
        out[:, held] = 1.0 if model is None else model.predict_proba(rows)
        return out

    return fitted


def _plain(facts: Facts, x: Array) -> Fitted:
    """For linear models: a table one-hot, the median where a number is missing, standardised; the figures of
    sounds and the summary of series standardised; others as they are. All is learnt from `x`, the rows of the fit."""
    if isinstance(facts, SeriesFacts):
        steps = widths(facts)[0]  # what comes after them sums a series up
        center, width = x[:, steps:].mean(0), np.maximum(x[:, steps:].std(0), 1e-6)
        return lambda rows: (rows[:, steps:] - center) / width
    if isinstance(facts, SoundFacts):
        middle, spread = x.mean(0), np.maximum(x.std(0), 1e-6)
        return lambda rows: (rows - middle) / spread
    if not isinstance(facts, TableFacts):
        return lambda rows: rows
    levels = np.array(facts.levels)
    numbers = levels == 0
    kept = [(c, code) for c in np.flatnonzero(levels) for code in _frequent(x[:, c])]
    fill = np.array([np.median(v) if len(v := c[np.isfinite(c)]) else 0.0 for c in x[:, numbers].T])

    def widen(rows: Array) -> Array:
        values = rows[:, numbers].astype(np.float64)
        values = np.where(np.isfinite(values), values, fill)
        return np.column_stack([values, *(rows[:, c] == code for c, code in kept)])

    wide = widen(x)
    center, scale = wide.mean(0), wide.std(0)
    scale[scale == 0] = 1.0
    return lambda rows: (widen(rows) - center) / scale


def _frequent(codes: Array) -> Array:
    found, counts = np.unique(codes, return_counts=True)
    return found[np.argsort(-counts, kind="stable")[:MOST_CATEGORIES]]

"""`Classifier` and `Regressor`: the same preparation, networks and loop, behind scikit-learn's interface.

They train in memory and write no run folder; everything else is as in `glia.train`: the network is chosen by the data,
statistics come from training rows, the best weights are kept.
"""

import copy
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from glia.errors import GliaError
from glia.models.build import build
from glia.recipe import Recipe
from glia.workbench.plan import plan, weighted
from glia.workbench.session import Session

Array = NDArray[Any]
TARGET = "target of fit"
FEW = 60  # rows below which none are held out


class _Estimator(BaseEstimator):
    """What both share. Parameters are those of `Recipe` by their names; None leaves the network's own default."""

    task_kind: ClassVar[str]

    def __init__(
        self,
        model: str = "auto",
        *,
        hidden: tuple[int, ...] | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        optimizer: str | None = None,
        lr: float | str = "auto",
        schedule: str | None = None,
        weight_decay: float | None = None,
        dropout: float | None = None,
        patience: int | None = None,
        valid_share: float | None = None,
        seed: int = 0,
    ):
        self.model = model
        self.hidden = hidden
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.lr = lr
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.patience = patience
        self.valid_share = valid_share
        self.seed = seed

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True  # a missing value is a value of its own to the preparation
        tags.non_deterministic = False
        return tags

    def _fit(self, frame: pl.DataFrame, kinds: dict[str, str], y: Array) -> Self:
        if len(frame) != len(y):
            raise GliaError(f"X has {len(frame)} rows and y {len(y)}", expected="the same number")
        table = frame.with_columns(pl.Series(TARGET, y))
        settings = {name: value for name, value in self.get_params(deep=False).items() if value is not None}
        recipe = Recipe.of(**settings).updated(
            source=table, target=(TARGET,), task=self.task_kind, kinds=kinds, test_share=0.0
        )
        if len(frame) < FEW:
            recipe = recipe.updated(valid_share=0.0)
        made = plan(recipe)
        planned, data = made.recipe, made.data
        task = weighted(data.task, data, planned.train.class_weights)
        network = build(planned.model.model, data.facts, task, seed=self.seed, **planned.model.options())
        session = Session(planned, data, network, made.usual_lr)
        if planned.train.lr == "auto":
            session.recipe = planned.updated(lr=session.find_lr().value)
        epochs = [moment.figures for moment in session.moments(None) if moment.kind == "epoch"]
        self.history_ = {name: [figures.get(name, float("nan")) for figures in epochs] for name in epochs[0]}
        self.n_iter_ = len(epochs)
        self.recipe_ = session.recipe.updated(source="<frame in memory>")
        self.network_, self.task_, self.reader_ = network, task, data.reader
        return self

    def _outputs(self, X: Any) -> Array:
        """Decoded outputs (rows, outputs) of new rows."""
        check_is_fitted(self)
        frame, _ = self._frame(X, reset=False)
        # In double precision an answer does not depend on the rows that are asked for beside it.
        network = copy.deepcopy(self.network_).double()
        with torch.inference_mode():
            parts = [self.task_.decode(network(raw.inputs.double())) for raw in self.reader_.stream(frame)]
        return torch.cat(parts).double().numpy()

    def _frame(self, X: Any, *, reset: bool) -> tuple[pl.DataFrame, dict[str, str]]:
        """A polars frame of what was given, and the kinds of its columns where the caller has settled them.

        Frames keep their columns, of any kind; arrays must be numbers, and every column of them is one.
        """
        if isinstance(X, pl.DataFrame) or (hasattr(X, "columns") and hasattr(X, "dtypes")):
            validate_data(self, X, reset=reset, skip_check_array=True)
            return (X if isinstance(X, pl.DataFrame) else pl.from_pandas(X)), {}
        values = validate_data(
            self, X, reset=reset, dtype="numeric", ensure_all_finite="allow-nan", ensure_min_samples=1 + reset
        )
        values = np.asarray(values, dtype=np.float64)
        names = [f"x{number}" for number in range(values.shape[1])]
        return pl.DataFrame(values, schema=names), dict.fromkeys(names, "number")


class Classifier(ClassifierMixin, _Estimator):
    """A network that tells classes apart: ``glia.Classifier(epochs=20).fit(X, y).predict_proba(X_new)``.

    Attributes after `fit`: classes_, network_ (a torch module), history_ (figures by epoch), recipe_, n_iter_.
    """

    task_kind = "classify"

    def fit(self, X: Any, y: Any) -> Self:
        """X: array (rows, columns) of numbers, or a pandas or polars frame of any columns. y: (rows,) labels."""
        if y is None:
            raise GliaError("requires y to be passed, but the target y is None")
        frame, kinds = self._frame(X, reset=True)
        labels = column_or_1d(y, warn=True)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise GliaError("y holds one class", got=f"{list(self.classes_)} alone", expected="at least two classes")
        return self._fit(frame, kinds, codes.astype(np.int64))

    def predict_proba(self, X: Any) -> Array:
        """Probability of each class, in the order of `classes_`: (rows, classes)."""
        found = self._outputs(X)
        return found / found.sum(1, keepdims=True)

    def predict(self, X: Any) -> Array:
        """The most probable class of each row."""
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]


class Regressor(RegressorMixin, _Estimator):
    """A network that predicts a number: ``glia.Regressor().fit(X, y).predict(X_new)``.

    Attributes after `fit`: network_ (a torch module), history_ (figures by epoch), recipe_, n_iter_.
    """

    task_kind = "regress"

    def fit(self, X: Any, y: Any) -> Self:
        """X: array (rows, columns) of numbers, or a pandas or polars frame of any columns. y: (rows,) numbers."""
        if y is None:
            raise GliaError("requires y to be passed, but the target y is None")
        frame, kinds = self._frame(X, reset=True)
        values = column_or_1d(y, warn=True, dtype=np.float64)
        if not np.isfinite(values).all():
            raise GliaError("y holds NaN or infinity", expected="finite numbers")
        return self._fit(frame, kinds, values)

    def predict(self, X: Any) -> Array:
        """The value of each row, in the units of y: (rows,)."""
        return self._outputs(X)[:, 0]

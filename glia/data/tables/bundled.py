"""Small tables that come with scikit-learn, by name: nothing is fetched."""

from importlib import import_module

import polars as pl

from glia.data.tables.columnar import frame_pieces
from glia.data.tables.source import Opened, ReadOptions

BUNDLED = {
    "iris": "load_iris",
    "wine": "load_wine",
    "breast-cancer": "load_breast_cancer",
    "diabetes": "load_diabetes",
}
TARGET = "target"


def open_bundled(name: str, options: ReadOptions) -> Opened:
    """Look at one of `BUNDLED`; class names stand in for scikit-learn's numbers."""
    bunch = getattr(import_module("sklearn.datasets"), BUNDLED[name])()
    classes = bunch.get("target_names")
    answer = bunch.target if classes is None else [str(classes[index]) for index in bunch.target]
    columns = {str(column): bunch.data[:, index] for index, column in enumerate(bunch.feature_names)}
    frame = pl.DataFrame(columns | {TARGET: answer})
    return Opened(
        name=name,
        decimal=".",
        columns=tuple(frame.columns),
        format={"format": "bundled with scikit-learn"},
        pieces=lambda rows: frame_pieces(frame, name, ".", rows),
        targets=(TARGET,),
    )

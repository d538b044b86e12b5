"""Which network a table gets, and that its training budget holds for every number of rows."""

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glia.data.facts import TableFacts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.choose_table import choose_table, train_settings

FACTS = TableFacts(("a",), (0,), (0.0,), (1.0,), (0.0,), (1.0,), (False,), ((0.0, 1.0),), 100)
TASK = Task("classify", ("y",), classes=("no", "yes"))


@pytest.mark.parametrize(
    ("rows", "name"),
    [(0, "linear"), (19, "linear"), (20, "folds"), (999, "folds"), (1_000, "tabm"), (10**7, "tabm")],
)
def test_rows_decide(rows, name):
    choice = choose_table(FACTS, rows, TASK)
    assert choice.name == name
    assert "rows" in choice.why


@given(st.integers(1, 20_000))
def test_folds_get_the_same_budget_of_steps_whatever_the_rows(rows):
    train = train_settings("folds", rows)
    steps = ceil(rows / train["batch_size"])
    assert 32 <= train["batch_size"] <= 256
    assert 1_500 <= train["epochs"] * steps < 4_000 + steps
    assert 0.3 <= train["patience"] / train["epochs"] <= 0.32


def test_large_tables_get_larger_batches():
    assert (
        choose_table(FACTS, 100_000, TASK).train["batch_size"] < choose_table(FACTS, 100_001, TASK).train["batch_size"]
    )


def test_a_model_without_such_settings_is_named():
    with pytest.raises(GliaError, match="tabn"):
        train_settings("tabn", 100)

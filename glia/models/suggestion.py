"""Suggestion: what `choose_image` and `choose_table` answer."""

from typing import Any, NamedTuple


class Suggestion(NamedTuple):
    """A model of the catalogue, its options, train settings, and one sentence that says why."""

    name: str
    options: dict[str, Any]
    train: dict[str, Any]
    why: str

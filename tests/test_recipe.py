"""Recipes: in and out of TOML, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glia.errors import GliaError
from glia.recipe import SECTION_OF, SECTIONS, Recipe, parse_value


def test_flat_names_are_unique() -> None:
    assert len(SECTION_OF) == sum(len(kind.model_fields) for kind in SECTIONS.values())


@given(
    st.builds(
        dict,
        source=st.text(min_size=1, max_size=20),
        target=st.lists(st.text("abc xyzé\"'", min_size=1), max_size=3),
        epochs=st.none() | st.integers(1, 10**6),
        lr=st.just("auto") | st.floats(1e-9, 10),
        hidden=st.none() | st.lists(st.integers(1, 4096), max_size=4),
        kinds=st.dictionaries(st.text(min_size=1, max_size=8), st.sampled_from(["number", "category"]), max_size=3),
        header=st.none() | st.booleans(),
    )
)
def test_toml_gives_back_what_went_in(settings: dict[str, object]) -> None:
    recipe = Recipe.of(**settings)
    assert Recipe.from_toml(recipe.to_toml()).flat() == recipe.flat()


def test_command_line_spellings() -> None:
    recipe = Recipe.of(target="a, b", hidden="128,64", kinds="zip=category", lr="0.1", epochs="5")
    assert recipe.data.target == ("a", "b")
    assert recipe.model.hidden == (128, 64)
    assert recipe.data.kinds == {"zip": "category"}
    assert (recipe.train.lr, recipe.train.epochs) == (0.1, 5)
    assert Recipe.of(target=15).data.target == ("15",)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epoch": 5}, ["unknown setting 'epoch'", "'epochs'"]),
        ({"epochs": 0}, ["epochs", "got 0", "greater than 0"]),
        ({"lr": "fast"}, ["lr", "'fast'", "a number, or auto"]),
        ({"valid_share": 1.5}, ["valid_share", "1.5", "less than 1"]),
        ({"task": "guess"}, ["task", "'guess'", "classify"]),
        ({"class_weights": "some"}, ["class_weights", "balanced"]),
    ],
)
def test_a_wrong_setting_gets_one_clear_line(settings: dict[str, object], words: list[str]) -> None:
    with pytest.raises(GliaError) as caught:
        Recipe.of(**settings)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[train]\nepoch = 3", ["'epoch'", "recipe.toml", "'epochs'"]),
        ("[trian]\nepochs = 3", ["'trian'", "'train'"]),
        ("train = 3", ["[train]", "a table"]),
        ("[train\n", ["not valid TOML"]),
    ],
)
def test_a_wrong_file_gets_one_clear_line(text: str, words: list[str]) -> None:
    with pytest.raises(GliaError) as caught:
        Recipe.from_toml(text, "recipe.toml")
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("5", 5), ("1e-3", 1e-3), ("true", True), ("no", False), ("auto", "auto"), ("a,b", "a,b"), ("('x',)", "('x',)")],
)
def test_values_of_a_command_line(text: str, value: object) -> None:
    assert parse_value(text) == value

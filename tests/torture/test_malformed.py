"""Broken files and bombs, a few of each; ``python -m torture malformed bombs N=large`` tries thousands."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from torture import bombs, malformed
from torture.children import Answer, Children
from torture.readers import FILES, Reader, separated


@pytest.fixture(scope="module")
def warm() -> Iterator[Children]:
    with Children() as children:
        yield children


def test_broken_files_of_every_kind(tmp_path: Path) -> None:
    found = malformed.run(8 * 8, tmp_path, lambda line: None)
    assert found.tried == 64 and not found.failed, "\n".join(found.failed)


@pytest.mark.parametrize("bomb", bombs.QUICK, ids=lambda bomb: bomb.__name__)
def test_bombs(warm: Children, bomb: bombs.Bomb, tmp_path: Path) -> None:
    usual = bombs._usual(warm, tmp_path / "usual")
    assert not bombs.verdict(bomb, bombs.answer_to(warm, bomb, tmp_path / "bomb"), usual)


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=9) | st.sampled_from(['"', "", "1e999", "9" * 400])
SEPARATED = st.builds(
    lambda rows, end, mark: end.join(mark.join(row) for row in rows).encode(),
    st.lists(st.lists(CELLS, max_size=5), max_size=9),
    st.sampled_from(["\n", "\r\n", "\r", ""]),
    st.sampled_from(",;\t|"),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=9,
)
LINES = st.lists(VALUES, max_size=9).map(lambda items: "\n".join(map(json.dumps, items)).encode())

DRAWN = st.tuples(st.just("t.csv"), SEPARATED | st.binary(max_size=99)) | st.tuples(st.just("t.jsonl"), LINES)


@settings(max_examples=12, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=DRAWN)
def test_drawn_tables(warm: Children, tmp_path_factory: pytest.TempPathFactory, data: tuple[str, bytes]) -> None:
    name, content = data
    answer = malformed.ask(warm, separated(), tmp_path_factory.mktemp("drawn"), name, content, Random(0))
    assert not malformed.wrong(answer, Answer(0, "", "", 0.1, 1.0, 330.0), name)


def test_the_judge_sees_what_is_wrong() -> None:
    usual = Answer(0, "", "", 0.1, 1.0, 300.0)
    for bad in (
        Answer(1, "", "Traceback (most recent call last):", 0.1, 1, 300),
        Answer(-6, "", "", 0.1, 1, 300),
        Answer(2, "", "glia: t.csv: one\ntwo", 0.1, 1, 300),
        Answer(2, "", "glia: something is wrong", 0.1, 1, 300),
        Answer(2, "", "glia: t.csv is empty", 2.2, 1, 300),
        Answer(0, "", "", 0.1, 1, 900),
        Answer(0, "", "thread 'main' panicked at", 0.1, 1, 300),
    ):
        assert malformed.wrong(bad, usual, "t.csv")
    assert not malformed.wrong(Answer(2, "", "glia: t.csv is empty\n", 0.1, 1, 300), usual, "t.csv")


def test_a_handful_through_the_real_command(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from glia.cli.main import main; main()"]
    (tmp_path / "t.csv").write_bytes(separated().odd["quote.csv"])
    (tmp_path / "r.toml").write_bytes(b"\xff\xfe")
    for words, named in (
        (["train", "t.csv", "--target", "y"], "t.csv, line 42"),
        (["train", "--recipe", "r.toml"], "r.toml"),
    ):
        done = subprocess.run(
            [*command, *words], cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ
        )
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and named in done.stderr


@pytest.mark.parametrize("make", FILES, ids=lambda make: make.__name__)
def test_a_case_can_be_made_again(make: type[Reader]) -> None:
    first, again = (list(malformed.cases(make(), 30)) for _ in range(2))  # type: ignore[arg-type]
    assert [case[:3] for case in first] == [case[:3] for case in again]

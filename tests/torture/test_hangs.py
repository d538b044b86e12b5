"""Runs to which nothing comes any more."""

from pathlib import Path

from torture import hangs


def test_a_run_that_stands_still_says_who_and_ends(tmp_path: Path) -> None:
    result = hangs.run(hangs.SMALL, tmp_path, lambda line: None)
    assert not result.failed, "\n".join(result.failed)
    assert result.tried == hangs.SMALL

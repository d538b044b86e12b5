"""The page about the doctor lists what there is, in the words of the rules themselves."""

import re
from pathlib import Path

from glia.catalog.causes import ENTRIES
from glia.cli.rule import explained
from glia.doctor.examine import modules

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "doctor.md").read_text()


def table(heading: str) -> list[list[str]]:
    """Cells of each row of the table under a heading."""
    part = re.split(r"^## ", PAGE.partition(f"## {heading}\n")[2], flags=re.MULTILINE)[0]
    rows = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip("`") for cell in row] for row in rows[1:]]


def test_all_rules_are_on_the_page_and_no_others() -> None:
    wanted = [[m.RULE.code, m.RULE.name, dict(explained(m.__doc__ or ""))["Finds"].rstrip(".")] for m in modules()]
    assert table("Rules") == wanted


def test_all_causes_are_on_the_page_and_no_others() -> None:
    assert table("Causes") == [[str(e.facts["group"]), e.name, e.summary] for e in ENTRIES]

"""What is printed: signs that a terminal obeys are shown as text, rich's own styles stay."""

import io
from typing import Any

import pytest
from rich.table import Table
from rich.text import Text

from glia.cli.screen import Console

EVIL = "\x1b[2J\x1b]0;title\x07\x9b31m\rover\u202eback\x08"


@pytest.mark.parametrize("how", ["text", "markup", "table"])
def test_signs_out_of_data_are_shown_and_not_obeyed(how: str) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system="standard", width=200, highlight=False)
    table = Table()
    table.add_column("a")
    table.add_row(Text(EVIL, "red"))
    shown: dict[str, Any] = {"text": Text(EVIL, "red"), "markup": f"[red]{EVIL}[/red]\nsecond", "table": table}
    console.print(shown[how])
    said = out.getvalue()
    assert "\\x1b[2J\\x1b]0;title" in said and "\x1b[31m" in said  # the text, and the style
    left = said.replace("\x1b[31m", "").replace("\x1b[0m", "").replace("\x1b[1m", "").replace("\n", "")
    assert left.isprintable(), repr(left)

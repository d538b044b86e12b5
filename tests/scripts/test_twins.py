"""Each sick twin differs from its script, is still Python, and names causes that there are. `run_all.py` runs them."""

import sys
from pathlib import Path

import pytest

from glia.catalog.causes import ENTRIES

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from faults import TWINS, Twin  # noqa: E402


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: f"{twin.script}/{twin.fault}")
def test_a_twin_is_a_sick_script(twin: Twin) -> None:
    healthy = (HERE / f"{twin.script}.py").read_text()
    assert twin.text(healthy) != healthy
    compile(twin.text(healthy), twin.script, "exec")
    assert set(twin.causes) <= {entry.name for entry in ENTRIES}

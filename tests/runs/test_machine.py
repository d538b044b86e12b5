"""What is told of the machine: the settings that change sums, in words, and old records without them."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from glia.runs import machine

OLD = {"threads": 2, "cpu_capability": "AVX2", "gpu": None, "versions": {"torch": "2.0.0"}, "git": "abc"}


def described(setup: str = "", **environment: str) -> dict[str, Any]:
    """A description from a process of its own, which torch's switches need."""
    code = f"import json, torch\n{setup}\nfrom glia.runs import machine\nprint(json.dumps(machine.describe()))"
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    return dict(json.loads(answer.stdout))


def test_every_switch_that_changes_sums_is_seen() -> None:
    usual = described()
    setup = (
        "torch.set_default_dtype(torch.float64); torch.set_flush_denormal(True); torch.set_num_threads(2); "
        "torch.set_float32_matmul_precision('high'); torch.use_deterministic_algorithms(True)"
    )
    other = described(setup, ATEN_CPU_CAPABILITY="default", MKL_CBWR="COMPATIBLE", OMP_SCHEDULE="static")
    told = machine.changes(usual, other)
    for expected in (
        "threads 1 -> 2", "default dtype float32 -> float64", "flush denormal False -> True",
        "matmul precision highest -> high", "deterministic algorithms False -> True",
        "MKL_CBWR not set -> COMPATIBLE", "ATEN_CPU_CAPABILITY not set -> default",
    ):  # fmt: skip
        assert expected in told, told
    assert any(line.startswith("cpu capability ") and line.endswith("-> DEFAULT") for line in told)
    assert not [line for line in told if line.startswith(("torch build", "mkl", "onednn"))]  # the same libraries
    assert "OMP_SCHEDULE not set -> static" in machine.other_changes(usual, other)
    assert machine.changes(usual, usual) == machine.other_changes(usual, usual) == []


def test_records_of_older_releases_are_compared_by_what_they_hold() -> None:
    told = machine.changes(OLD, machine.describe() | {"threads": 1, "cpu_capability": "AVX2", "gpu": None})
    assert told[0] == "threads 2 -> 1" and len(told) == 2 and told[1].startswith("torch 2.0.0 -> ")
    assert machine.changes({}, machine.describe()) == machine.other_changes({}, machine.describe()) == []
    for damaged in ({"versions": 3, "numerics": [], "environment": None}, {"resumed": [1, "x", {"changed": 4}]}):
        assert machine.changes(damaged, machine.describe()) == []


@pytest.mark.parametrize(
    ("resumed", "expected"),
    [
        (None, ""),
        ([], ""),
        ("hm", ""),
        ([{"step": 7, "changed": []}], "at step 7: bit-exact, as if it had never stopped"),
        (
            [{"step": 7, "changed": ["threads 1 -> 2"]}, {"step": 9, "changed": []}],
            "at step 7, 9: the order of the rows is exact, the numbers are not bit-exact: threads 1 -> 2",
        ),
    ],
)
def test_the_promise_of_a_resumed_run(resumed: Any, expected: str) -> None:
    assert machine.promise({"resumed": resumed}) == expected

"""The house: who may import whom, and how large a room may grow."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

GLIA = Path(__file__).resolve().parents[1] / "glia"
FLOORS = [
    ["errors", "seed"],
    ["limits"],
    ["recipe", "disk", "catalog"],
    ["nn", "optim", "data", "vitals", "runs", "foreign"],
    ["replay"],
    ["models", "doctor", "training"],
    ["predict", "report"],
    ["workbench", "tracing"],
    ["estimators", "torture", "profiling"],
    ["cli"],
    ["__main__"],
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
WITHOUT_TORCH = {"errors", "limits", "seed", "recipe", "disk", "catalog"}
MAX_FILE, MAX_FUNCTION, MAX_POSITIONAL = 400, 60, 8
JUNK = {"utils", "util", "helpers", "common", "misc", "tools", "manager", "base", "core"}
FILES = sorted(GLIA.rglob("*.py"))


def code_lines(nodes: list[ast.stmt]) -> int:
    """Lines that hold code: comments and blank lines do not count."""
    return len({inner.lineno for node in nodes for inner in ast.walk(node) if hasattr(inner, "lineno")})


def imported(node: ast.stmt) -> Iterator[str]:
    """Full names of the modules that an import statement asks for."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def problems(path: Path) -> Iterator[str]:
    tree, room = ast.parse(path.read_text()), path.relative_to(GLIA).parts[0].removesuffix(".py")
    if path.stem.strip("_") in JUNK:
        yield "a junk-drawer name"
    if code_lines(tree.body) > MAX_FILE:
        yield f"{code_lines(tree.body)} lines of code, limit {MAX_FILE}"
    if room == "__init__":
        return
    if room not in FLOOR:
        yield f"room {room} has no floor"
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield f"line {node.lineno}: a relative import"
        for name in imported(node) if isinstance(node, ast.stmt) else ():
            top, _, rest = name.partition(".")
            other = rest.partition(".")[0]
            if top == "glia" and other in FLOOR and other != room and FLOOR[other] >= FLOOR[room]:
                yield f"line {node.lineno}: {room} may not import {other}"
            if top == "torch" and room in WITHOUT_TORCH:
                yield f"line {node.lineno}: {room} must not need torch"
        if isinstance(node, ast.FunctionDef):
            if code_lines(node.body) > MAX_FUNCTION:
                yield f"line {node.lineno}: {node.name} has {code_lines(node.body)} lines, limit {MAX_FUNCTION}"
            if len(node.args.args) > MAX_POSITIONAL:
                yield f"line {node.lineno}: {node.name} takes {len(node.args.args)} positional arguments"


def test_every_room_is_in_order() -> None:
    found = [f"{path.relative_to(GLIA)}: {problem}" for path in FILES for problem in problems(path)]
    assert not found, "\n".join(found)


def test_the_rule_finds_an_upward_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "bad.py").write_text("from glia.training.loop import fit\nfrom . import x\n")
    monkeypatch.setattr(sys.modules[__name__], "GLIA", tmp_path)
    assert len(list(problems(tmp_path / "data" / "bad.py"))) == 2


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(GLIA)))
def test_only_one_module_writes(path: Path) -> None:
    """That nothing executes what it reads is held by tests/torture/test_gates.py."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or path.name == "disk.py":
            continue
        if ast.unparse(node.func) == "open" and len(node.args) > 1:
            assert ast.literal_eval(node.args[1]) in ("r", "rb"), f"line {node.lineno}: only glia/disk.py writes"
        if isinstance(node.func, ast.Attribute):
            assert node.func.attr not in ("write_text", "write_bytes", "savez", "to_csv"), f"line {node.lineno}"


def test_the_command_line_answers_without_the_heavy_packages() -> None:
    code = (
        "import sys; sys.argv = ['glia', '--help']\n"
        "from glia.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'polars', 'sklearn', 'numpy', 'plotly', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "train" in answer.stdout


def test_a_training_reaches_its_first_step_without_what_only_its_end_needs(tmp_path: Path) -> None:
    code = (
        "import os, sys; sys.argv = ['glia', 'train', 'digits']\n"
        "from glia.workbench import session\n"
        "def take(recorder, moment):\n"
        "    late = {'torch._dynamo', 'jinja2', 'glia.report.page', 'glia.predict.jobs'} & set(sys.modules)\n"
        "    print(late or 'none', file=sys.stderr, flush=True)\n"
        "    os._exit(len(late))\n"
        "session.Recorder.take = take\n"
        "from glia.cli.main import main\n"
        "main()"
    )
    environment = os.environ | {"PYTHONPATH": str(GLIA.parent)}
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.split()[-1] == "none"


def test_no_public_name_is_hidden_by_a_room() -> None:
    """A room that has been imported is an attribute of the package, and would stand in front of a function's name."""
    import glia

    rooms = {path.stem for path in GLIA.iterdir()}
    assert not rooms & set(glia.__all__)

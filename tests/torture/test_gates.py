"""Static gates: nothing in the package executes what it reads, but where ALLOWED says so and why."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GLIA = ROOT / "glia"

MODULES = {
    "pickle", "_pickle", "pickletools", "marshal", "shelve", "joblib", "dill", "cloudpickle", "copyreg", "code",
    "codeop", "pty", "runpy", "imp", "xmlrpc", "requests", "urllib.request", "http.client", "ftplib",
    "torch.hub", "torch.package", "numpy.lib.npyio",
}  # fmt: skip
"""Modules that unpickle, run code or fetch it: no name of theirs may be used."""

NAMES = {
    "eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec", "builtins.compile",
    "torch.load", "torch.serialization.load", "torch.jit.load", "torch.export.load", "torch.ops.load_library",
    "numpy.fromfile", "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.Loader",
    "pandas.read_pickle", "pandas.eval", "polars.Expr.deserialize", "polars.LazyFrame.deserialize",
    "polars.DataFrame.deserialize", "importlib.import_module", "importlib.util.spec_from_file_location",
    "os.system", "os.popen", "os.posix_spawn", "os.startfile", "subprocess.getoutput", "subprocess.getstatusoutput",
    "multiprocessing.Pickle", "logging.config.listen", "logging.config.fileConfig",
}  # fmt: skip
FAMILIES = re.compile(r"os\.(exec|spawn)[a-z]+$|.*\.(read_pickle|from_pickle|to_pickle)$")

ALLOWED = {
    # Names out of a table of our own, never out of a file.
    ("__init__.py", "importlib.import_module"),
    ("catalog/entry.py", "importlib.import_module"),
    ("doctor/examine.py", "importlib.import_module"),
    ("data/tables/bundled.py", "importlib.import_module"),
    # What its parent process asks it to do, through a pipe that nobody else has.
    ("torture/zygote.py", "importlib.import_module"),
    ("torture/subject.py", "importlib.import_module"),
    # The files of its own folder.
    ("torture/own_run.py", "importlib.import_module"),
    # The user's own script, which `glia doctor` is asked to run.
    ("vitals/attach.py", "runpy"),
    # Bytes that this process has just made, to compare the exported program with the network.
    ("predict/export.py", "torch.export.load"),
    # The guarded importer: a child without files, processes and network, weights only.
    ("foreign/child.py", "torch.load"),
}


def aliases(tree: ast.AST) -> dict[str, str]:
    """What each imported name stands for: ``from torch import load as f`` gives ``{"f": "torch.load"}``."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                known[one.asname or one.name.partition(".")[0]] = one.name if one.asname else one.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module:
            known |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
    return known


def full_name(node: ast.AST, known: dict[str, str]) -> str:
    """``np.load`` as ``numpy.load``, ``getattr(os, "system")`` as ``os.system``; "" for what has no such name."""
    if isinstance(node, ast.Name):
        return known.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        before = full_name(node.value, known)
        return f"{before}.{node.attr}" if before else ""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr" and node.args[1:]:
        before, name = full_name(node.args[0], known), node.args[1]
        return f"{before}.{name.value}" if before and isinstance(name, ast.Constant) else ""
    return ""


def forbidden(name: str) -> str:
    """The rule that a full name breaks, or ""."""
    module = next((one for one in MODULES if name == one or name.startswith(f"{one}.")), "")
    return module or (name if name in NAMES or FAMILIES.match(name) else "")


def dangers(source: str) -> Iterator[tuple[int, str]]:
    """(line, what) of everything in a source text that could run what was read, whether it is called or passed on."""
    tree = ast.parse(source)
    known = aliases(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, rule) for one in node.names if (rule := forbidden(one.name)))
        elif isinstance(node, ast.ImportFrom) and node.module:
            found = (forbidden(node.module) or forbidden(f"{node.module}.{one.name}") for one in node.names)
            yield from ((node.lineno, rule) for rule in found if rule)
        elif isinstance(node, ast.Name | ast.Attribute | ast.Call):
            name = full_name(node, known)
            if not isinstance(node, ast.Name) or name != node.id or name in NAMES:
                yield from ((node.lineno, rule) for rule in [forbidden(name)] if rule)
        if isinstance(node, ast.Call):
            given = {one.arg: ast.unparse(one.value) for one in node.keywords}
            yield from (
                (node.lineno, f"{option}={given[option]}")
                for option in ("allow_pickle", "shell", "trust_remote_code")
                if given.get(option, "False") != "False"
            )
            if given.get("weights_only", "True") != "True":
                yield node.lineno, f"weights_only={given['weights_only']}"


@cache
def of_package() -> set[tuple[str, str]]:
    return {
        (str(path.relative_to(GLIA)), what)
        for path in sorted(GLIA.rglob("*.py"))
        for _, what in dangers(path.read_text())
    }


def test_nothing_in_the_package_executes_what_it_reads() -> None:
    assert not of_package() - ALLOWED


def test_no_permission_outlives_its_use() -> None:
    assert not ALLOWED - of_package()


def test_the_unpickling_calls_take_weights_only() -> None:
    calls = [
        node
        for node in ast.walk(ast.parse((GLIA / "foreign" / "child.py").read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"
    ]
    assert calls
    for call in calls:
        assert {one.arg: ast.unparse(one.value) for one in call.keywords}.get("weights_only") == "True"


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from pickle import loads", "import _pickle as p", "import marshal", "import shelve",
        "from joblib import load", "import dill", "import cloudpickle", "import runpy",
        "import torch\ntorch.load('x')", "import torch as t\nt.load('x')", "from torch import load",
        "from torch import load as f\nf('x')", "import torch\nread = torch.load",
        "from torch.serialization import load",
        "import torch\nmap(torch.load, files)", "import torch\ngetattr(torch, 'load')(x)",
        "import torch\ntorch.hub.list(x)",
        "import torch\ntorch.jit.load(x)", "import torch\nload(x, weights_only=False)", "load(x, weights_only=flag)",
        "import numpy as np\nnp.load(x, allow_pickle=True)", "read_array(f, allow_pickle=flag)",
        "import yaml\nyaml.load(x)", "from yaml import load", "import yaml\nyaml.unsafe_load(x)",
        "eval(x)", "exec(x)", "compile(x, 'f', 'exec')", "run = exec", "__import__(x)",
        "import builtins\nbuiltins.eval(x)",
        "from importlib import import_module\nimport_module(x)", "import importlib\nimportlib.import_module(x)",
        "import os\nos.system(x)", "from os import system", "import os\nos.popen(x)", "import os\nos.execvp(x, y)",
        "import os\nos.spawnl(x)", "import os as o\ngetattr(o, 'system')(x)", "import os\nos.posix_spawn(a, b, c)",
        "import subprocess\nsubprocess.run(x, shell=True)", "subprocess.run(x, shell=flag)",
        "import subprocess\nsubprocess.getoutput(x)", "import pandas as pd\npd.read_pickle(x)",
        "from urllib.request import urlopen", "import urllib.request",
    ],
)  # fmt: skip
def test_the_gate_finds(source: str) -> None:
    assert list(dangers(source))


@pytest.mark.parametrize(
    "source",
    [
        "import re\nre.compile(x)", "model.eval()", "import torch\ntorch.compile(model)", "import os\nos.fork()",
        "import numpy as np\nnp.load(x, allow_pickle=False)", "import json\njson.load(f)",
        "from urllib.parse import quote",
        "import subprocess\nsubprocess.run(['git'], shell=False)", "import ast\nast.literal_eval(x)", "import codecs",
        "load(x, weights_only=True)", "class A:\n    def eval(self): ...",
    ],
)  # fmt: skip
def test_the_gate_lets_pass(source: str) -> None:
    assert not list(dangers(source))


def test_torch_has_no_known_hole_in_its_safe_unpickler() -> None:
    """CVE-2025-32434 (code runs, before 2.6) and CVE-2026-24747 (memory is corrupted, before 2.10)."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    floor = next(one for one in wanted if one.startswith("torch>="))
    assert tuple(map(int, floor.removeprefix("torch>=").split("."))) >= (2, 10)

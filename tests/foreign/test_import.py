"""`glia import`: weights come out as they went in; whatever else a file holds or claims is refused in one line."""

import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import glia
from glia.errors import GliaError
from glia.foreign import archive, child, state
from glia.models.build import build
from tests.models.zoo import classes, image_facts


def saved(value: Any, *, new: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=new)
    return file.getvalue()


def read(content: bytes, part: str = "") -> tuple[dict[str, Any], bytes]:
    """What the child does, in this process, without its limits."""
    return child.read(io.BytesIO(content), len(content), part)


WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2, dtype=torch.bfloat16)}


def test_a_resnet_of_ours_goes_through_a_pickle_into_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from glia.cli.main import main

    source = build("resnet8", image_facts(3, 16, 16), classes(3), seed=5)
    torch.save(
        {"epoch": 3, "state_dict": source.state_dict(), "optimizer": {"state": {}, "lr": 0.1}}, tmp_path / "r.pt"
    )
    for name, shade in (("dark", 20), ("mid", 128), ("light", 230)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(12):
            pixels = np.random.default_rng(number).integers(-20, 20, (16, 16, 3)) + shade
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / name / f"{number}.png")

    def call(*words: str) -> int:
        sys.argv = ["glia", *words]
        with pytest.raises(SystemExit) as ended:
            main()
            raise SystemExit(0)
        return int(ended.value.code or 0)

    photos, runs = str(tmp_path / "photos"), str(tmp_path / "runs")
    settings = ["model=resnet8", "epochs=1", "lr=0.01", "baselines=false", "doctor=false", "--quiet", "--runs", runs]
    assert call("train", photos, f"pretrained={tmp_path / 'r.pt'}", *settings) == 2
    assert f"glia import {tmp_path / 'r.pt'}" in capsys.readouterr().err
    out = tmp_path / "r.safetensors"
    assert call("import", str(tmp_path / "r.pt"), "--out", str(out)) == 0
    said = capsys.readouterr().out
    count = len(source.state_dict())
    assert f"{count} tensors under 'state_dict'" in said and f"{out.stat().st_size:,} bytes" in said
    assert all(torch.equal(value, load_file(out)[name]) for name, value in source.state_dict().items())
    assert call("train", photos, f"pretrained={out}", *settings) == 0
    assert call("import", str(tmp_path / "r.pt"), "--out", str(out)) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("checkpoint", "part", "taken"),
    [
        (WEIGHTS, "", ""), (OrderedDict(WEIGHTS), "", ""), ({"model": WEIGHTS, "epoch": 1}, "", "model"),
        ({"state_dict": WEIGHTS, "ema": {"a": torch.ones(1)}}, "", "state_dict"),
        ({"generator": {"a": torch.ones(1)}, "judge": WEIGHTS}, "judge", "judge"), ({"odd": WEIGHTS}, "", "odd"),
        ({"params": {k: torch.nn.Parameter(v) for k, v in WEIGHTS.items()}}, "", "params"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_weights_are_found(tmp_path: Path, checkpoint: Any, part: str, taken: str, new: bool) -> None:
    head, tensors = read(saved(checkpoint, new=new), part)
    assert head["taken"] == taken
    (tmp_path / "w.safetensors").write_bytes(tensors)
    found = load_file(tmp_path / "w.safetensors")
    assert found.keys() == WEIGHTS.keys() and all(torch.equal(found[name], WEIGHTS[name]) for name in found)
    assert found["a.bias"].dtype == torch.bfloat16


def test_shared_and_turned_memory_is_written_whole(tmp_path: Path) -> None:
    table = torch.arange(12.0).view(3, 4)
    head, tensors = read(saved({"wte": table, "head": table, "turned": table.t(), "half": table[1:], "note": "text"}))
    (tmp_path / "w.safetensors").write_bytes(tensors)
    found = load_file(tmp_path / "w.safetensors")
    assert torch.equal(found["turned"], table.t()) and torch.equal(found["head"], table) and len(found["half"]) == 2
    assert head["left"] == 1


class Calls:
    """Unpickles by calling something."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.what = function, arguments

    def __reduce__(self) -> Any:
        return self.what


def deflated(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return file.getvalue()


def with_member(name: str, times: int = 1) -> bytes:
    file = io.BytesIO(saved(WEIGHTS))
    with zipfile.ZipFile(file, "a") as archive_:
        for _ in range(times):
            archive_.writestr(name, b"x")
    return file.getvalue()


WIDE = torch.zeros(1).expand(10_000)
NESTED: Any = [torch.zeros(1)]
for _ in range(30):
    NESTED = [NESTED, NESTED]
REFUSED: dict[str, tuple[Any, str]] = {
    "os.system": ({"w": WEIGHTS, "x": Calls(os.system, "true")}, "posix.system"),
    "eval": (Calls(eval, "1"), "eval"),
    "exec": (Calls(exec, "1"), "exec"),
    "getattr": (Calls(getattr, "", "upper"), "getattr"),
    "torch.load": (Calls(torch.load, "x"), "torch.serialization.load"),
    "a whole module": (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
    "a subprocess": (Calls(subprocess.Popen, ["true"]), "Popen"),
    "an object array": ({"a": np.array([1, "x"], dtype=object)}, "numpy"),
    "stride 0": ({"a": WIDE}, "claims more"),
    "many views": ({str(i): torch.zeros(999).expand_as(torch.zeros(999)) for i in range(2)} | {
        f"v{i}": v for i, v in enumerate([torch.zeros(50_000)] * 9)}, "claim more"),
    "a list": ([torch.zeros(1)], "a list"),
    "shared lists": (NESTED, "a list"),
    "nothing": ({"epoch": 3}, "epoch"),
    "two of unusual names": ({"generator": WEIGHTS, "judge": WEIGHTS}, "--part"),
    "sparse": ({"a": torch.eye(3).to_sparse()}, "plain numbers"),
    "complex": ({"a": torch.zeros(2, dtype=torch.complex64)}, "complex64"),
    "a newline in a name": ({"a\nb": torch.zeros(2)}, "printable"),
    "a long name": ({"a" * 2000: torch.zeros(2)}, "1000"),
    "metadata": ({"__metadata__": torch.zeros(2)}, "__metadata__"),
    "nine dimensions": ({"a": torch.zeros([1] * 9)}, "claims more"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_plain_weights_is_refused(name: str) -> None:
    value, words = REFUSED[name]
    with pytest.raises(GliaError) as refused:
        read(saved(value))
    assert words in str(refused.value) and "\n" not in str(refused.value)
    assert "weights_only=False" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no checkpoint"), (b"\x00" * 100, "no checkpoint"), (b"PK\x03\x04" + b"\x00" * 100, "damaged"),
        (saved(WEIGHTS)[:-200], "damaged"), (saved(WEIGHTS, new=False)[:-40], "cannot be read"),
        (pickle.dumps({"a": 1}), "cannot be read"), (b"\x80\x02" + b"(" * 100_000, "cannot be read"),
        (b"\x80\x02" + b"]" + b"\x85" * 200_000 + b".", "cannot be read"),
        (with_member("../../outside"), "outside"), (with_member("/etc/passwd"), "outside"),
        (with_member("..\\outside"), "outside"), (with_member("C:/x"), "outside"),
        (deflated(saved({"a": torch.zeros(100_000)})), "far more"),
    ],
)  # fmt: skip
def test_a_file_of_another_shape_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(GliaError, match=words):
        read(content)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused() -> None:
    with pytest.raises(GliaError, match="one name"):
        archive.check(io.BytesIO(with_member("archive/x", times=2)))


def test_too_many_tensors_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "MOST", 1)
    with pytest.raises(GliaError, match="too many"):
        read(saved(WEIGHTS))


def test_a_safetensors_file_needs_no_import(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "w.pt")
    with pytest.raises(GliaError, match="already"):
        read((tmp_path / "w.pt").read_bytes())


def test_nothing_of_a_hostile_file_runs_and_nothing_is_left(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    torch.save({"state_dict": WEIGHTS, "x": Calls(os.mkdir, str(canary))}, tmp_path / "x.pt")
    with pytest.raises(GliaError, match="more than weights"):
        glia.import_weights(tmp_path / "x.pt", tmp_path / "x.safetensors")
    assert not canary.exists() and sorted(os.listdir(tmp_path)) == ["x.pt"]


@pytest.mark.parametrize("kind", ["a pipe", "a folder", "a device", "nothing", "empty", "nul"])
def test_only_a_plain_file_is_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.pt"
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    elif kind == "empty":
        path.touch()
    elif kind == "nul":
        path = tmp_path / "a\0b"
    with pytest.raises(GliaError):
        glia.import_weights(path, tmp_path / "x.safetensors")


TRIES = """
import os, socket, subprocess, sys
from glia.foreign import child
if sys.argv[1] == "limits":
    child._refuse = lambda event, arguments: None
child.warm_up()
child.confine(1000)
def claims():
    return len(bytearray(3 << 30))
done = []
for name, what in {
    "read": lambda: open("/etc/hostname").read(), "write": lambda: open(sys.argv[2], "w").write("x"),
    "socket": lambda: socket.socket(), "memory": claims,
    **({} if sys.argv[1] == "limits" else {
        "fork": os.fork, "system": lambda: os.system("true"), "run": lambda: subprocess.run(["true"]),
        "remove": lambda: os.remove(sys.argv[2]), "mkdir": lambda: os.mkdir(sys.argv[2])}),
}.items():
    try:
        what()
        done.append(name)
    except (Exception, MemoryError):
        pass
print("done", done)
"""


@pytest.mark.parametrize("fence", ["limits", "both"])
def test_the_child_can_neither_open_write_nor_start_anything(tmp_path: Path, fence: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", TRIES, fence, str(tmp_path / "made")], capture_output=True, text=True, check=False
    )
    assert ran.stdout == "done []\n", ran.stderr
    assert not list(tmp_path.iterdir())


def test_a_child_that_lies_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the unpickler was overcome: its answer must be safetensors of about the size of the file."""
    torch.save(WEIGHTS, tmp_path / "x.pt")
    for answer in (
        b"[" * 9000,
        b'{"taken": 1}\nnothing',
        b"{}\n" + struct.pack("<Q", 1 << 40) + b"{}",
        b"{}\n" + b"x" * (1 << 20),
    ):
        (tmp_path / "answer").write_bytes(answer)

        def start(file: Any, part: str) -> "subprocess.Popen[bytes]":
            return subprocess.Popen(["cat", str(tmp_path / "answer")], stdout=subprocess.PIPE)

        monkeypatch.setattr("glia.foreign.importer._start", start)
        monkeypatch.setattr("glia.foreign.importer.HEADER", 1 << 16)
        with pytest.raises(GliaError, match="cannot import"):
            glia.import_weights(tmp_path / "x.pt", tmp_path / "x.safetensors")
        assert not (tmp_path / "x.safetensors").exists()

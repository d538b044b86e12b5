"""Bytes that do harm where they are unpickled, unpacked, evaluated or believed. Each holds the canary's name."""

import io
import json
import os
import pickle
import struct
import warnings
import zipfile
from typing import Any

import numpy as np
import torch

from torture.watched import CANARY

CODE = f"open('{CANARY}', 'w').close()"


class Calls:
    """Unpickles by calling something."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.what = function, arguments

    def __reduce__(self) -> Any:
        return self.what


def pickles() -> dict[str, bytes]:
    """By kind: direct calls in several protocols, names that must not be looked up, and what torch.save makes."""
    system, run = Calls(os.system, f"touch {CANARY}"), Calls(exec, CODE)
    made = {f"system-{protocol}": pickle.dumps(system, protocol) for protocol in (0, 2, 4)}
    made["exec"] = pickle.dumps({"state_dict": {"a": torch.ones(1)}, "x": run})
    made["module"] = f"c{CANARY}_module\nrun\n(tR.".encode()
    made["builtins"] = f"cbuiltins\neval\n(V{CODE}\ntR.".encode()
    made["getattr"] = (
        f"c__builtin__\ngetattr\n(c__builtin__\n__import__\n(Vos\ntRVsystem\ntR(Vtouch {CANARY}\ntR.".encode()
    )
    made["build"] = b"\x80\x02ctorch.nn\nLinear\n)\x81}X\x05\x00\x00\x00stateccollections\nOrderedDict\n)Rsb."
    for name, new in (("zip", True), ("legacy", False)):
        file = io.BytesIO()
        torch.save(
            {"state_dict": {"fc.weight": torch.ones(2, 2)}, "x": system}, file, _use_new_zipfile_serialization=new
        )
        made[f"torch-{name}"] = file.getvalue()
    return made


def npy(descr: str = "<f4", shape: str = "(4, 8, 8)", data: bytes = b"\0" * 1024, version: int = 1) -> bytes:
    """A .npy file whose header says whatever is wanted."""
    text = f"{{'descr': {descr if descr[0] in '[(_' else repr(descr)}, 'fortran_order': False, 'shape': {shape}, }}"
    header = text.encode() + b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(header)) + header + data


def objects() -> bytes:
    """An object array whose items are unpickled when it is read."""
    file = io.BytesIO()
    np.save(file, np.array([Calls(os.system, f"touch {CANARY}"), 1], dtype=object), allow_pickle=True)
    return file.getvalue()


def zipped(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive with these members, of the same name too."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def arrays() -> dict[str, bytes]:
    """.npz and .npy contents by kind."""
    x, y = npy(), npy("<i8", "(4,)", struct.pack("<4q", 0, 1, 0, 1))
    good = [("x.npy", x), ("y.npy", y)]
    return {
        "objects": zipped([("x.npy", objects()), ("y.npy", objects())]),
        "object-labels": zipped([("x.npy", x), ("y.npy", objects())]),
        "code-in-header": zipped([("x.npy", npy(f"__import__('os').system('touch {CANARY}')")), ("y.npy", y)]),
        "code-in-shape": zipped([("x.npy", npy(shape=f"(exec({CODE!r}),)")), ("y.npy", y)]),
        "huge-shape": zipped([("x.npy", npy(shape="(1000000000000, 8, 8)")), ("y.npy", y)]),
        "shape-overflow": zipped([("x.npy", npy(shape="(4294967296, 4294967296, 2)")), ("y.npy", y)]),
        "negative-shape": zipped([("x.npy", npy(shape="(-4, 8, 8)")), ("y.npy", y)]),
        "text-shape": zipped([("x.npy", npy(shape="'four'")), ("y.npy", y)]),
        "nested-type": zipped([("x.npy", npy("[('a', " * 40 + "'<f4'" + ")]" * 40)), ("y.npy", y)]),
        "long-header": zipped([("x.npy", npy("<f4", f"({'4,' * 30000})")), ("y.npy", y)]),
        "bomb": zipped(
            [("x.npy", npy("|u1", "(4, 8000, 8000)", b"\0" * 256_000_000)), ("y.npy", y)], zipfile.ZIP_DEFLATED
        ),
        "short": zipped([("x.npy", x[:200]), ("y.npy", y)]),
        "twice": zipped([*good, ("x.npy", npy(shape="(2, 8, 8)"))]),
        "no-arrays": zipped([(f"../{CANARY}", b"x"), ("/tmp/x", b"x")]),
        "outside": zipped([(f"../../{CANARY}.npy", x), ("/etc/y.npy", y)]),
        "version-9": zipped([("x.npy", x[:6] + b"\x09" + x[7:]), ("y.npy", y)]),
        "datetime": zipped([("x.npy", npy("<M8[s]", data=b"\0" * 2048)), ("y.npy", y)]),
        "void": zipped([("x.npy", npy("|V1000000")), ("y.npy", y)]),
        "cut": zipped(good)[:-30],
    }


def tensors(header: Any, data: bytes = b"\0" * 64, length: int | None = None) -> bytes:
    """A safetensors file whose header says whatever is wanted."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def safetensors() -> dict[str, bytes]:
    """By kind: offsets, shapes, types and headers that lie."""

    def one(start: int, end: int, shape: Any = (2, 2), dtype: Any = "F32") -> dict[str, Any]:
        return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}

    deep: Any = {}
    for _ in range(30):
        deep = {"a": deep}
    return {
        "overlap": tensors({"a": one(0, 16), "b": one(8, 24)}),
        "same-place": tensors({"a": one(0, 16), "b": one(0, 16)}),
        "out-of-range": tensors({"a": one(0, 16), "b": one(1 << 40, (1 << 40) + 16)}),
        "backwards": tensors({"a": one(16, 0)}),
        "negative": tensors({"a": one(-16, 0)}),
        "hole": tensors({"a": one(0, 16), "b": one(32, 48)}),
        "shape-overflow": tensors({"a": one(0, 16, [1 << 62, 8])}),
        "negative-shape": tensors({"a": one(0, 16, [-2, -2])}),
        "text-shape": tensors({"a": one(0, 16, "2x2")}),
        "unknown-type": tensors({"a": one(0, 16, dtype=f"{CANARY}:run")}),
        "type-list": tensors({"a": one(0, 16, dtype=["F32"])}),
        "twice": tensors(
            b'{"a":' + json.dumps(one(0, 16)).encode() + b',"a":' + json.dumps(one(16, 32)).encode() + b"}"
        ),
        "header-too-long": tensors({"a": one(0, 16)}, length=1 << 62),
        "header-too-short": tensors({"a": one(0, 16)}, length=9),
        "header-list": tensors([one(0, 16)]),
        "header-text": tensors(b"\xff\xfe" * 20),
        "nested": tensors({"a": deep}),
        "nested-far": tensors(b'{"a":' * 100_000),
        "metadata-number": tensors({"__metadata__": {"format": 1}, "a": one(0, 16)}),
        "other-names": tensors({"a": one(0, 16), "b": one(16, 32)}, b"\0" * 32),
        "no-tensors": tensors({}, b""),
        "empty": b"",
        "not-finite": tensors({"a": one(0, 16)}, struct.pack("<4f", *[float("nan")] * 4)),
    }


def texts() -> dict[str, bytes]:
    """What a reader of YAML, TOML, JSON, XML or templates would act on."""
    return {
        "yaml": f"a: !!python/object/apply:os.system ['touch {CANARY}']\nb: !!python/name:os.system\n".encode(),
        "toml": f'[model]\nmodel = "os:system"\n[data]\nsource = "$(touch {CANARY})"\n'.encode(),
        "json": json.dumps({"__class__": "os.system", "py/object": "os.system", "args": [f"touch {CANARY}"]}).encode(),
        "template": f"{{{{ cycler.__init__.__globals__.os.system('touch {CANARY}') }}}}\n".encode(),
        "xml": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        "shell": f"`touch {CANARY}`;$(touch {CANARY})|touch {CANARY}\n".encode(),
    }

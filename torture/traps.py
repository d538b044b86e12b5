"""Hostile files where users meet them: weights, data, recipes, and run folders whose manifests are in order."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torture import payloads
from torture.watched import CANARY

RUN, TABLE, PHOTOS = "runs/r", "t.csv", "photos"
QUIET = ("epochs=1", "lr=0.01", "baselines=false", "doctor=false", "--quiet")
SHOWN = {"name": "a", "target": "u", "predicted": "v", "loss": 1.0}
VERBS: dict[str, tuple[str, ...]] = {
    "predict": ("predict", RUN, TABLE, "--out", "p.csv"),
    "evaluate": ("evaluate", RUN, TABLE),
    "trace": ("trace", RUN, "--row", "1"),
    "report": ("report", RUN),
    "resume": ("resume", RUN),
    "pretrained": ("train", TABLE, "--target", "y", f"pretrained={RUN}", *QUIET),
}


@dataclass(frozen=True)
class Trap:
    """set: makes the hostile files in a folder that has a good run, a table and pictures. codes: exits that will do."""

    name: str
    argv: tuple[str, ...]
    set: Callable[[Path], None]
    codes: tuple[int, ...] = (2,)


def all_traps() -> list[Trap]:
    """Every trap, families mixed, so that the first few are of all kinds."""
    families = [list(family()) for family in (weights, data, arrays, folders, records, states, links, recipes, nets)]
    longest = max(map(len, families))
    return [family[i] for i in range(longest) for family in families if i < len(family)]


def put(name: str, content: bytes) -> Callable[[Path], None]:
    """A file with that content."""

    def make(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return make


def weights() -> Iterator[Trap]:
    """Files that are given as weights."""

    def train(path: str) -> tuple[str, ...]:
        return ("train", PHOTOS, "model=resnet8", f"pretrained={path}", *QUIET)

    suffixes = (".pt", ".pth", ".bin", ".safetensors", ".ckpt", ".npz")
    for number, (kind, content) in enumerate(payloads.pickles().items()):
        for suffix in suffixes[number % 2 :: 2]:
            yield Trap(f"weights {kind}{suffix}", train(f"w{suffix}"), put(f"w{suffix}", content))
        folder = ("pytorch_model.bin", "model.safetensors")[number % 2]
        yield Trap(f"weights folder {kind}", train("hub"), put(f"hub/{folder}", content))
        if number % 2:
            yield Trap(f"import {kind}", ("import", "w.pt", "--out", "w.safetensors"), put("w.pt", content))
    for kind, content in payloads.safetensors().items():
        yield Trap(f"weights safetensors {kind}", train("w.safetensors"), put("w.safetensors", content))
    for name in ("../outside/w.safetensors", "/etc/passwd", "a\0b.safetensors", f"{CANARY}.pt", "con.safetensors"):
        index = json.dumps({"weight_map": {"a": name}}).encode()
        argv = train("hub/model.safetensors.index.json")
        yield Trap(f"index {name!r}", argv, put("hub/model.safetensors.index.json", index))
    for name in ("/dev/zero", "/dev/stdin", "http://127.0.0.1:9/w.safetensors", "s3://bucket/w.safetensors"):
        yield Trap(f"weights {name}", train(name), lambda folder: None)


def data() -> Iterator[Trap]:
    """Payloads under the names of data files."""
    hostile = payloads.pickles() | payloads.texts()
    suffixes = (".csv", ".parquet", ".npz", ".npy", ".jsonl", ".arrow", ".tsv", ".png", ".csv.gz", ".feather", ".json")
    for number, (kind, content) in enumerate(hostile.items()):
        for turn, suffix in enumerate(suffixes[number % 3 :: 3]):
            name = f"d{suffix}"
            argv = {
                0: ("train", name, "--target", "y", *QUIET),
                1: ("predict", RUN, name, "--out", "p.csv"),
                2: ("evaluate", RUN, name),
                3: ("train", TABLE, "--target", "y", f"test={name}", *QUIET),
            }[turn % 4]
            yield Trap(f"data {kind}{suffix} {argv[0]}", argv, put(name, content))
    for name in ("/dev/zero", "/dev/random", "http://127.0.0.1:9/x.csv", "s3://bucket/x.parquet", "hf://datasets/x.csv",
                 "file:///etc/passwd", "../outside", "*.csv", "~root", "a\nb.csv"):  # fmt: skip
        yield Trap(f"source {name!r}", ("predict", RUN, name, "--out", "p.csv"), lambda folder: None)
    for name in ("/etc/passwd", "../outside/secret.png", "/dev/zero", "http://127.0.0.1:9/x.png", "pipe.png"):

        def listed(folder: Path, name: str = name) -> None:
            os.mkfifo(folder / "pipe.png")
            (folder / "list.csv").write_text("path,label\n" + "".join(f"{name},{i % 2}\n" for i in range(40)))

        # A list names pictures wherever they lie: a true one beside its folder is read, as it was asked for.
        codes = (0, 2) if name.endswith("secret.png") else (2,)
        yield Trap(f"picture list {name}", ("train", "list.csv", *QUIET), listed, codes)


def arrays() -> Iterator[Trap]:
    """.npz and .npy files that lie."""
    harmless = ("twice", "outside", "datetime", "void")  # nothing of them leaves the archive
    for kind, content in payloads.arrays().items():
        codes = (0, 2) if kind in harmless else (2,)
        yield Trap(f"npz {kind}", ("train", "d.npz", "model=lenet5", *QUIET), put("d.npz", content), codes)

    for kind, content in {
        "objects": payloads.objects(), "huge": payloads.npy(shape="(1000000000000, 8, 8)"),
        "code": payloads.npy(f"__import__('os').system('touch {CANARY}')"), "cut": payloads.npy()[:-100],
    }.items():  # fmt: skip

        def beside(folder: Path, content: bytes = content) -> None:
            (folder / "x.npy").write_bytes(content)
            (folder / "y.npy").write_bytes(content)

        yield Trap(f"npy {kind}", ("train", "x.npy", "model=lenet5", *QUIET), beside)


def sealed(folder: Path, files: dict[str, Any], facts: dict[str, Any] | None = None) -> None:
    """A folder with a manifest that is in order, whatever its files hold; `facts` are further entries of it."""
    listed: dict[str, Any] = {}
    for name, content in files.items():
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / name).write_bytes(data)
        listed[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    listed |= facts or {}
    total = hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps({"format": 1, "files": listed, "sha256": total}))


def changed(part: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """The model folder with one JSON part changed, or one file replaced, and a manifest that fits."""

    def make(folder: Path) -> None:
        model = folder / RUN / "model"
        files: dict[str, Any] = {
            path.name: path.read_bytes() for path in model.iterdir() if path.name != "manifest.json"
        }
        given = json.loads(files[part]) if part.endswith(".json") else files[part]
        files[part] = change(given)
        sealed(model, files)

    return make


def having(key: str, value: Any) -> Callable[[Any], Any]:
    """A change: one more entry, or another."""
    return lambda given: given | {key: value}


def instead(value: Any) -> Callable[[Any], Any]:
    """A change: this in the place of all."""
    return lambda _: value


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def folders() -> Iterator[Trap]:
    """Models whose manifest is right and whose description is not: names of classes, wrong types, huge sizes."""
    names: tuple[Any, ...] = (
        *("os:system", "os.system", "glia.models.mlp:mlp", f"{CANARY}_module:run", "../../mlp", "torch:load"),
        *("__init__", "", "a" * 10_000, "mlp\0", 7, None, [], {"mlp": 1}, True),
    )
    verbs = list(VERBS)[:3]
    for number, name in enumerate(names):
        verb = verbs[number % 3]
        yield Trap(
            f"network named {str(name)[:30]!r} {verb}",
            VERBS[verb],
            changed("network.json", having("name", name)),
        )
    wrong: dict[str, list[tuple[str, Any]]] = {
        "network.json": [
            ("options", {"hidden": [10**9]}), ("options", {"hidden": [10**12] * 4}), ("options", {"hidden": "4"}),
            ("options", {"hidden": [-1]}), ("options", {"hidden": [0.5]}), ("options", {"generator": f"{CANARY}"}),
            ("options", {"facts": {}}), ("options", {"activation": "os:system"}), ("options", {"norm": {"a": 1}}),
            ("options", []), ("options", None), ("options", {"dropout": "1"}), ("options", {"__class__": "x"}),
            ("options", {"hidden": [4] * 100_000}), ("class", "os:system"),
        ],
        "task.json": [
            ("kind", "os:system"), ("kind", 1), ("classes", "uv"), ("classes", [1, 2]), ("classes", ["u"] * 1_000_000),
            ("targets", []), ("targets", None), ("weights", ["a"]), ("__init__", 1), ("kind", "language"),
        ],
        "facts.json": [
            ("kind", f"{CANARY}.run"), ("kind", ["table"]), ("names", 5), ("levels", [10**9, 10**9]),
            ("levels", ["1", "2"]),
            ("levels", [-1, -1]), ("median", []), ("scale", [0, 0]), ("edges", [[1e308] * 5] * 2),
            ("rows", "many"),
            ("new", 1),
        ],
        "reader.json": [
            ("kind", "os:system"), ("kind", None), ("fitted", {}), ("fitted", []), ("fitted", None),
            ("code", f"{CANARY}"),
        ],
    }  # fmt: skip
    wholes: tuple[Any, ...] = ([], None, 7, "text", nested(30), nested(100_000), b"\xff", b"", b"NaN")
    for part, changes in wrong.items():
        for number, (key, value) in enumerate(changes):
            verb, codes = verbs[number % 3], (0, 2) if key == "class" else (2,)
            change = changed(part, having(key, value))
            yield Trap(f"{part} {key} = {str(value)[:30]} {verb}", VERBS[verb], change, codes)
        for number, whole in enumerate(wholes):
            verb = (*verbs, "pretrained")[number % 4]
            codes = (0, 2) if verb == "pretrained" else (2,)
            yield Trap(f"{part} {str(whole)[:20]} {verb}", VERBS[verb], changed(part, instead(whole)), codes)
    plans = (("kind", "os:system"), ("form", f"%Y{CANARY}"), ("name", 5), ("stray", 7), ("numeric", "x"))
    for key, value in plans:

        def plan(given: Any, key: str = key, value: Any = value) -> Any:
            given["fitted"]["columns"][0]["plan"][key] = value
            return given

        yield Trap(f"column plan {key} = {value}", VERBS["predict"], changed("reader.json", plan), (0, 2))
    for kind, content in payloads.safetensors().items():
        yield Trap(f"model {kind}", VERBS["predict"], changed("best.safetensors", instead(content)))


def records() -> Iterator[Trap]:
    """Manifests that name what is not theirs, and the run's own records."""

    def manifest(name: str) -> Callable[[Path], None]:
        def make(folder: Path) -> None:
            model = folder / RUN / "model"
            files = {path.name: path.read_bytes() for path in model.iterdir() if path.name != "manifest.json"}
            secret = (folder.parent / "outside" / "secret").read_bytes()
            facts = {"bytes": len(secret), "sha256": hashlib.sha256(secret).hexdigest()}
            sealed(model, files, {name: facts})

        return make

    for name in ("../../../../outside/secret", "../../recipe.toml", "/etc/passwd", "/dev/zero", "..", ".", "", "a\0b",
                 "a/../../../../../outside/secret", "..\\..\\secret", "x" * 5000):  # fmt: skip
        yield Trap(f"manifest names {name[:40]!r}", VERBS["predict"], manifest(name))
    for number, content in enumerate((b"", b"[]", b"{}", b"null", nested(100_000), b'{"files": 7, "sha256": 7}',
                                      b'{"files": {"network.json": 7}, "sha256": "x"}', b"\x80\x02]q\0.")):  # fmt: skip
        yield Trap(f"manifest {number}", VERBS["evaluate"], put(f"{RUN}/model/manifest.json", content))
    hostile = [
        *payloads.texts().items(),
        *list(payloads.pickles().items())[:3],
        ("nested", nested(100_000)),
        ("list", b"[1]"),
    ]
    parts = ("metrics.json", "curves.json", "findings.json", "data.json", "machine.json", "choices.json", "status.json",
             "chart.jsonl", "predictions/worst.json", "predictions/test.safetensors", "clock.jsonl")  # fmt: skip
    for number, part in enumerate(parts):
        for kind, content in hostile[number % 3 :: 3]:
            yield Trap(f"report with {part} {kind}", VERBS["report"], put(f"{RUN}/{part}", content), (0, 2))
    yield Trap("worst picture outside", VERBS["report"], put(f"{RUN}/predictions/worst.json", json.dumps(
        [{"name": "a", "target": "u", "predicted": "v", "loss": 1.0,
          "picture": "../../../../outside/secret.png"},
         SHOWN | {"picture": "/dev/zero"}]).encode()), (0,))  # fmt: skip


def states() -> Iterator[Trap]:
    """Checkpoints of a run that is to go on; where none is whole it may begin again."""

    def stopped(files: dict[str, Any]) -> Callable[[Path], None]:
        def make(folder: Path) -> None:
            run = folder / RUN
            (run / "status.json").write_text('{"state": "stopped"}')
            step = next((run / "checkpoints").glob("step-*"))
            whole = {path.name: path.read_bytes() for path in step.iterdir() if path.name != "manifest.json"}
            sealed(step, whole | files)

        return make

    trees: dict[str, Any] = {
        "list": [], "unknown kind": {"os:system": 1}, "two kinds": {"dict": [], "list": []},
            "no tensor": {"tensor": "x"},
        "number": 7, "text": {"value": f"{CANARY}"}, "empty": {"dict": []}, "nested": nested(100_000),
            "deep": nested(30),
        "progress": {"dict": [["progress", {"value": "x"}]]}, "odd pairs": {"dict": [[1]]},
            "odd key": {"dict": [[[], 1]]},
        "chart": {"dict": [["chart_bytes", {"value": -5}], ["progress", {"dict": [["step", {"value": "9"}]]}]]},
    }  # fmt: skip
    for kind, tree in trees.items():
        yield Trap(f"state {kind}", VERBS["resume"], stopped({"state.json": tree}), (0, 2))
    for kind, content in [*payloads.safetensors().items(), *list(payloads.pickles().items())[:4]]:
        yield Trap(f"state tensors {kind}", VERBS["resume"], stopped({"state.safetensors": content}), (0, 2))

    def with_git(folder: Path) -> None:
        """A repository whose settings have programs run."""
        stopped({})(folder)
        git = folder / ".git"
        (git / "objects").mkdir(parents=True)
        (git / "refs").mkdir()
        (git / "HEAD").write_text("ref: refs/heads/main\n")
        (git / "config").write_text(f'[core]\n\tfsmonitor = "touch {CANARY}; false"\n\trepositoryformatversion = 0\n')

    yield Trap("settings of git", VERBS["resume"], with_git, (0, 2))


def links() -> Iterator[Trap]:
    """Links, pipes, devices and huge files in place of a run's own."""
    parts = ("recipe.toml", "status.json", "metrics.json", "chart.jsonl", "data.json", "model/manifest.json",
             "model/network.json", "model/best.safetensors", "report.html", "predictions/worst.json", "model",
            "checkpoints",
             "predictions", ".lock", "history.csv")  # fmt: skip
    verbs = ("report", "predict", "resume")
    for number, part in enumerate(parts):
        for turn, kind in enumerate(("outside", "/etc/passwd", "/dev/zero", "pipe", "huge", "itself", "folder")):

            def swap(folder: Path, part: str = part, kind: str = kind, resumed: bool = turn % 3 == 2) -> None:
                run = folder / RUN
                if resumed:
                    (run / "status.json").write_text('{"state": "stopped"}')
                _swap(folder, run / part, kind)

            yield Trap(f"{part} is {kind}", VERBS[verbs[(turn + number) % 3]], swap, (0, 2))


def _swap(folder: Path, path: Path, kind: str) -> None:
    """Put something else where a file or folder of the run was."""
    outside = folder.parent / "outside" / "moved"
    if kind == "outside":
        shutil.move(path, outside)
        path.symlink_to(outside)
        return
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    elif kind == "folder":
        (path / "inner").mkdir(parents=True)
    else:
        path.symlink_to(path.name if kind == "itself" else kind)


def recipes() -> Iterator[Trap]:
    """Recipes that name what they should not."""
    parts = {
        "model": ("os:system", "__init__", f"{CANARY}_module:run", "../mlp"), "init": ("os:system",),
        "activation": ("os.system", "torch:load"), "norm": ("x:y",), "pretrained": ("/etc/passwd", "http://127.0.0.1:9/w"),
    }  # fmt: skip
    for key, values in parts.items():
        for value in values:
            text = f'[data]\nsource = "t.csv"\ntarget = ["y"]\n[model]\n{key} = "{value}"\n'.encode()
            yield Trap(f"recipe {key} {value}", ("train", "--recipe", "x.toml", *QUIET), put("x.toml", text))
    for key, value in {
        "optimizer": "os:system", "loss": "torch:load", "schedule": f"{CANARY}:run", "device": "cuda:99; rm",
            "monitor": "x",
        "precision": "eval", "skip": "os:system",
    }.items():  # fmt: skip
        text = f'[data]\nsource = "t.csv"\ntarget = ["y"]\n[train]\n{key} = "{value}"\n'.encode()
        codes = (0, 2) if key == "skip" else (2,)  # without the doctor no rule of it is looked up
        yield Trap(f"recipe {key} {value}", ("train", "--recipe", "x.toml", *QUIET), put("x.toml", text), codes)
    for kind, content in (
        payloads.texts() | {"pickle": payloads.pickles()["system-2"], "deep": b"a = " + b"[" * 100_000}
    ).items():
        yield Trap(f"recipe text {kind}", ("train", "--recipe", "x.toml", *QUIET), put("x.toml", content))
        yield Trap(f"run with recipe {kind}", VERBS["report"], put(f"{RUN}/recipe.toml", content), (0, 2))
    for name in ("/dev/zero", "http://127.0.0.1:9/x.toml"):
        yield Trap(f"recipe at {name}", ("train", "--recipe", name, *QUIET), lambda folder: None)


def nets() -> Iterator[Trap]:
    """Networks in files for `glia trace`."""
    layer = {"weights": [[1.0]], "activation": "relu"}
    wrong: dict[str, Any] = {
        "class": {"x": [1], "layer": [layer | {"class": "os:system"}]},
        "activation": {"x": [1], "layer": [{"activation": "os:system"}]},
        "activation list": {"x": [1], "layer": [{"activation": ["relu"]}]},
        "loss": {"x": [1], "y": 1, "loss": f"{CANARY}:run", "layer": [layer]},
        "loss list": {"x": [1], "y": 1, "loss": ["mse"], "layer": [layer]},
        "text": {"x": f"exec({CANARY})", "layer": [layer]},
        "nested": {"x": json.loads("[" * 30 + "1" + "]" * 30), "layer": [layer]},
        "huge": {"x": [1e308 * 10], "layer": [layer]},
        "rate": {"x": [1], "y": 1, "lr": [0.1], "layer": [layer]},
    }  # fmt: skip
    for kind, value in wrong.items():
        yield Trap(
            f"net {kind}",
            ("trace", "n.json"),
            put("n.json", json.dumps(value).encode()),
            (0, 2) if kind == "nested" else (2,),
        )
    for kind, content in payloads.texts().items():
        yield Trap(f"net text {kind}", ("trace", "n.toml"), put("n.toml", content))
    yield Trap("net far nested", ("trace", "n.json"), put("n.json", nested(100_000)))

"""Files of every kind that glia reads, broken in every way: each is read, or is one line and exit code 2."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from glia import disk
from glia.runs import seals
from glia.runs.folder import RunFolder
from glia.torture.result import Result
from torture.children import Answer, Children
from torture.mutants import BYTES, revalued_json
from torture.readers import FILES, Reader

NAME = "malformed"
PROMISE = "A broken file is read sensibly, or is one line and exit code 2, within 2 s and 512 MB."
SMALL, LARGE = 320, 4000  # in all; an eighth for each reader
SEED = 20_261
CPU_SECONDS, MIB = 2.0, 512.0
Tell = Callable[[str], None]


@dataclass
class Tally:
    """What the files of one reader came to."""

    read: int = 0
    refused: int = 0
    failed: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")
    largest: tuple[float, str] = (0.0, "")

    def add(self, case: str, answer: Answer, usual: Answer, named: str) -> None:
        """Judge one answer. usual: to the same command with a good file. named: what the line must name."""
        self.slowest = max(self.slowest, (answer.cpu_seconds, case))
        self.largest = max(self.largest, (answer.mib - usual.mib, case))
        why = wrong(answer, usual, named)
        if why:
            self.failed.append(f"{case}: {why}")
        elif answer.code == 0:
            self.read += 1
        else:
            self.refused += 1


def wrong(answer: Answer, usual: Answer, named: str = "") -> str:
    """Why an answer breaks the promise; empty where it keeps it."""
    line = answer.err.strip()
    if answer.code not in (0, 2):
        return f"exit code {answer.code}: {line[-400:]!r}"
    if "Traceback" in line or "panicked" in line:
        return f"a traceback: {line[-400:]!r}"
    if answer.code == 2 and (not line.startswith("glia: ") or "\n" in line or len(line) > 1500):
        return f"not one line: {line[:400]!r}"
    if answer.code == 2 and named not in line:
        return f"does not name {named}: {line[:400]!r}"
    if answer.cpu_seconds - usual.cpu_seconds > CPU_SECONDS:
        return f"{answer.cpu_seconds:.1f} s, {usual.cpu_seconds:.1f} with a good file"
    if answer.mib - usual.mib > MIB:
        return f"{answer.mib - usual.mib:.0f} MiB more than a good file"
    return ""


def run(count: int, folder: Path, tell: Tell) -> Result:
    """Break `count` files, as many for each reader; odd ones made by hand first, then mutants."""
    share = max(1, count // (len(FILES) + 1))
    tallies: dict[str, Tally] = {}
    with Children() as glia:
        for make in FILES:
            reader = make()
            tallies[reader.name] = _files(glia, reader, share, folder / reader.name, tell)
        tallies["run"] = _runs(glia, share, folder / "run", tell)
    failed = tuple(f"{name} {line}" for name, tally in tallies.items() for line in tally.failed)
    figures = {"seed": str(SEED)}
    figures |= {name: f"{tally.read} read, {tally.refused} refused" for name, tally in tallies.items()}
    slowest, largest = (max(getattr(tally, what) for tally in tallies.values()) for what in ("slowest", "largest"))
    figures |= {"slowest": f"{slowest[0]:.2f} s ({slowest[1]})", "largest": f"{largest[0]:.0f} MiB ({largest[1]})"}
    return Result(NAME, PROMISE, share * len(tallies), failed, figures=figures)


def cases(reader: Reader, count: int) -> Iterator[tuple[str, str, bytes, Random]]:
    """(what to call it, name of the file, its bytes, the generator that made it) of so many broken files."""
    odd = list(reader.odd.items())
    mine = Random(f"{SEED} {reader.name}")
    mine.shuffle(odd)
    for name, data in odd[: max(count // 2, count - 5000)]:
        yield name, name, data, Random(f"{SEED} {reader.name} {name}")
    names = list(reader.good)
    for number in range(count - min(len(odd), max(count // 2, count - 5000))):
        draw = Random(f"{SEED} {reader.name} {number}")
        name = draw.choice(names)
        data = reader.good[name]
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            try:
                data = draw.choice(reader.mutants)(data or b"\n", draw)
            except (ValueError, TypeError, AttributeError, RecursionError):  # no data any more to be changed as data
                data = draw.choice(BYTES)(data or b"\n", draw)
        given = draw.choice(names) if draw.random() < 0.03 else name  # now and then under the name of another kind
        yield f"{number} of {name}", given, data, draw


def _files(glia: Children, reader: Reader, count: int, folder: Path, tell: Tell) -> Tally:
    tally, usual = Tally(), {}
    for name, data in reader.good.items():
        usual[name] = ask(glia, reader, folder / "good", name, data, Random(0))
        if usual[name].code:
            tally.failed.append(f"the good file {name}: {usual[name].err}")
    most = max(usual.values(), key=lambda answer: answer.mib)
    for number, (case, name, data, draw) in enumerate(cases(reader, count)):
        answer = ask(glia, reader, folder / "case", name, data, draw)
        tally.add(
            case, answer, usual.get(name, most), "" if reader.name in ("recipe", "numpy") else Path(name).name[:4]
        )
        if number % 20 == 0:
            tell(f"{reader.name} {number} of {count}, {len(tally.failed)} failed")
        if tally.failed and tally.failed[-1].startswith(f"{case}:"):
            kept = folder / "failed" / f"{number}-{Path(name).name[:80]}"
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(data)
    return tally


def ask(glia: Children, reader: Reader, folder: Path, name: str, data: bytes, draw: Random) -> Answer:
    """What glia says of one file, alone in a new folder with what must stand beside it."""
    shutil.rmtree(folder, ignore_errors=True)
    for other, content in {**reader.beside, name: data}.items():
        (folder / other).parent.mkdir(parents=True, exist_ok=True)
        (folder / other).write_bytes(content)
    return glia.ask(reader.words(name, draw), folder)


def _runs(glia: Children, count: int, folder: Path, tell: Tell) -> Tally:
    """A run folder with one file broken, and every command that opens one."""
    tally, whole = Tally(), make_run(glia, folder / "whole")
    files = sorted(path for path in whole.rglob("*") if path.is_file() and not path.name.startswith("."))
    usual = {verb: _open(glia, verb, whole) for verb in VERBS}
    tally.failed += [f"the whole run: {verb}: {one.err}" for verb, one in usual.items() if one.code]
    for number in range(count):
        draw = Random(f"{SEED} run {number}")
        broken = folder / "case" / "run"
        shutil.rmtree(broken.parent, ignore_errors=True)
        shutil.copytree(whole, broken)
        (broken.parent / "t.csv").write_bytes((whole.parent / "t.csv").read_bytes())
        victim = broken / draw.choice(files).relative_to(whole)
        break_file(broken, victim, draw)
        verb = draw.choice(list(VERBS))
        case = f"{number}: {verb} with {victim.relative_to(broken)} broken"
        tally.add(case, _open(glia, verb, broken), usual[verb], "run" if verb != "list" else "")
        if number % 20 == 0:
            tell(f"run {number} of {count}, {len(tally.failed)} failed")
    return tally


VERBS: dict[str, list[str]] = {
    "predict": ["predict", "run", "t.csv", "--overwrite"],
    "evaluate": ["evaluate", "run", "t.csv"],
    "report": ["report", "run"],
    "resume": ["resume", "run"],
    "list": ["list", "runs", "--runs", "."],
    "export": ["export", "run", "model.pt2", "--overwrite"],
    "pretrained": ["train", "t.csv", "--target", "y", "--pretrained", "run", "--epochs", "1"],
}


def _open(glia: Children, verb: str, run: Path) -> Answer:
    whole = verb not in ("resume", "pretrained")
    return glia.ask([run.name if word == "run" else word for word in VERBS[verb]], run.parent, whole=whole)


def make_run(glia: Children, folder: Path) -> Path:
    """A small run that was stopped after its last epoch, with a checkpoint and everything that a finished one has."""
    folder.mkdir(parents=True)
    reader = FILES[0]()
    (folder / "t.csv").write_bytes(reader.good["t.csv"])
    words = ["train", "t.csv", "--target", "y", "--epochs", "2", "--model", "mlp", "--hidden", "4", "--lr", "0.01"]
    answer = glia.ask([*words, "--checkpoint-s", "0", "--name", "run", "--runs", "."], folder, whole=True)
    if answer.code:
        raise RuntimeError(f"no run to break: {answer.err}")
    run = RunFolder.open(folder / "run")
    run.write_json("status.json", run.read_json("status.json", {}) | {"state": "stopped"})
    return folder / "run"


def break_file(run: Path, path: Path, draw: Random) -> None:
    """As bytes, or as data; in a sealed folder half of them sealed again, as a person who edits one would not."""
    data = path.read_bytes() or b"\n"
    if path.suffix == ".json" and draw.random() < 0.6:
        broken = revalued_json(data, draw)
    else:
        broken = draw.choice(BYTES)(data, draw)
    if (path.parent / disk.MANIFEST).exists() and path.name != disk.MANIFEST and draw.random() < 0.6:
        others = {p.name: p.read_bytes() for p in path.parent.iterdir() if p.is_file() and p.name != disk.MANIFEST}
        disk.write_folder(path.parent, others | {path.name: broken})
    elif path.parent == run and path.suffix != ".jsonl" and path.name != seals.SEALS and draw.random() < 0.6:
        seals.write(run, path.name, broken)
    else:
        path.write_bytes(broken)

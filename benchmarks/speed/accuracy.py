"""Part `accuracy`: seconds of training until a fixed accuracy on rows that are held out, with each tool's defaults."""

import copy
import gzip
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from benchmarks.adult import adult_files
from benchmarks.speed import networks
from benchmarks.speed.job import Job, Marks, Predict
from benchmarks.speed.page import CONSOLE, DASH, Figures, Keep, forget, load
from benchmarks.speed.tools import PEERS, TITLES, tool
from benchmarks.speed.turns import Answers, in_turns
from benchmarks.speed.works import Rows, Work

TITLE = "Time to a fixed accuracy"
ABOUT = [
    "Seconds from the first line of training (for glia: from the raw file) to the first epoch end at which held-out",
    "rows are answered so well; the test of it does not count. Of glia all is its default, from `glia.train(file)`,",
    "and the weights are those that it would keep. Of the others only scikit-learn has a network of its own, of 100",
    "hidden units; they get LeNet-5 for mnist, 100 hidden units for adult (standardised and one-hot columns for all),",
    "a GPT of 4 x 128 that reads 128 letters for tiny-shakespeare. Batch size, optimiser and rate are the tool's",
    "defaults (Adam at 0.001 and 64 rows where it has none), 20 epochs or its own number (skorch 10, Hugging Face 3,",
    "scikit-learn 200). A dash with a figure: the best that was reached; a tool that does not come there is not asked",
    "again.",
]
GOALS = {"mnist": 0.99, "adult": 0.865, "tiny-shakespeare": 2.0}
EPOCHS = {"sklearn": 200, "skorch": 10, "transformers": 3}
USUAL_EPOCHS, LONGEST_S = 20, 900.0
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


class Over(Exception):
    """The goal was reached, or it takes too long."""


@dataclass
class Race:
    """Is it there yet? measure: what the network answers -> the figure. down: less is better."""

    goal: float
    measure: Callable[[Predict], float]
    down: bool = False
    best: float = math.nan
    seconds: float | None = None

    def look(self, predict: Predict, seconds: float) -> None:
        self.see(self.measure(predict), seconds)

    def see(self, figure: float, seconds: float) -> None:
        self.best = figure if math.isnan(self.best) else (min if self.down else max)(self.best, figure)
        if figure <= self.goal if self.down else figure >= self.goal:
            self.seconds = seconds
            raise Over
        if seconds > LONGEST_S:
            raise Over


def reached(asked: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The worker's side: run one tool at one of the three until it is there."""
    name, goal = asked["work"], GOALS[asked["work"]]
    if asked["tool"] == "glia":
        race = Race(goal, lambda predict: math.nan, down=name == "tiny-shakespeare")
        _by_glia(name, race, folder)
    else:
        train = tool(asked["tool"])
        work, rows, test = PLAIN[name]()
        race = Race(goal, _measure(work, *test), down=work.tokens)
        job = Job(work, rows, EPOCHS.get(asked["tool"], USUAL_EPOCHS), folder, Marks(look=race.look))
        with suppress(Over):
            train(job)
    if race.seconds is None:
        return {"none": f"{race.best:.4g}"}
    return {"seconds": race.seconds, "figure": race.best}


def _measure(work: Work, x: Tensor, y: Tensor) -> Callable[[Predict], float]:
    def measure(predict: Predict) -> float:
        logits = predict(x)
        return float(work.loss(logits, y)) if work.tokens else float((logits.argmax(1) == y).float().mean())

    return measure


def _by_glia(name: str, race: Race, folder: Path) -> None:
    import glia

    settings = SOURCES[name](folder)
    began, aside = time.perf_counter(), 0.0

    def begin(session: Any, run: Any, choices: Any) -> tuple[Any, ...]:
        def watch(moment: Any) -> None:
            nonlocal aside
            if moment.kind != "epoch":
                return
            now = time.perf_counter()
            if race.down:
                race.see(moment.figures["valid_loss"], now - began - aside)
            elif moment.best:
                model = copy.deepcopy(session.model)
                model.load_state_dict(moment.snapshot()["best"]["weights"])
                race.see(_accuracy(model, session.data.test), now - began - aside)
            aside += time.perf_counter() - now

        return (watch,)

    with suppress(Over):
        glia.train(runs=folder, begin=begin, **settings)


def _accuracy(model: torch.nn.Module, test: Any) -> float:
    model.eval()
    right = 0
    with torch.no_grad():
        for batch in test.ordered(1024):
            right += int((model(batch.inputs).argmax(1) == batch.targets).sum())
    return right / len(test)


def _text() -> str:
    with gzip.open(SHARED / "tiny-shakespeare/input.txt.gz", "rt", encoding="utf-8") as file:
        return file.read()


def _text_file(folder: Path) -> dict[str, Any]:
    path = folder / "shakespeare.txt"
    path.write_text(_text())
    return {"source": path}


SOURCES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "mnist": lambda folder: {"source": SHARED / "mnist/mnist.npz"},
    "adult": adult_files,
    "tiny-shakespeare": _text_file,
}


def _rows(x: Tensor, y: Tensor) -> Rows:
    return Rows(TensorDataset(x, y), (x[:1], y[:1]), x, y)


Plain = tuple[Work, Rows, tuple[Tensor, Tensor]]


def _work(name: str, network: Callable[[], torch.nn.Module], *, tokens: bool = False) -> Work:
    return Work(
        name, name, network, lambda count, folder: _rows(torch.empty(0), torch.empty(0)), 64, 1, 1, tokens=tokens
    )


def _mnist() -> Plain:
    with np.load(SHARED / "mnist/mnist.npz") as file:
        x, y, test_x, test_y = (torch.from_numpy(file[key]) for key in ("x_train", "y_train", "x_test", "y_test"))
    scaled = [((part.float() / 255 - 0.1307) / 0.3081).view(-1, 1, 28, 28) for part in (x, test_x)]
    return _work("mnist", networks.lenet), _rows(scaled[0], y.long()), (scaled[1], test_y.long())


def _adult() -> Plain:
    import polars as pl
    from sklearn.compose import make_column_transformer
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frames = [
        pl.read_csv(SHARED / f"adult/adult-{p}.csv.gz", has_header=False, infer_schema_length=0)
        for p in ("train", "test")
    ]
    numbers = (0, 2, 4, 10, 11, 12)
    cells = [[[(cell or "").strip(" .") for cell in row] for row in frame.iter_rows()] for frame in frames]
    tables = [np.array([row for row in part if row[14]], dtype=object) for part in cells]
    words = [i for i in range(14) if i not in numbers]
    fitted = make_column_transformer(
        (StandardScaler(), list(numbers)), (OneHotEncoder(handle_unknown="ignore", sparse_output=False), words)
    )
    x = torch.from_numpy(fitted.fit_transform(tables[0][:, :14]).astype(np.float32))
    test_x = torch.from_numpy(fitted.transform(tables[1][:, :14]).astype(np.float32))
    y, test_y = (torch.from_numpy((t[:, 14] >= ">").astype(np.int64)) for t in tables)
    return _work("adult", lambda: networks.dense(x.shape[1], 100, 2)), _rows(x, y), (test_x, test_y)


def _shakespeare() -> Plain:
    text = _text()
    letters = {letter: number for number, letter in enumerate(sorted(set(text)))}
    tokens = torch.tensor([letters[letter] for letter in text])
    train, valid = tokens[: int(0.9 * len(tokens))], tokens[int(0.9 * len(tokens)) : int(0.95 * len(tokens))]
    windows, held = (part.unfold(0, 129, 128).contiguous() for part in (train, valid))
    work = _work("tiny-shakespeare", lambda: networks.gpt(len(letters)), tokens=True)
    return work, _rows(windows[:, :-1].contiguous(), windows[:, 1:].contiguous()), (held[:, :-1], held[:, 1:])


PLAIN: dict[str, Callable[[], Plain]] = {"mnist": _mnist, "adult": _adult, "tiny-shakespeare": _shakespeare}


def run(
    names: Sequence[str], tools: Sequence[str], rounds: int, more: dict[str, Any], keep: Keep = forget
) -> list[Figures]:
    tools = [name for name in tools if name not in ("glia-float32", "lean")]
    best = "times shorter than the best of the others"
    table = Figures("Seconds", ["data", "goal", *(TITLES[name] for name in tools), best, "load"])
    for name in names or GOALS:
        folder = SHARED / name
        if not folder.is_dir():
            CONSOLE.print(f"{name}: skipped, the data set is not beside this checkout")
            continue
        busy = load()
        answers = in_turns(tools, {"task": "accuracy", "work": name}, rounds, CONSOLE.print)
        cells = [_cell(answers[one]) for one in tools]
        table.rows.append([name, f"{GOALS[name]:g}", *cells, _shorter(answers), f"{busy:.1f}"])
        table.show()
        keep([table])
    return [table]


def _cell(answers: Answers) -> str:
    seconds = answers.median("seconds")
    if seconds is None:
        return DASH if "not installed" in answers.none or "no " in answers.none else f"{DASH} ({answers.none})"
    low, high = answers.spread("seconds")
    return f"{seconds:.1f} ({low:.1f}-{high:.1f})"


def _shorter(answers: dict[str, Answers]) -> str:
    ours = answers["glia"].median("seconds") if "glia" in answers else None
    theirs = [s for name in PEERS if name in answers and (s := answers[name].median("seconds")) is not None]
    return DASH if ours is None or not theirs else f"{min(theirs) / ours:.2f} (goal 2)"

"""Script: a program written out as one file, as its author would have left it."""

import inspect
import re

from exam.loops import deeper, epoch_lines, judging_lines, optimiser_lines
from exam.networks import model_text
from exam.program import Program

IMPORTS = {  # what a text mentions -> the line that it needs
    r"\bargparse\.": "import argparse",
    r"\bnp\.": "import numpy as np",
    r"\btorch\.": "import torch",
    r"\bF\.": "import torch.nn.functional as F",
    r"\bbalanced_accuracy_score\(": "from sklearn.metrics import balanced_accuracy_score",
    r"\baccuracy_score\(": "from sklearn.metrics import accuracy_score",
    r"\br2_score\(": "from sklearn.metrics import r2_score",
    r"\bStandardScaler\(": "from sklearn.preprocessing import StandardScaler",
    r"\bnn\.": "from torch import nn",
    r"\bDataLoader\(": "from torch.utils.data import DataLoader, TensorDataset",
}


def write(p: Program) -> str:
    """The text of train.py."""
    source = "" if p.stored else inspect.getsource(p.data.make).rstrip()
    network, model = model_text(p)
    tools = [model, *p.after_model]
    if p.loss_setup and p.wrap != "loss":
        tools.append(p.loss_setup)
    seed = f"torch.manual_seed({p.seed % 100})"
    if p.style == "trainer":
        parts, main = _trainer(p, network, tools, source, seed)
    elif p.style in ("main", "argparse"):
        parts, main = _functions(p, network, tools, source, seed)
    else:
        parts = [source, network]
        body = [*data_lines(p), "", *tools, *optimiser_lines(p), "", *epoch_lines(p, judging_lines(p))]
        main = [seed, "", *body]
    text = "\n\n\n".join([*(part for part in parts if part), "\n".join(main)])
    return import_lines(text) + "\n\n" + ("\n" if text.startswith(("def", "class")) else "") + text + "\n"


def import_lines(text: str) -> str:
    sklearn = sorted(set(re.findall(r"\b((?:load|make)_(?:\w+))\(", text)) - {"make_data"})
    needed = [line for mark, line in IMPORTS.items() if re.search(mark, text)]
    if sklearn:
        needed.append(f"from sklearn.datasets import {', '.join(sklearn)}")
    return "\n".join(needed)


def _functions(p: Program, network: str, tools: list[str], source: str, seed: str) -> tuple[list[str], list[str]]:
    """An evaluate() and a main(), with or without arguments of the command line."""
    which = p.seen
    evaluate = ["def evaluate(model, x, y):", *deeper(_renamed(judging_lines(p), which)), "    return score"]
    rate = "args.lr" if p.style == "argparse" and p.optimiser.lr is not None and len(p.optimisers) == 1 else None
    training = epoch_lines(p, [f"score = evaluate(model, x_{which}, y_{which})"])
    body = [seed, *data_lines(p), *tools, *optimiser_lines(p, rate), *training]
    arguments = []
    if p.style == "argparse":
        arguments = ["parser = argparse.ArgumentParser()"]
        if rate:
            arguments.append(f'parser.add_argument("--lr", type=float, default={p.optimiser.lr:g})')
        arguments += [f'parser.add_argument("--epochs", type=int, default={p.epochs})', "args = parser.parse_args()"]
        body = [line.replace(f"range({p.epochs}):", "range(args.epochs):") for line in body]
    main = "\n".join(["def main():", *deeper([*arguments, *body])])
    return [source, network, "\n".join(evaluate), main], ['if __name__ == "__main__":', "    main()"]


def _trainer(p: Program, network: str, tools: list[str], source: str, seed: str) -> tuple[list[str], list[str]]:
    """A class Trainer that holds the model, the loss and the optimisers."""
    which = p.seen
    held = ["model", *(each.variable for each in p.optimisers)]
    held += ["scheduler"] if p.schedule else []
    held += ["criterion"] if "criterion" in p.loss and p.wrap != "loss" else []
    evaluate = _renamed(judging_lines(p), which)
    fit = epoch_lines(p, [f"score = self.evaluate(x_{which}, y_{which})"])
    mine = re.compile(rf"(?<![\w.])({'|'.join(held)})\b")
    own = lambda lines: [mine.sub(r"self.\1", line) for line in lines]
    lines = ["class Trainer:", f"    def __init__(self, {', '.join(held)}):"]
    lines += [f"        self.{name} = {name}" for name in held]
    lines += ["", "    def evaluate(self, x, y):", *deeper([*own(evaluate), "return score"], 2)]
    given = "x_train, y_train" if p.style == "randperm" else "loader"
    given += f", x_{which}, y_{which}"
    lines += ["", f"    def fit(self, {given}):", *deeper(own(fit), 2)]
    body = [seed, "", *data_lines(p), *tools, *optimiser_lines(p), ""]
    body += [f"trainer = Trainer({', '.join(held)})", f"trainer.fit({given})"]
    return [source, network, "\n".join(lines)], body


def _renamed(lines: list[str], which: str) -> list[str]:
    return [line.replace(f"x_{which}", "x").replace(f"y_{which}", "y") for line in lines]


def data_lines(p: Program) -> list[str]:
    """From the source to tensors and a loader."""
    if p.stored:
        lines = ['data = np.load("data.npz")', 'x_train, y_train = data["x_train"], data["y_train"]']
        lines.append('x_valid, y_valid = data["x_valid"], data["y_valid"]')
    else:
        lines = [f"x, y = {p.data.name}({p.rows}, {p.seed}, {p.noise})", "cut = len(x) * 3 // 4"]
        lines += ["x_train, x_valid = x[:cut], x[cut:]", "y_train, y_valid = y[:cut], y[cut:]"]
    lines += [p.reshape.format(which=which) for which in ("train", "valid") if p.reshape]
    lines += preparing_lines(p)
    if p.data.task == "rebuild":
        lines += ["y_train = x_train.reshape(len(x_train), -1)", "y_valid = x_valid.reshape(len(x_valid), -1)"]
    if p.data.task == "number":
        if p.targets:
            lines.append("middle, spread = y_train.mean(), y_train.std()")
            lines.append("y_train = (y_train - middle) / spread")
        if p.targets_valid:
            lines.append("y_valid = (y_valid - middle) / spread")
    inputs = "torch.long" if p.data.vocabulary else "torch.float32"
    answers = "torch.long" if p.data.task in ("classes", "next") else "torch.float32"
    flat = p.flat if p.flat_answers is None else p.flat_answers
    column = "[:, None]" if p.data.task in ("two", "number") and not flat else ""
    for which in ("train", "valid"):
        lines.append(f"x_{which} = torch.tensor(x_{which}, dtype={inputs})")
        lines.append(f"y_{which} = torch.tensor(y_{which}, dtype={answers}){column}")
        lines += [p.answers.format(which=which)] if p.answers else []
    if p.style not in ("randperm", "closure"):
        shuffle = ", shuffle=True" if p.shuffle else ""
        lines.append(f"loader = DataLoader(TensorDataset(x_train, y_train), batch_size={p.batch}{shuffle})")
    return lines


def preparing_lines(p: Program) -> list[str]:
    """Inputs made ready, the held-out ones in the same way unless the program says otherwise."""
    lines = []
    if p.prepare == "pixels":
        lines.append("x_train = x_train / 255")
    elif p.prepare == "centred":
        lines.append("x_train = (x_train - 127.5) / 64")
    elif p.prepare == "scaler":
        lines += ["scaler = StandardScaler().fit(x_train)", "x_train = scaler.transform(x_train)"]
    elif p.prepare == "standard":
        axes = "(0, 1)" if p.data.form == "series" else "0"
        lines.append(f"mean, std = x_train.mean({axes}), x_train.std({axes}) + 1e-6")
        lines.append("x_train = (x_train - mean) / std")
    valid = {
        "pixels": "x_valid = x_valid / 255",
        "centred": "x_valid = (x_valid - 127.5) / 64",
        "scaler": "x_valid = scaler.transform(x_valid)",
        "standard": "x_valid = (x_valid - mean) / std",
        "smallest": "x_valid = (x_valid - x_valid.min()) / (x_valid.max() - x_valid.min())",
        "turned": "x_valid = np.ascontiguousarray(x_valid[..., ::-1])",
    }
    return lines + ([valid[p.prepare_valid]] if p.prepare_valid in valid else [])

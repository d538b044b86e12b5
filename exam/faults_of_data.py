"""Faults of data: inputs, answers, and how they are prepared, split and shuffled."""

from collections.abc import Iterator
from random import Random

import numpy as np

from exam.faults import ANY, DEEP, fault
from exam.program import Optimiser, Program

Stored = dict[str, np.ndarray]
PICTURES = ("cnn", "cnn", "mlp")
CLASSES = ("classes", "two")


def spoil(arrays: Stored, name: str, rng: np.random.Generator) -> Stored:
    """The stored arrays after one named change."""
    a = dict(arrays)
    if name == "shift":
        a["y_train"] = np.roll(a["y_train"], 1, axis=0)
    elif name == "permute":
        a["y_train"] = a["y_train"][rng.permutation(len(a["y_train"]))]
    elif name == "order answers":
        a["y_train"] = np.sort(a["y_train"], axis=0)
    elif name == "by class":
        order = np.argsort(a["y_train"], kind="stable")
        a["x_train"], a["y_train"] = a["x_train"][order], a["y_train"][order]
    elif name == "empty cells":
        a["x_train"] = np.where(rng.random(a["x_train"].shape) < 0.01, np.nan, a["x_train"]).astype(np.float32)
    elif name == "one infinity":
        x = a["x_train"].copy()
        x.reshape(-1)[rng.integers(x.size)] = np.inf
        a["x_train"] = x
    elif name in ("thousands", "mixed", "far"):
        for which in ("x_train", "x_valid"):
            scale, shift = _scales(a["x_train"].shape[-1], name)
            a[which] = (a[which] * scale + shift).astype(np.float32)
    elif name == "answer inside":
        a = _answer_inside(a, rng)
    elif name == "large answers":
        for which in ("y_train", "y_valid"):
            a[which] = (5000 * a[which] + 20000).astype(np.float32)
    elif name == "same rows":
        a["x_train"] = np.concatenate([a["x_train"], a["x_valid"]])
        a["y_train"] = np.concatenate([a["y_train"], a["y_valid"]])
    else:
        raise ValueError(name)
    return a


def _scales(columns: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    if name == "mixed":
        return 10.0 ** (np.arange(columns) % 5), np.zeros(columns)
    return np.full(columns, 1000.0 if name == "thousands" else 1.0), np.full(columns, 200.0 if name == "far" else 0.0)


def _answer_inside(a: Stored, rng: np.random.Generator) -> Stored:
    """One column says the answer in training rows; in held-out rows it was not known yet."""
    at = rng.integers(a["x_train"].shape[1])
    x_train, x_valid = a["x_train"].copy(), a["x_valid"].copy()
    spread = max(float(a["y_train"].std()), 1e-6)
    x_train[:, at] = x_train[:, at].mean() + 3 * x_train[:, at].std() * (a["y_train"] - a["y_train"].mean()) / spread
    x_valid[:, at] = x_train[:, at].mean()
    return {**a, "x_train": x_train, "x_valid": x_valid}


def _stored(p: Program, *names: str) -> None:
    p.stored = True
    p.spoils += names


@fault("data_not_normalised", kinds=("mlp", "linear", "mlp", "recurrent", "conv1d", "towers"))
def raw_scales(p: Program, rng: Random) -> Iterator[None]:
    if p.data.vocabulary or p.style == "closure" or any("Norm" in layer for layer in p.layers):
        return
    _stored(p, rng.choice(["thousands", "mixed", "far"]))
    p.prepare = p.prepare_valid = "standard"
    if rng.random() < 0.5 and p.core == "layers":
        p.optimisers = [Optimiser("SGD", 0.03, {"momentum": 0.9})]
    yield
    p.prepare = p.prepare_valid = "none"


@fault("data_not_normalised", kinds=("mlp", "linear"))
def own_units(p: Program, rng: Random) -> Iterator[None]:
    if p.data.prepare != "standard" or p.style == "closure":
        return
    yield
    p.prepare = p.prepare_valid = "none"


@fault("data_not_normalised", kinds=PICTURES)
def raw_pixels(p: Program, rng: Random) -> Iterator[None]:
    if p.data.form != "picture":
        return
    p.optimisers = [Optimiser("SGD", 0.02, {"momentum": 0.9})]
    yield
    p.prepare = p.prepare_valid = "none"


@fault("target_not_normalised", "lr_too_low", "too_few_epochs", kinds=DEEP)
def raw_targets(p: Program, rng: Random) -> Iterator[None]:
    if p.data.task != "number" or p.style == "closure":
        return
    _stored(p, "large answers")
    if rng.random() < 0.4:
        p.optimisers[0].lr = min(p.optimiser.lr or 0.01, 0.005)
    yield
    p.targets = p.targets_valid = False


@fault("val_preprocessing_mismatch")
def valid_as_it_came(p: Program, rng: Random) -> Iterator[None]:
    if p.prepare == "none" or p.seen != "valid" or p.data.task == "rebuild":
        return
    p.patience = 0
    yield
    p.prepare_valid = "none"


@fault("val_preprocessing_mismatch", kinds=("mlp", "recurrent", "conv1d", "towers"))
def valid_scaled_alone(p: Program, rng: Random) -> Iterator[None]:
    if p.prepare not in ("standard", "scaler") or p.seen != "valid":
        return
    p.patience = 0
    yield
    p.prepare_valid = "smallest"


@fault("val_preprocessing_mismatch", "wrong_preprocessing", kinds=PICTURES, data="digits")
def valid_turned(p: Program, rng: Random) -> Iterator[None]:
    if p.data.name != "digits" or p.seen != "valid":
        return
    p.prepare = p.prepare_valid = "none"
    p.reshape = "x_{which} = x_{which} / 255"
    p.patience = 0
    yield
    p.prepare_valid = "turned"


@fault("wrong_preprocessing", kinds=("mlp", "mlp", "linear", "towers"))
def columns_first(p: Program, rng: Random) -> Iterator[None]:
    if p.data.form != "table":
        return
    yield
    p.reshape = "x_{which} = x_{which}.T.reshape(len(x_{which}), -1)"


@fault("wrong_preprocessing", kinds=("conv1d", "recurrent", "transformer"))
def axes_mixed(p: Program, rng: Random) -> Iterator[None]:
    if p.data.form != "series" or p.data.shape[1] < 2:
        return
    yield
    p.reshape = "x_{which} = x_{which}.transpose(1, 0, 2).reshape(x_{which}.shape)"


@fault("wrong_preprocessing", kinds=PICTURES)
def whole_numbers(p: Program, rng: Random) -> Iterator[None]:
    if p.data.form != "picture":
        return
    p.prepare = p.prepare_valid = "none"
    p.reshape = "x_{which} = x_{which} / 255"
    yield
    p.reshape = "x_{which} = (x_{which} / 255).astype(int)"


@fault("wrong_preprocessing", kinds=("mlp", "linear"))
def rows_to_unit_sum(p: Program, rng: Random) -> Iterator[None]:
    if p.data.form != "table" or len(p.data.shape) != 1 or p.data.shape[0] > 20:
        return
    yield
    p.reshape = "x_{which} = x_{which} / np.abs(x_{which}).max(axis=1, keepdims=True)"


@fault("labels_wrong_encoding", "wrong_loss")
def labels_minus_one(p: Program, rng: Random) -> Iterator[None]:
    if p.data.task != "two" or p.tail == "sigmoid":
        return
    p.loss_setup, p.loss = "criterion = nn.BCEWithLogitsLoss()", "criterion(out, y)"
    yield
    p.answers = "y_{which} = 2 * y_{which} - 1"
    p.metric = "((out > 0) == (answers > 0)).float().mean().item()"


@fault("labels_wrong_encoding", "wrong_loss")
def labels_from_one(p: Program, rng: Random) -> Iterator[None]:
    if p.data.task != "two" or p.tail == "sigmoid":
        return
    p.loss_setup, p.loss = "criterion = nn.BCEWithLogitsLoss()", "criterion(out, y)"
    yield
    high = rng.choice([1, 1, 254])
    p.answers = f"y_{{which}} = {high} * y_{{which}} + 1" if high > 1 else "y_{which} = y_{which} + 1"
    p.metric = "((out > 0) == (answers > 1)).float().mean().item()"


@fault("labels_corrupted", kinds=ANY)
def answers_of_other_rows(p: Program, rng: Random) -> Iterator[None]:
    if p.data.task == "rebuild" or p.seen != "valid":
        return
    p.stored = True
    yield
    p.spoils.append(rng.choice(["shift", "permute", "permute", "order answers"]))


@fault("missing_shuffle", kinds=("mlp", "cnn", "cnn-norm", "recurrent", "embedding", "transformer"))
def class_after_class(p: Program, rng: Random) -> Iterator[None]:
    if p.data.task not in CLASSES or p.style == "closure" or p.seen != "valid":
        return
    _stored(p, "by class")
    yield
    p.shuffle = False


@fault("nan_in_data", kinds=("mlp", "linear", "cnn", "conv1d", "recurrent"))
def holes(p: Program, rng: Random) -> Iterator[None]:
    if p.data.vocabulary or p.style == "closure":
        return
    p.stored = True
    p.prepare = p.prepare_valid = "standard" if p.prepare == "scaler" else p.prepare
    yield
    p.spoils.append(rng.choice(["empty cells", "empty cells", "one infinity"]))


@fault("data_leak", kinds=("mlp", "linear", "towers"))
def answer_among_inputs(p: Program, rng: Random) -> Iterator[None]:
    if p.data.form != "table" or p.data.shape[0] < 4 or p.seen != "valid":
        return
    p.stored = True
    yield
    p.spoils.append("answer inside")


@fault("data_leak", kinds=("mlp", "cnn", "recurrent", "embedding"), shows="certain")
def rows_on_both_sides(p: Program, rng: Random) -> Iterator[None]:
    if p.data.task == "rebuild" or p.seen != "valid":
        return
    p.stored = True
    yield
    p.spoils.append("same rows")


@fault("class_imbalance", "wrong_loss", kinds=("rare",))
def few_of_one_class(p: Program, rng: Random) -> Iterator[None]:
    p.tail, p.flat, p.seen = None, False, "valid"
    p.loss_setup, p.loss = "criterion = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(20.0))", "criterion(out, y)"
    p.metric = p.metric.replace("> 0.5", "> 0")
    p.noise = rng.choice([0.2, 0.4])
    yield
    p.loss_setup = "criterion = nn.BCEWithLogitsLoss()"


@fault("wrong_metric", "val_preprocessing_mismatch", "target_not_normalised", kinds=DEEP)
def judged_on_another_scale(p: Program, rng: Random) -> Iterator[None]:
    if p.data.task != "number" or p.seen != "valid":
        return
    p.patience = 0
    yield
    p.targets_valid = False


@fault("wrong_metric", "wrong_output_units")
def largest_of_one(p: Program, rng: Random) -> Iterator[None]:
    if p.data.task != "two":
        return
    p.flat, p.patience = False, 0
    yield
    p.metric = "(out.argmax(1, keepdim=True) == answers).float().mean().item()"

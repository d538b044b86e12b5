"""Samples: a sound program drawn at random, of a given kind."""

from dataclasses import replace
from random import Random

from exam.data_kinds import SOURCES, Data
from exam.program import Optimiser, Program

KINDS = {  # kind -> (forms of data it takes, tasks it takes, how often)
    "linear": (("table",), ("classes", "two", "number"), 1),
    "mlp": (("table", "picture"), ("classes", "two", "number"), 5),
    "cnn": (("picture",), ("classes", "two", "number"), 4),
    "cnn-norm": (("picture",), ("classes", "two", "number"), 2),
    "conv1d": (("series",), ("classes", "two", "number"), 1),
    "recurrent": (("series", "tokens"), ("classes", "two", "number"), 3),
    "transformer": (("series", "tokens", "ordered"), ("classes", "two", "number"), 2),
    "embedding": (("tokens",), ("classes", "two"), 2),
    "language": (("letters",), ("next",), 1),
    "towers": (("table",), ("classes", "two", "number"), 1),
    "autoencoder": (("picture",), ("rebuild",), 1),
    "rare": (("rare",), ("two",), 0),
}
RATES = {  # kind -> sound rates for Adam and its kin, and for SGD with momentum
    "linear": ((0.01, 0.03, 0.05), (0.05, 0.1)),
    "mlp": ((0.002, 0.005, 0.01), (0.02, 0.05)),
    "cnn": ((0.001, 0.002, 0.004), (0.01, 0.03)),
    "cnn-norm": ((0.001, 0.003, 0.01), (0.02, 0.05, 0.1)),
    "conv1d": ((0.003, 0.01), (0.02, 0.05)),
    "recurrent": ((0.005, 0.01), None),
    "transformer": ((0.001, 0.002), None),
    "embedding": ((0.005, 0.02), None),
    "language": ((0.005, 0.01), None),
    "towers": ((0.002, 0.005, 0.01), (0.02, 0.05)),
    "autoencoder": ((0.002, 0.004), None),
    "rare": ((0.005, 0.01), (0.02, 0.05)),
}
STEPS = {
    "cnn": 200,
    "cnn-norm": 180,
    "transformer": 260,
    "recurrent": 350,
    "language": 300,
    "linear": 400,
    "autoencoder": 900,
}
UNITS = {"mlp": (24, 32, 64, 128), "cnn": (8, 12, 16), "cnn-norm": (8, 12, 16)}


def draw_sample(rng: Random, kind: str | None = None, hard: bool = False, data: str | None = None) -> Program:
    """A program that ought to learn. hard: so noisy that a sound network reaches only middling skill."""
    kind = kind or rng.choices(list(KINDS), [each[2] for each in KINDS.values()])[0]
    forms, tasks, _ = KINDS[kind]
    fitting = [d for d in SOURCES if d.form in forms and d.task in tasks and not (kind == "linear" and d.bent)]
    chosen = [d for d in fitting if d.name == data] or fitting
    source = rng.choice(chosen)
    if source.task == "two" and source.form != "rare" and rng.random() < 0.25:
        source = replace(source, task="classes", outputs=2)  # two columns and cross-entropy are as common as one
    noise = round(rng.uniform(*source.noisy) if hard else rng.choice([0.0, source.noisy[0] / 4]), 2)
    p = Program(kind, source, source.rows, rng.randrange(1000), noise, stored=rng.random() < 0.5)
    p.outputs, p.targets = source.outputs, source.task == "number"
    p.targets_valid = p.targets
    p.prepare = _preparation(rng, source)
    p.prepare_valid = p.prepare
    _network(p, rng)
    _loss(p, rng)
    _optimiser(p, rng)
    _loop(p, rng)
    return p


def _preparation(rng: Random, source: Data) -> str:
    if source.prepare == "pixels":
        return rng.choice(["pixels", "pixels", "centred"]) if source.task != "rebuild" else "pixels"
    if source.prepare == "standard" and source.form == "table":
        return rng.choice(["standard", "scaler"])
    return source.prepare


def _network(p: Program, rng: Random) -> None:
    p.units = rng.choice(UNITS.get(p.kind, (24, 32, 48)))
    p.act = rng.choice(["relu", "relu", "gelu", "tanh", "silu", "leaky_relu", "elu"])
    p.dropout = rng.choice([0.0, 0.0, 0.0, 0.1, 0.2, 0.5])
    p.form = rng.choice(["sequential", "sequential", "class", "functional"])
    p.wrap = rng.choice(["plain"] * 7 + ["dict", "tuple", "loss"])
    p.flat = p.data.task in ("two", "number") and rng.random() < 0.3
    if p.kind == "recurrent":
        p.core = rng.choice(["lstm", "gru"])
    elif p.kind == "language":
        p.core = rng.choice(["lstm", "gru", "transformer"])
    else:
        p.core = {"conv1d": "waves", "transformer": "transformer", "embedding": "bag", "towers": "towers"}.get(
            p.kind, "layers"
        )
    if p.core == "transformer":
        p.units, p.dropout = 32, rng.choice([0.0, 0.1])
    if p.core == "waves":
        p.units = 16
    makers = {"linear": _linear, "autoencoder": _autoencoder, "cnn": _convolutions, "cnn-norm": _convolutions}
    if p.core == "layers":
        p.layers = makers.get(p.kind, _dense)(p, rng)


def _size(p: Program) -> int:
    size = 1
    for each in p.data.shape:
        size *= each
    return size


def _linear(p: Program, rng: Random) -> list[str]:
    return [f"nn.Linear({_size(p)}, {p.outputs})"]


def dense_layers(p: Program, depth: int, norm: bool = False) -> list[str]:
    """Linear layers with activations between them, and dropout before the last."""
    layers = ["nn.Flatten()"] if p.data.form == "picture" else []
    size = _size(p)
    for _ in range(depth):
        layers += [f"nn.Linear({size}, {p.units})", *([f"nn.BatchNorm1d({p.units})"] if norm else []), "@"]
        size = p.units
    if p.dropout:
        layers.append(f"nn.Dropout({p.dropout})")
    return [*layers, f"nn.Linear({size}, {p.outputs})"]


def _dense(p: Program, rng: Random) -> list[str]:
    return dense_layers(p, rng.choice([1, 2, 2, 3]), rng.random() < 0.15)


def _autoencoder(p: Program, rng: Random) -> list[str]:
    size, code = _size(p), rng.choice([16, 24, 32])
    p.act, p.dropout, p.flat = rng.choice(["relu", "gelu", "elu"]), 0.0, False
    p.tail = rng.choice([None, "sigmoid"])
    return [
        "nn.Flatten()", f"nn.Linear({size}, 96)", "@", f"nn.Linear(96, {code})", "@",
        f"nn.Linear({code}, 96)", "@", f"nn.Linear(96, {size})",
    ]  # fmt: skip


def _convolutions(p: Program, rng: Random) -> list[str]:
    channels, side = p.data.shape[0], p.data.shape[1]
    layers, wide = [], p.units
    for _ in range(2):
        layers.append(f"nn.Conv2d({channels}, {wide}, 3, padding=1)")
        layers += [f"nn.BatchNorm2d({wide})"] if p.kind == "cnn-norm" else []
        layers += ["@", "nn.MaxPool2d(2)"]
        channels, wide, side = wide, 2 * wide, side // 2
    layers += ["nn.Flatten()", f"nn.Linear({channels * side * side}, 32)", "@"]
    layers += [f"nn.Dropout({p.dropout})"] if p.dropout else []
    return [*layers, f"nn.Linear(32, {p.outputs})"]


LOSSES = {
    "classes": (
        ("criterion = nn.CrossEntropyLoss()", "criterion(out, y)", None),
        ("criterion = nn.CrossEntropyLoss()", "criterion(out, y)", None),
        ("", "F.cross_entropy(out, y)", None),
        ("criterion = nn.CrossEntropyLoss(label_smoothing=0.05)", "criterion(out, y)", None),
        ("criterion = nn.NLLLoss()", "criterion(out, y)", "log_softmax"),
        ("", "(torch.logsumexp(out, dim=1) - out.gather(1, y[:, None]).squeeze(1)).mean()", None),
    ),
    "two": (
        ("criterion = nn.BCEWithLogitsLoss()", "criterion(out, y)", None),
        ("criterion = nn.BCEWithLogitsLoss()", "criterion(out, y)", None),
        ("criterion = nn.BCELoss()", "criterion(out, y)", "sigmoid"),
        ("", "(F.softplus(out) - y * out).mean()", None),
    ),
    "number": (
        ("criterion = nn.MSELoss()", "criterion(out, y)", None),
        ("criterion = nn.MSELoss()", "criterion(out, y)", None),
        ("criterion = nn.SmoothL1Loss()", "criterion(out, y)", None),
        ("", "((out - y) ** 2).mean()", None),
    ),
    "next": (("criterion = nn.CrossEntropyLoss()", "criterion(out.flatten(0, 1), y.flatten())", None),),
    "rebuild": (("criterion = nn.MSELoss()", "criterion(out, y)", None), ("", "F.mse_loss(out, y)", None)),
}


def _loss(p: Program, rng: Random) -> None:
    p.loss_setup, p.loss, tail = rng.choice(LOSSES[p.data.task])
    p.tail = tail or p.tail
    p.bfloat = p.core in ("layers",) and tail is None and p.tail is None and rng.random() < 0.05
    p.metric = metric_text(p, rng.random() < 0.3)


def metric_text(p: Program, with_sklearn: bool = False) -> str:
    """What the last line prints, of `out` and `answers`."""
    cut = 0.5 if p.tail == "sigmoid" else 0
    if p.data.form == "rare":
        return f"balanced_accuracy_score(answers.numpy().ravel(), out.numpy().ravel() > {cut})"
    if p.data.task in ("number", "rebuild"):
        return "1 - ((out - answers) ** 2).mean().item() / ((answers - answers.mean(0)) ** 2).mean().item()"
    if p.data.task == "two":
        if with_sklearn:
            return f"accuracy_score(answers.numpy(), (out > {cut}).numpy())"
        return f"((out > {cut}).float() == answers).float().mean().item()"
    if with_sklearn and p.data.task == "classes":
        return "accuracy_score(answers.numpy(), out.argmax(1).numpy())"
    return f"(out.argmax({-1 if p.data.task == 'next' else 1}) == answers).float().mean().item()"


def _optimiser(p: Program, rng: Random) -> None:
    adam, sgd = RATES[p.kind]
    name = rng.choice(["Adam", "Adam", "AdamW", "RMSprop", *(["SGD", "SGD"] if sgd else [])])
    if name == "SGD":
        p.optimisers = [Optimiser("SGD", rng.choice(sgd), {"momentum": 0.9})]
    else:
        rate = rng.choice(adam)
        p.optimisers = [Optimiser(name, rate if name != "RMSprop" else rate / 2)]
        if name == "AdamW":
            p.optimiser.options["weight_decay"] = rng.choice([0.01, 0.05])
    if p.kind == "towers" and rng.random() < 0.6:
        first, second = "[*model.left.parameters(), *model.right.parameters()]", None
        second = "[*model.merge.parameters(), *model.head.parameters()]"
        kind, rate, options = p.optimiser.name, p.optimiser.lr, p.optimiser.options
        p.optimisers = [
            Optimiser(kind, rate, dict(options), first, "optimizer"),
            Optimiser(kind, rate, dict(options), second, "head_optimizer"),
        ]
    elif named_parts(p) and rng.random() < 0.1:
        lr = p.optimiser.lr or 0.0
        groups = f'{{"params": model.body.parameters()}}, {{"params": model.head.parameters(), "lr": {2 * lr:g}}}'
        rest = [part for part in ("words", "lift") if part in entry_parts(p)]
        groups += "".join(f', {{"params": model.{part}.parameters()}}' for part in rest)
        groups += ', {"params": [model.places]}' if p.core == "transformer" else ""
        p.optimiser.parameters = f"[{groups}]"


def named_parts(p: Program) -> bool:
    """Has the model a body and a head?"""
    return p.core in ("lstm", "gru", "rnn", "transformer", "bag", "waves") or (p.form == "class" and len(p.layers) > 2)


def entry_parts(p: Program) -> tuple[str, ...]:
    if p.data.vocabulary:
        return ("words",)
    return ("lift",) if p.core == "transformer" else ()


def _loop(p: Program, rng: Random) -> None:
    p.batch = rng.choice([16, 32, 32, 64])
    steps = STEPS.get(p.kind, 450) * rng.uniform(0.8, 1.5)
    p.epochs = max(4, round(steps * p.batch / p.train_rows))
    p.style = rng.choice(["loader", "loader", "randperm", "main", "argparse", "trainer"])
    p.monitor = rng.choice(["each", "each", "each", "end"])
    p.seen = "train" if rng.random() < 0.05 else "valid"
    p.train_call = "each"
    p.clip = rng.choice([1.0, 5.0]) if rng.random() < (0.5 if p.kind == "recurrent" else 0.1) else None
    if rng.random() < 0.3 and len(p.optimisers) == 1 and "lr" not in p.optimiser.parameters:
        p.schedule = rng.choice(["cosine", "step", "onecycle", "warmup", "plateau"])
        if p.schedule == "plateau" and p.monitor != "each":
            p.schedule = "cosine"
    if rng.random() < 0.1:
        p.accumulate = 2
        p.batch //= 2
        if p.schedule == "onecycle":
            p.schedule = "cosine"
    if p.monitor == "each" and p.schedule != "onecycle" and rng.random() < 0.15:
        p.patience = rng.choice([8, 12])
    small = p.core == "layers" and p.kind in ("mlp", "linear") and p.data.form == "table" and p.rows <= 800
    if small and rng.random() < 0.08:
        p.style, p.epochs, p.schedule, p.clip, p.accumulate = "closure", 25, None, None, 1
        p.dropout, p.bfloat, p.wrap = 0.0, False, "plain"
        p.layers = [layer for layer in p.layers if not layer.startswith(("nn.Dropout", "nn.BatchNorm"))]
        p.optimisers = [Optimiser("LBFGS", 0.1, {"max_iter": 10})]
    if p.wrap == "loss" and p.style == "closure":
        p.wrap = "plain"

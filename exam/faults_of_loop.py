"""Faults of the loop, the optimiser and the regularisation."""

from collections.abc import Iterator
from random import Random

from exam.faults import ANY, DEEP, LAYERED, fault
from exam.program import Optimiser, Program
from exam.samples import dense_layers

BODIED = ("recurrent", "transformer", "embedding", "conv1d", "language")


def _single(p: Program) -> None:
    """One plain optimiser over all parameters."""
    p.optimisers = [Optimiser(p.optimiser.name, p.optimiser.lr, p.optimiser.options)]


def _steady(p: Program) -> None:
    """No schedule that would hide the rate."""
    p.schedule, p.patience = None, 0


def _stepwise(p: Program) -> bool:
    """Batches of at least one step each, gradients cleared at every one."""
    p.accumulate = 1
    return p.style != "closure"


@fault("lr_too_high")
def rate_far_up(p: Program, rng: Random) -> Iterator[None]:
    if not _stepwise(p):
        return
    _single(p)
    p.schedule = p.schedule if p.schedule in ("cosine", "step") else None
    p.clip = None
    yield
    p.optimiser.lr = round((p.optimiser.lr or 0.01) * rng.choice([100, 200, 500]), 5)


@fault("lr_too_low", "too_few_epochs", "wrong_optimizer")
def rate_far_down(p: Program, rng: Random) -> Iterator[None]:
    if not _stepwise(p):
        return
    _single(p)
    _steady(p)
    yield
    p.optimiser.lr = float(f"{(p.optimiser.lr or 0.01) / rng.choice([300, 1000, 3000]):.1g}")


@fault("wrong_optimizer_eps", "lr_too_low")
def damped_steps(p: Program, rng: Random) -> Iterator[None]:
    if not _stepwise(p):
        return
    p.optimisers = [Optimiser("Adam", p.optimiser.lr if p.optimiser.name != "SGD" else 0.003)]
    _steady(p)
    yield
    p.optimiser.options["eps"] = rng.choice([1.0, 10.0, 100.0])


@fault("wrong_optimizer_eps", "wrong_optimizer", kinds=("linear", "mlp", "cnn", "cnn-norm", "towers"))
def dampened_momentum(p: Program, rng: Random) -> Iterator[None]:
    if not _stepwise(p):
        return
    p.optimisers = [Optimiser("SGD", 0.03, {"momentum": 0.9})]
    _steady(p)
    yield
    p.optimiser.options["dampening"] = 1.0


@fault("wrong_optimizer", "lr_too_low", "too_few_epochs")
def another_optimiser(p: Program, rng: Random) -> Iterator[None]:
    if not _stepwise(p):
        return
    _single(p)
    _steady(p)
    yield
    name, rate = rng.choice([("Adadelta", 0.01), ("Adagrad", 0.0005), ("Rprop", 0.05), ("ASGD", 0.001)])
    p.optimisers = [Optimiser(name, rate)]


@fault("too_few_epochs", "bad_batch_size", "lr_too_low")
def over_too_soon(p: Program, rng: Random) -> Iterator[None]:
    if not _stepwise(p):
        return
    _single(p)
    _steady(p)
    p.batch = 64
    p.epochs = max(p.epochs, 20)
    yield
    p.epochs = 1


@fault("bad_batch_size", "too_few_epochs", "lr_too_low")
def all_rows_at_once(p: Program, rng: Random) -> Iterator[None]:
    if not _stepwise(p):
        return
    _single(p)
    _steady(p)
    p.epochs = min(p.epochs, 15)
    yield
    p.batch = p.rows


@fault("bad_batch_size", "lr_too_high", kinds=("cnn-norm", "mlp", "cnn"))
def one_row_at_once(p: Program, rng: Random) -> Iterator[None]:
    if not _stepwise(p) or any("BatchNorm1d" in layer for layer in p.layers):
        return
    p.optimisers = [Optimiser("SGD", 0.1 if p.kind == "cnn-norm" else 0.05, {"momentum": 0.9})]
    _steady(p)
    p.clip = None
    p.batch, p.epochs = 64, max(p.epochs // 2, 8)
    yield
    p.batch, p.epochs = 1, 3


@fault("missing_zero_grad")
def gradients_kept(p: Program, rng: Random) -> Iterator[None]:
    if not _stepwise(p):
        return
    p.clip = None
    yield
    p.zero = "none"


@fault("missing_zero_grad_order")
def gradients_cleared_late(p: Program, rng: Random) -> Iterator[None]:
    if not _stepwise(p):
        return
    yield
    p.zero = "between"


@fault("missing_step")
def no_step(p: Program, rng: Random) -> Iterator[None]:
    if not _stepwise(p):
        return
    yield
    p.step = rng.choice(["none", "none", "rare"])


@fault("params_not_in_optimizer", "frozen_params", kinds=(*BODIED, "mlp", "cnn"))
def head_only(p: Program, rng: Random) -> Iterator[None]:
    if not _stepwise(p):
        return
    if p.core == "layers":
        p.form, p.wrap = "class", rng.choice(["plain", "dict"])
    _single(p)
    yield
    p.optimiser.parameters = rng.choice(["model.head.parameters()", "[model.head.bias]"])


@fault("params_not_in_optimizer", kinds=ANY)
def another_model(p: Program, rng: Random) -> Iterator[None]:
    if not _stepwise(p) or p.core == "layers" and p.form == "sequential":
        return
    _single(p)
    if p.core == "layers":
        p.form = "class" if len(p.layers) > 2 else "functional"
    yield
    p.optimiser.parameters = "Net().parameters()"


@fault("params_not_in_optimizer", kinds=LAYERED)
def plain_list(p: Program, rng: Random) -> Iterator[None]:
    if not _stepwise(p):
        return
    _single(p)
    p.form = "listed"
    if p.kind == "mlp":
        p.units = 8
        p.layers = dense_layers(p, 3)
    yield
    p.form = "unlisted"


@fault("frozen_params", "params_not_in_optimizer", kinds=(*BODIED, "mlp", "cnn"))
def no_gradient_wanted(p: Program, rng: Random) -> Iterator[None]:
    if not _stepwise(p):
        return
    if p.core == "layers":
        p.form = "class"
    _single(p)
    yield
    which = rng.choice(["weights", "weights", "names"])
    loop = "for param in model.parameters():\n    param.requires_grad_(param.dim() == 1)"
    if which == "names":
        loop = 'for name, param in model.named_parameters():\n    param.requires_grad = name == "head.bias"'
    p.after_model.append(loop)


@fault("detached_graph", "frozen_params", kinds=(*BODIED, "mlp", "cnn"))
def cut_way(p: Program, rng: Random) -> Iterator[None]:
    if not _stepwise(p):
        return
    if p.core == "layers":
        p.form = "class"
    _single(p)
    yield
    p.body_detached = rng.choice(["rows", "block"])


@fault("detached_graph", kinds=ANY)
def loss_made_anew(p: Program, rng: Random) -> Iterator[None]:
    if not _stepwise(p) or p.wrap == "loss" or p.bfloat:
        return
    _single(p)
    yield
    p.loss = f"torch.tensor(({p.loss}).item(), requires_grad=True)"


@fault("eval_mode_wrong", kinds=("cnn-norm", "mlp", "cnn"), shows="worse")
def always_resting(p: Program, rng: Random) -> Iterator[None]:
    if not _stepwise(p):
        return
    if p.kind == "mlp":
        p.dropout = 0.0
        p.layers = dense_layers(p, 4, norm=True)
    if not any("BatchNorm" in layer for layer in p.layers):
        return
    yield
    p.train_call = "eval"


@fault("eval_mode_wrong", kinds=("mlp", "cnn", "recurrent", "embedding"), shows="slightly")
def judged_awake(p: Program, rng: Random) -> Iterator[None]:
    if p.style == "closure" or p.seen != "valid":
        return
    p.dropout, p.patience = 0.5, 0
    if p.core == "layers":
        p.layers = [layer for layer in p.layers if not layer.startswith("nn.Dropout")]
        p.layers.insert(len(p.layers) - 1, "nn.Dropout(0.5)")
    yield
    p.eval_call = "none"


@fault("missing_clipping", "lr_too_high", kinds=("recurrent",))
def not_clipped(p: Program, rng: Random) -> Iterator[None]:
    if not _stepwise(p):
        return
    p.core = "rnn"
    p.optimisers = [Optimiser("SGD", rng.choice([0.05, 0.1, 0.3]), {"momentum": 0.9})]
    _steady(p)
    p.clip, p.epochs = 0.25, p.epochs + 10
    yield
    p.clip = None


@fault("over_regularised")
def heavy_decay(p: Program, rng: Random) -> Iterator[None]:
    if not _stepwise(p):
        return
    p.optimisers = [Optimiser("AdamW", p.optimiser.lr if p.optimiser.name != "SGD" else 0.003)]
    if rng.random() < 0.5:
        p.optimiser.name = "Adam"
    _steady(p)
    yield
    p.optimiser.options["weight_decay"] = rng.choice([1.0, 3.0]) if p.optimiser.name == "Adam" else 100.0


@fault("over_regularised")
def heavy_penalty(p: Program, rng: Random) -> Iterator[None]:
    if not _stepwise(p) or p.wrap == "loss":
        return
    yield
    weight = rng.choice([0.1, 0.5, 1.0])
    power = rng.choice(["param.abs().sum()", "param.pow(2).sum()"])
    p.loss += f" + {weight} * sum({power} for param in model.parameters())"


@fault("dropout_too_high", kinds=DEEP)
def nearly_all_dropped(p: Program, rng: Random) -> Iterator[None]:
    if p.style == "closure" or p.kind == "autoencoder":
        return
    p.dropout = 0.1
    rate = rng.choice([0.9, 0.95, 0.98])
    if p.core == "layers":
        after = [at for at, layer in enumerate(p.layers) if layer == "@"]
        sound = [layer for layer in p.layers if not layer.startswith("nn.Dropout")]
        after = [at for at, layer in enumerate(sound) if layer == "@"]
        if not after:
            return
        p.layers = sound
        yield
        for at in reversed(after):
            p.layers.insert(at + 1, f"nn.Dropout({rate})")
    else:
        yield
        p.dropout = rate


@fault("overfit", "missing_regularisation", "too_many_units", kinds=("mlp",), data="signals")
def known_by_heart(p: Program, rng: Random) -> Iterator[None]:
    p.rows, p.units, p.dropout, p.noise = 80, 256, 0.0, rng.choice([1.0, 1.5])
    p.layers, p.wrap, p.style, p.monitor = dense_layers(p, 2), "plain", "loader", "each"
    p.optimisers, p.batch, p.epochs, p.accumulate = [Optimiser("Adam", 0.002)], 16, 80, 1
    p.schedule, p.patience, p.seen = None, 0, "train"
    yield
    p.seen = "valid"

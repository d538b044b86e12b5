"""Faults of the network and of the loss: activations, widths, depths, first weights, and what is made small."""

from collections.abc import Iterator
from random import Random

from exam.faults import ANY, DEEP, LAYERED, fault
from exam.program import Optimiser, Program
from exam.samples import dense_layers, metric_text

BENT = ("mlp",)


def _usual_loss(p: Program) -> None:
    """The loss that most authors take for the task, on raw outputs."""
    p.tail = None
    usual = {"classes": "nn.CrossEntropyLoss()", "two": "nn.BCEWithLogitsLoss()"}.get(p.data.task, "nn.MSELoss()")
    p.loss_setup = f"criterion = {usual}"
    p.loss = "criterion(out.flatten(0, 1), y.flatten())" if p.data.task == "next" else "criterion(out, y)"
    p.metric = metric_text(p)


def _own_loss(p: Program, text: str, setup: str = "") -> None:
    p.loss_setup, p.loss = setup, text


@fault("wrong_output_activation", "wrong_loss")
def squashed_before_loss(p: Program, rng: Random) -> Iterator[None]:
    if p.data.task != "classes" or p.style == "closure":
        return
    _usual_loss(p)
    p.epochs = max(4, p.epochs * 2 // 3)
    yield
    p.tail = rng.choice(["softmax", "softmax", "sigmoid"])


@fault("wrong_output_activation")
def cut_below_zero(p: Program, rng: Random) -> Iterator[None]:
    if p.data.task not in ("number", "two", "classes"):
        return
    _usual_loss(p)
    yield
    p.tail = "relu"


@fault("wrong_output_activation", "target_not_normalised", kinds=DEEP)
def answers_out_of_reach(p: Program, rng: Random) -> Iterator[None]:
    if p.data.task != "number":
        return
    _usual_loss(p)
    yield
    p.tail = rng.choice(["sigmoid", "sigmoid", "softplus"])


@fault("wrong_output_activation", "wrong_output_units")
def share_of_one(p: Program, rng: Random) -> Iterator[None]:
    if p.data.task != "two":
        return
    p.flat = False
    p.tail = "sigmoid"
    _own_loss(p, "criterion(out, y)", "criterion = nn.BCELoss()")
    p.metric = metric_text(p)
    yield
    p.tail = "softmax"


@fault("wrong_output_activation", kinds=("autoencoder",))
def pixels_as_shares(p: Program, rng: Random) -> Iterator[None]:
    p.tail = "sigmoid"
    yield
    p.tail = "softmax"


@fault("missing_output_activation", "wrong_loss")
def raw_into_likelihood(p: Program, rng: Random) -> Iterator[None]:
    if p.data.task != "classes":
        return
    p.tail = "log_softmax"
    _own_loss(p, "criterion(out, y)", "criterion = nn.NLLLoss()")
    yield
    p.tail = None


@fault("missing_output_activation", "unstable_loss_impl")
def raw_into_logarithm(p: Program, rng: Random) -> Iterator[None]:
    if p.data.task != "two":
        return
    p.tail, p.bfloat = "sigmoid", False
    share = "out.clamp(1e-6, 1 - 1e-6)"
    _own_loss(p, f"-(y * torch.log({share}) + (1 - y) * torch.log(1 - {share})).mean()")
    p.metric = metric_text(p)
    yield
    p.tail = None


@fault("missing_hidden_activation", "too_few_layers", kinds=BENT)
def nothing_between(p: Program, rng: Random) -> Iterator[None]:
    if not p.data.bent or p.data.name == "moons":
        return
    p.units, p.dropout = 32, 0.0
    p.layers, p.act = dense_layers(p, rng.choice([2, 3])), rng.choice(["relu", "tanh", "gelu"])
    yield
    p.act = None


@fault("too_few_layers", "missing_hidden_activation", kinds=BENT)
def straight_line(p: Program, rng: Random) -> Iterator[None]:
    if not p.data.bent or p.data.name == "moons" or p.style == "closure":
        return
    p.units, p.dropout, p.form = 32, 0.0, "sequential"
    p.layers = dense_layers(p, 2)
    yield
    p.layers = dense_layers(p, 0)


@fault("wrong_hidden_activation", kinds=LAYERED)
def odd_activation(p: Program, rng: Random) -> Iterator[None]:
    p.act = "relu"
    if p.kind == "mlp":
        p.layers = dense_layers(p, 3)
    yield
    p.act = rng.choice(["softmax", "hard", "tanhshrink", "sigmoid"])


@fault(
    "vanishing_gradient_architecture", "wrong_hidden_activation", "too_many_layers", "missing_normalisation_layer",
    kinds=("mlp",),
)  # fmt: skip
def many_squashing_layers(p: Program, rng: Random) -> Iterator[None]:
    if p.style == "closure":
        return
    p.units, p.dropout, p.act, p.optimisers[0].lr = 24, 0.0, "relu", 0.003
    p.optimiser.name, p.optimiser.options = "Adam", {}
    p.layers = dense_layers(p, 3)
    yield
    p.act = "sigmoid"
    p.layers = dense_layers(p, rng.choice([8, 12, 15]))


@fault(
    "too_many_layers", "vanishing_gradient_architecture", "missing_normalisation_layer", "wrong_init", kinds=("mlp",)
)  # fmt: skip
def far_too_deep(p: Program, rng: Random) -> Iterator[None]:
    if p.style == "closure":
        return
    p.units, p.dropout, p.act = 24, 0.0, "relu"
    p.layers = dense_layers(p, 3)
    yield
    p.layers = dense_layers(p, rng.choice([24, 32, 40]))


@fault(
    "missing_normalisation_layer", "vanishing_gradient_architecture", "too_many_layers", "wrong_init",
    kinds=("mlp", "cnn"),
)  # fmt: skip
def norms_left_out(p: Program, rng: Random) -> Iterator[None]:
    if p.style == "closure" or p.data.form not in ("table", "picture"):
        return
    p.optimisers, p.schedule, p.act = [Optimiser("SGD", 0.05, {"momentum": 0.9})], None, rng.choice(["relu", "tanh"])
    p.clip, p.dropout = None, 0.0
    p.units = 24 if p.kind == "mlp" else 8
    depth = rng.choice([10, 14])
    if p.kind == "mlp":
        p.layers = dense_layers(p, depth, norm=True)
    else:
        p.layers = []
        for at in range(depth):
            p.layers += [f"nn.Conv2d({p.units if at else p.data.shape[0]}, {p.units}, 3, padding=1)"]
            p.layers += [f"nn.BatchNorm2d({p.units})", "@", *(["nn.MaxPool2d(2)"] if at == 3 else [])]
        side = p.data.shape[1] // 2
        p.layers += ["nn.Flatten()", f"nn.Linear({p.units * side * side}, {p.outputs})"]
    yield
    p.layers = [layer for layer in p.layers if "BatchNorm" not in layer]


@fault("too_few_units", kinds=("mlp", "recurrent", "autoencoder", "embedding", "towers"))
def narrow(p: Program, rng: Random) -> Iterator[None]:
    if p.style == "closure":
        return
    p.dropout = 0.0
    if p.kind == "mlp":
        p.act = "relu"
        p.layers = dense_layers(p, 2)
    yield
    if p.kind == "autoencoder":
        code = p.layers[3].rsplit(" ", 1)[1].rstrip(")")
        p.layers = [layer.replace(f", {code})", ", 1)").replace(f"({code},", "(1,") for layer in p.layers]
    else:
        p.units = 1
        p.layers = dense_layers(p, 2) if p.kind == "mlp" else p.layers


@fault("wrong_init", kinds=ANY)
def first_weights(p: Program, rng: Random) -> Iterator[None]:
    if p.kind == "linear":
        return
    _steady(p)
    yield
    how = rng.choice(["nn.init.constant_(param, {})", "nn.init.normal_(param, 0, {})", "nn.init.normal_(param, 0, {})"])
    if "constant" in how:
        how = how.format(rng.choice([0.0, 0.0, 0.1, 0.5]))
    else:
        how = how.format(rng.choice([5.0, 10.0, 1e-5]))
    p.after_model.append(f"for param in model.parameters():\n    if param.dim() > 1:\n        {how}")


@fault("wrong_init", kinds=LAYERED)
def all_alike(p: Program, rng: Random) -> Iterator[None]:
    p.dropout = 0.0
    _steady(p)
    p.layers = [layer for layer in p.layers if not layer.startswith("nn.Dropout")]
    yield
    value = rng.choice([0.0, 0.01, 0.1, 1.0])
    p.after_model += [
        "def start(layer):\n    if isinstance(layer, (nn.Linear, nn.Conv2d)):\n"
        f"        nn.init.constant_(layer.weight, {value})\n        nn.init.zeros_(layer.bias)\n\n",
        "model.apply(start)",
    ]


@fault("wrong_loss", "wrong_output_units", kinds=("mlp", "cnn", "recurrent", "embedding", "towers"))
def number_of_the_class(p: Program, rng: Random) -> Iterator[None]:
    if p.data.task != "classes" or p.data.outputs < 4:
        return
    _usual_loss(p)
    p.flat = False
    yield
    _one_output(p)
    loss = rng.choice(["nn.MSELoss()", "nn.L1Loss()"])
    _own_loss(p, "criterion(out, y[:, None].float())", f"criterion = {loss}")
    p.metric = "(out.round().squeeze(1) == answers).float().mean().item()"


@fault("wrong_loss", "wrong_output_units", "labels_wrong_encoding", kinds=("mlp", "cnn", "recurrent", "embedding"))
def two_sided_loss(p: Program, rng: Random) -> Iterator[None]:
    if p.data.task != "classes" or p.data.outputs < 3:
        return
    _usual_loss(p)
    yield
    _one_output(p)
    _own_loss(p, "criterion(out, y[:, None].float())", "criterion = nn.BCEWithLogitsLoss()")
    p.metric = "(out.round().squeeze(1) == answers).float().mean().item()"


@fault("wrong_loss", "wrong_output_units", "wrong_output_activation")
def share_of_one_column(p: Program, rng: Random) -> Iterator[None]:
    if p.data.task not in ("two", "number"):
        return
    _usual_loss(p)
    p.flat = False
    yield
    _own_loss(p, "criterion(out, y)", "criterion = nn.CrossEntropyLoss()")


@fault("wrong_loss", kinds=DEEP)
def loss_for_yes_or_no(p: Program, rng: Random) -> Iterator[None]:
    if p.data.task != "number":
        return
    _usual_loss(p)
    yield
    _own_loss(p, "criterion(out, y)", "criterion = nn.BCEWithLogitsLoss()")


@fault("wrong_loss", "missing_output_activation")
def distance_of_shares(p: Program, rng: Random) -> Iterator[None]:
    if p.data.task != "classes":
        return
    _usual_loss(p)
    yield
    _own_loss(p, f"criterion(out, F.one_hot(y, {p.outputs}).float())", "criterion = nn.KLDivLoss()")


@fault("wrong_loss", kinds=("mlp", "cnn", "recurrent", "transformer"))
def absolute_shares(p: Program, rng: Random) -> Iterator[None]:
    if p.data.task != "classes":
        return
    _usual_loss(p)
    yield
    _own_loss(p, f"criterion(out, F.one_hot(y, {p.outputs}).float())", "criterion = nn.L1Loss()")


@fault("wrong_loss_reduction", "lr_too_high", "missing_clipping")
def added_over_rows(p: Program, rng: Random) -> Iterator[None]:
    if p.style == "closure" or p.data.task == "next":
        return
    _usual_loss(p)
    p.optimisers = [Optimiser("SGD", 0.1, {"momentum": 0.9})]
    _steady(p)
    p.clip, p.accumulate, p.batch = None, 1, 64
    yield
    p.loss_setup = p.loss_setup.replace("()", '(reduction="sum")')


@fault("unstable_loss_impl")
def logarithm_of_share(p: Program, rng: Random) -> Iterator[None]:
    if p.data.task not in ("classes", "two") or p.style == "closure":
        return
    _usual_loss(p)
    p.bfloat, p.clip = False, None
    if p.kind in ("mlp", "linear", "cnn", "cnn-norm", "towers"):
        p.optimisers = [Optimiser("Adam", rng.choice([0.02, 0.05]))]
    _steady(p)
    p.epochs *= 2
    yield
    if p.data.task == "two":
        _own_loss(p, "-(y * torch.log(torch.sigmoid(out)) + (1 - y) * torch.log(1 - torch.sigmoid(out))).mean()")
    else:
        share = rng.choice(["torch.softmax(out, dim=1)", "(out.exp() / out.exp().sum(dim=1, keepdim=True))"])
        _own_loss(p, f"-torch.log({share}.gather(1, y[:, None])).mean()")


@fault("flipped_loss_sign")
def upwards(p: Program, rng: Random) -> Iterator[None]:
    if p.style == "closure":
        return
    _usual_loss(p)
    yield
    if p.data.task == "classes" and rng.random() < 0.5:
        _own_loss(p, "F.log_softmax(out, dim=1).gather(1, y[:, None]).mean()")
    else:
        p.loss = f"-{p.loss}"


@fault("shape_broadcast", kinds=DEEP)
def column_against_row(p: Program, rng: Random) -> Iterator[None]:
    if p.data.task != "number" or p.style == "closure":
        return
    _usual_loss(p)
    p.flat = rng.random() < 0.5
    if rng.random() < 0.5:
        _own_loss(p, "((out - y) ** 2).mean()")
    p.metric = p.metric.replace("(out - answers)", "(out.reshape(-1) - answers.reshape(-1))")
    yield
    p.flat_answers = not p.flat


def _steady(p: Program) -> None:
    p.schedule, p.patience = None, 0


def _one_output(p: Program) -> None:
    p.outputs = 1
    if p.layers:
        p.layers[-1] = p.layers[-1].rsplit(",", 1)[0] + ", 1)"

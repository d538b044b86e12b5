"""Sound programs that look odd: what a hasty reader would call a fault, and is none."""

from collections.abc import Callable
from random import Random

from exam.program import Optimiser, Program
from exam.samples import dense_layers, draw_sample


def half_dropped(p: Program, rng: Random) -> None:
    p.dropout = 0.5
    p.units = 96
    p.layers = dense_layers(p, 2)


def large_rate(p: Program, rng: Random) -> None:
    p.optimisers = [Optimiser("SGD", rng.choice([0.1, 0.2]), {})]
    p.schedule, p.patience = rng.choice([None, "cosine"]), 0


def pixels_into_norm(p: Program, rng: Random) -> None:
    p.prepare = p.prepare_valid = "none"
    p.layers = [f"nn.BatchNorm2d({p.data.shape[0]})", *p.layers]


def units_into_norm(p: Program, rng: Random) -> None:
    p.prepare = p.prepare_valid = "none"
    p.layers = [f"nn.BatchNorm1d({p.data.shape[0]})", *p.layers] if p.data.form == "table" else p.layers


def added_loss(p: Program, rng: Random) -> None:
    p.loss_setup, p.loss, p.tail = "", 'F.cross_entropy(out, y, reduction="sum")', None
    p.batch, p.epochs, p.accumulate = 32, 15, 1
    p.optimisers, p.schedule = [Optimiser("SGD", 0.002, {"momentum": 0.8})], None


def random_body(p: Program, rng: Random) -> None:
    p.form, p.units = "class", 128
    p.layers = dense_layers(p, 1)
    p.optimisers = [Optimiser("Adam", 0.01, {}, "model.head.parameters()")]
    p.after_model = ["for param in model.body.parameters():\n    param.requires_grad_(False)"]


def weighted(p: Program, rng: Random) -> None:
    p.tail, p.seen, p.bfloat = None, "valid", False
    p.loss_setup, p.loss = "criterion = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(20.0))", "criterion(out, y)"
    p.metric = p.metric.replace("> 0.5", "> 0")


def many_small_steps(p: Program, rng: Random) -> None:
    p.accumulate, p.batch, p.schedule = 4, 8, "cosine"


def one_long_epoch(p: Program, rng: Random) -> None:
    p.batch, p.epochs, p.schedule, p.patience, p.accumulate = 4, 3, None, 0, 1


def squashing(p: Program, rng: Random) -> None:
    p.act = "sigmoid"
    p.layers = dense_layers(p, 1)
    p.epochs *= 2


def share_by_hand(p: Program, rng: Random) -> None:
    p.loss_setup, p.tail = "", None
    p.loss = "-(torch.log(torch.softmax(out, dim=1) + 1e-8).gather(1, y[:, None])).mean()"


ODD: tuple[tuple[Callable[[Program, Random], None], tuple[str, ...], tuple[str, ...]], ...] = (
    (half_dropped, ("mlp",), ("classes", "two")),
    (large_rate, ("mlp", "cnn", "linear"), ("classes", "two")),
    (pixels_into_norm, ("cnn", "cnn-norm"), ("classes", "two")),
    (units_into_norm, ("mlp", "linear"), ("classes", "two", "number")),
    (added_loss, ("mlp", "cnn"), ("classes",)),
    (random_body, ("mlp",), ("classes", "two")),
    (weighted, ("rare",), ("two",)),
    (many_small_steps, ("mlp", "cnn", "recurrent"), ("classes", "two", "number")),
    (one_long_epoch, ("mlp", "embedding", "conv1d"), ("classes", "two", "number")),
    (squashing, ("mlp",), ("classes", "two", "number")),
    (share_by_hand, ("mlp", "cnn", "embedding"), ("classes",)),
)


def draw_odd(rng: Random) -> tuple[Program, str]:
    """A program and the name of what is odd about it."""
    change, kinds, tasks = rng.choice(ODD)
    for _ in range(200):
        p = draw_sample(rng, rng.choice(kinds))
        if p.data.task in tasks and p.style != "closure":
            break
    change(p, rng)
    return p, f"odd: {change.__name__}"

"""glia.train as it comes: run folder, log, checkpoints, doctor. Once with its own number format, once in float32."""

from contextlib import suppress
from functools import partial
from typing import Any

import glia
from benchmarks.speed.job import Job, Trained, Unfit
from benchmarks.speed.networks import logits_of
from glia.recipe import Train
from glia.training.loop import Moment


class Seen(Exception):
    """All epochs that were to be seen are over."""


def train(job: Job, precision: str | None) -> Trained:
    if precision == Train.model_fields["precision"].default:
        raise Unfit(f"{precision} is the default")
    network = job.work.first_network()

    chosen = ""

    def begin(session: Any, folder: Any, choices: Any) -> tuple[Any, ...]:
        nonlocal chosen
        made = session.recipe.train
        layout = made.memory_format.replace("_", " ")
        chosen = f"{made.precision}, products by {made.products}, {layout}, {made.threads} threads"

        def watch(moment: Moment) -> None:
            if moment.kind == "epoch":
                job.marks.epoch(lambda x: logits_of(network, x))
                if job.planned and moment.epoch + 1 == job.epochs:
                    raise Seen

        return (watch,)

    settings: dict[str, Any] = dict(job.rows.glia) or {"data": job.tensors()}
    settings |= {"precision": precision} if precision else {}
    settings |= {"batch_size": job.batch} if job.batch else {}
    if job.rate:  # as the others: a rate that stays, and no end where nothing is gained
        settings |= {"optimizer": "adam", "lr": job.rate, "schedule": "constant", "warmup": 0.0, "patience": 0}
        settings |= {"weight_decay": 0.0}
    settings |= {"step": glia.next_token()} if job.work.tokens else {}
    with suppress(Seen):
        glia.train(model=network, epochs=job.planned or job.epochs, runs=job.folder, begin=begin, **settings)
    return Trained(lambda x: logits_of(network, x), sum(p.numel() for p in network.parameters()), chosen=chosen)


TRAIN = {"glia": partial(train, precision=None), "glia-float32": partial(train, precision="float32")}

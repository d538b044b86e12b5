"""glia.train as it comes: run folder, log, checkpoints, doctor. Once with its own number format, once in float32."""

from functools import partial
from typing import Any

import glia
from benchmarks.speed.job import Job, Trained, Unfit
from benchmarks.speed.networks import logits_of
from glia.recipe import Train
from glia.training.loop import Moment


def train(job: Job, precision: str | None) -> Trained:
    if precision == Train.model_fields["precision"].default:
        raise Unfit(f"{precision} is the default")
    network = job.work.first_network()

    def begin(session: Any, folder: Any, choices: Any) -> tuple[Any, ...]:
        def watch(moment: Moment) -> None:
            if moment.kind == "epoch":
                job.marks.epoch(lambda x: logits_of(network, x))

        return (watch,)

    settings: dict[str, Any] = dict(job.rows.glia) or {"data": job.tensors()}
    settings |= {"precision": precision} if precision else {}
    settings |= {"batch_size": job.batch} if job.batch else {}
    # As many epochs as the others make: it would end sooner where nothing is gained.
    settings |= {"optimizer": "adam", "lr": job.rate, "patience": 0} if job.rate else {}
    settings |= {"step": glia.next_token()} if job.work.tokens else {}
    run = glia.train(model=network, epochs=job.epochs, runs=job.folder, begin=begin, **settings)
    made = run.recipe.train
    chosen = f"{made.precision}, products by {made.products}, {made.threads} threads"
    return Trained(lambda x: logits_of(network, x), sum(p.numel() for p in network.parameters()), chosen=chosen)


TRAIN = {"glia": partial(train, precision=None), "glia-float32": partial(train, precision="float32")}

"""Validation: the same step, in evaluation mode, without gradients, over rows that training does not use."""

import torch
from torch import nn

from glia.training.feed import Feed, moved
from glia.training.numbers import Numbers
from glia.training.stall import beat
from glia.training.steps import Step
from glia.training.update import as_outcome, rows_of
from glia.training.world import World


def validate(
    model: nn.Module, feed: Feed, step: Step, numbers: Numbers, device: torch.device, world: World | None = None
) -> dict[str, float]:
    """``{"valid_loss": ..., "valid_<metric>": ...}``: means over rows; empty when there is nothing to validate on.

    Each process of the world takes its share of every batch.
    """
    world = world or World()
    metric = getattr(step, "metric", None)
    rows, loss_sum, metric_sum = 0, 0.0, 0.0
    training = model.training
    model.eval()
    with torch.inference_mode(), numbers.step(), numbers.forward(device):
        for batch in feed.check(world):
            beat()
            if not rows_of(batch):
                continue
            outcome = as_outcome(step(model, moved(batch, device, numbers.layout)))
            rows += outcome.rows
            loss_sum += outcome.loss.item() * outcome.rows
            metric_sum += 0.0 if outcome.metric is None else outcome.metric.item()
    model.train(training)
    rows, loss_sum, metric_sum = map(sum, zip(*world.gather([rows, loss_sum, metric_sum])))
    if not rows:
        return {}
    figures = {"valid_loss": loss_sum / rows}
    if metric is not None:
        figures[f"valid_{metric.name}"] = metric.finish(metric_sum / rows)
    return figures

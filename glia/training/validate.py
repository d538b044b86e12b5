"""Validation: the same step, in evaluation mode, without gradients, over rows that training does not use."""

import torch
from torch import nn

from glia.training.feed import Feed, moved
from glia.training.steps import Step
from glia.training.update import as_outcome, numbers


def validate(model: nn.Module, feed: Feed, step: Step, precision: str, device: torch.device) -> dict[str, float]:
    """``{"valid_loss": ..., "valid_<metric>": ...}``: means over rows; empty when there is nothing to validate on."""
    metric = getattr(step, "metric", None)
    rows, loss_sum, metric_sum = 0, 0.0, 0.0
    training = model.training
    model.eval()
    with torch.inference_mode(), numbers(precision, device):
        for batch in feed.check():
            outcome = as_outcome(step(model, moved(batch, device)))
            rows += outcome.rows
            loss_sum += outcome.loss.item() * outcome.rows
            metric_sum += 0.0 if outcome.metric is None else outcome.metric.item()
    model.train(training)
    if not rows:
        return {}
    figures = {"valid_loss": loss_sum / rows}
    if metric is not None:
        figures[f"valid_{metric.name}"] = metric.finish(metric_sum / rows)
    return figures

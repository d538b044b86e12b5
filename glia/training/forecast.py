"""The step of networks that forecast: what has no value is not told."""

from typing import Any

import torch
from torch import Tensor, nn

from glia.nn import losses
from glia.training.metrics import Metric
from glia.training.steps import Outcome, Step


def forecasting(loss: str = "mse", *, quantiles: tuple[float, ...] = (), **options: Any) -> Step:
    """A Step over windows: outputs (N, horizon, T), or (N, horizon, T, Q) of `quantiles`; targets (N, horizon, T)
    standardised, NaN where there is no value.

    loss: a name in the catalogue, of numbers; of quantiles it is their pinball loss. Metric: the mean squared error of
    the forecast (of the middle quantile), in standard deviations squared, as papers on forecasting give it.
    """
    measure = losses.build("pinball", quantiles=quantiles) if quantiles else losses.build(loss, **options)

    def step(model: nn.Module, batch: Any) -> Outcome:
        outputs, targets = model(batch.inputs).float(), batch.targets
        known = targets.isfinite()
        value = measure(outputs[known], targets[known])
        with torch.no_grad():
            return Outcome(value, len(targets), per_row(outputs, targets).sum())

    def per_row(outputs: Tensor, targets: Tensor) -> Tensor:
        told = outputs[..., len(quantiles) // 2] if quantiles else outputs
        error = (told - targets).square().nan_to_num().flatten(1)
        return error.sum(1) / targets.isfinite().flatten(1).sum(1).clamp_min(1)

    step.metric = Metric("mse", per_row, higher_is_better=False)  # type: ignore[attr-defined]
    return step

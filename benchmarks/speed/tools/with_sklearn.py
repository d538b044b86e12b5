"""scikit-learn's MLPClassifier. Of two classes it gives one logit, where torch's network gives two."""

from typing import Any

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier
from torch import Tensor, nn

from benchmarks.speed.job import Job, Marks, Trained, Unfit


class Marked(MLPClassifier):  # type: ignore[misc]
    """It has no callbacks, but at the end of each epoch it asks itself whether to stop."""

    marks: Marks

    def _update_no_improvement_count(self, *args: Any, **kwargs: Any) -> None:
        super()._update_no_improvement_count(*args, **kwargs)
        self.marks.epoch(lambda x: shares(self, x))


def shares(model: MLPClassifier, x: Tensor) -> Tensor:
    """The logarithm of each class's share; `predict_proba` is not for a network that still trains."""
    found = model._forward_pass_fast(x.flatten(1).numpy(), check_input=False)
    both = np.hstack([1 - found, found]) if found.shape[1] == 1 else found
    return torch.from_numpy(both).clamp_min(1e-12).log()


def train(job: Job) -> Trained:
    x, y = job.tensors()
    if job.work.tokens:
        raise Unfit("it has one answer a row")
    # With its own defaults it has its own network too.
    layers = _dense(job.work.first_network()) if job.rate else []
    settings: dict[str, Any] = {"batch_size": job.batch} if job.batch else {}
    settings |= {"hidden_layer_sizes": [part.out_features for part in layers[:-1]]} if layers else {}
    # As many epochs as were asked for: the loss may stop falling before.
    settings |= {"learning_rate_init": job.rate, "n_iter_no_change": 10**6} if job.rate else {}
    model = Marked(max_iter=job.epochs, random_state=0, **settings)
    model.marks = job.marks
    model.fit(x.flatten(1).numpy(), y.numpy())
    count = sum(part.size for part in (*model.coefs_, *model.intercepts_))
    one_logit = bool(layers) and layers[-1].out_features == 2
    return Trained(lambda x: shares(model, x), count, layers[-1].in_features + 1 if one_logit else 0)


def _dense(network: nn.Module) -> list[nn.Linear]:
    """Its layers. Raises Unfit where it has any but dense ones with ReLU between them."""
    parts = list(network.modules())[1:]
    if not all(isinstance(part, nn.Linear | nn.ReLU) for part in parts):
        raise Unfit("not a network of dense layers")
    return [part for part in parts if isinstance(part, nn.Linear)]


TRAIN = {"sklearn": train}

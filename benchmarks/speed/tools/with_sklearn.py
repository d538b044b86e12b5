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
    found = model._forward_pass_fast(x.numpy(), check_input=False)
    both = np.hstack([1 - found, found]) if found.shape[1] == 1 else found
    return torch.from_numpy(both).clamp_min(1e-12).log()


def train(job: Job) -> Trained:
    layers = [part for part in job.work.first_network().modules() if isinstance(part, nn.Linear | nn.ReLU)]
    if len(layers) + 1 != len(list(job.work.first_network().modules())):
        raise Unfit("not a network of dense layers")
    x, y = job.tensors()
    hidden = [part.out_features for part in layers[:-1] if isinstance(part, nn.Linear)]
    settings: dict[str, Any] = {"batch_size": job.batch} if job.batch else {}
    # As many epochs as were asked for: the loss may stop falling before.
    settings |= {"learning_rate_init": job.rate, "n_iter_no_change": 10**6} if job.rate else {}
    model = Marked(hidden, max_iter=job.epochs, random_state=0, **settings)
    model.marks = job.marks
    model.fit(x.numpy(), y.numpy())
    count = sum(part.size for part in (*model.coefs_, *model.intercepts_))
    last = layers[-1]
    assert isinstance(last, nn.Linear)
    return Trained(lambda x: shares(model, x), count, last.in_features + 1 if last.out_features == 2 else 0)


TRAIN = {"sklearn": train}

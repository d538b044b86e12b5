"""The perceptron: threshold units, and the rule that trains them without a gradient.

Rosenblatt 1958, "The perceptron: a probabilistic model for information storage and organization in the brain",
Psychological Review 65; its convergence: Novikoff 1962, "On convergence proofs on perceptrons".
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from glia.data.facts import Facts
from glia.data.task import Task
from glia.errors import GliaError
from glia.models.keys import Rename
from glia.models.mlp import features

SURE = 30.0  # a yes as a logit: a share of 1 - 1e-13, to float32 the same as 1


class Perceptron(nn.Module):
    """Features -> one linear map -> thresholds. (N, ...) -> (N, outputs), each a logit of SURE, or of none.

    exclusive: one class of several, the largest sum says yes and the others no (Kesler's construction; of two classes
    the first where the sums are equal, which is the threshold unit w_2 - w_1). Otherwise each output is a unit of its
    own, which says yes where its sum is above 0. A unit is never in doubt, so shares are 0 or 1.

    A threshold has no gradient. Backwards the sums stand in for it, and then the gradient of cross-entropy along a sum
    is what the unit said less what is true, 0, 1 or -1: with batches of one row and plain SGD the training loop takes
    the very steps of the rule (`fit`), with larger batches their mean. From weights of 0 the rate only scales them. The
    loss is then SURE times the share of wrong rows, so the best weights on validation rows are those with the fewest
    mistakes: the pocket of Gallant 1990.
    """

    published_keys: ClassVar[Mapping[str, tuple[Rename, ...]]] = {}

    def __init__(self, features: nn.Module, width: int, outputs: int, *, exclusive: bool):
        super().__init__()
        self.features, self.exclusive = features, exclusive
        self.output = nn.Linear(width, outputs)
        for parameter in self.output.parameters():  # as the rule begins; there is no symmetry to break
            nn.init.zeros_(parameter)

    def said(self, sums: Tensor) -> Tensor:
        """Sums (N, outputs) -> 1 where the answer is yes, 0 where it is no."""
        if not self.exclusive:
            return (sums > 0).to(sums.dtype)
        return nn.functional.one_hot(sums.argmax(1), sums.shape[1]).to(sums.dtype)

    def forward(self, x: Tensor) -> Tensor:
        sums = self.output(self.features(x))
        hard = self.said(sums.detach())
        hard = SURE * hard if self.exclusive else SURE * (2 * hard - 1)
        return hard + (sums - sums.detach())

    @torch.no_grad()
    def fit(self, x: Tensor, y: Tensor, *, epochs: int = 100) -> list[int]:
        """The rule, row after row in their order: w += (true - said) x, and the bias likewise. Mistakes of each epoch.

        x: raw rows (N, ...). y: class indices (N,), or yes and no (N, outputs) as 1 and 0. It ends with an epoch
        without a mistake (a last 0), else after `epochs`: rows that no such unit can tell apart go on changing the
        weights for ever. With two classes whose margin is gamma, and rows no longer than R (the 1 of the bias counted
        in), there are at most (R / gamma)^2 mistakes in all.
        """
        rows = self.features(x).to(self.output.weight)
        wanted = nn.functional.one_hot(y.long(), self.output.out_features) if y.ndim == 1 and self.exclusive else y
        if wanted.shape != (len(rows), self.output.out_features) or epochs < 1:
            got = f"rows {tuple(rows.shape)}, answers {tuple(y.shape)}, epochs {epochs}"
            raise GliaError("the perceptron rule", got=got, expected=f"an answer a row of {self.output.out_features}")
        mistakes: list[int] = []
        weight, bias = self.output.weight, self.output.bias
        for _ in range(epochs):
            wrong = 0
            for row, truth in zip(rows, wanted.to(rows)):
                change = truth - self.said((weight @ row + bias)[None])[0]
                if change.any():
                    weight.add_(torch.outer(change, row))
                    bias.add_(change)
                    wrong += 1
            mistakes.append(wrong)
            if not wrong:
                break
        return mistakes

    def stages(self) -> list[list[str]]:
        learnt = any(True for _ in self.features.parameters())
        return [["features"], ["output"]] if learnt else [["output"]]


def perceptron(facts: Facts, task: Task, generator: torch.Generator) -> Perceptron:
    """Threshold units for classes or labels, all weights 0. A table's rare categories keep vectors as in `linear`."""
    if task.kind not in ("classify", "multilabel"):
        raise GliaError("a perceptron says yes or no", got=f"the task {task.kind!r}", hint="model='linear'")
    first = features(facts, generator)
    return Perceptron(first, first.width, task.outputs, exclusive=task.kind == "classify")

"""The perceptron of 1958: what it learns, what it never will, and a network with one hidden layer that does."""

import torch

import glia
from glia.data.facts import TensorFacts
from glia.data.task import Task
from glia.models.build import build

PLANE, YES = TensorFacts((2,), 100), Task("multilabel", ("yes",))

# 1. Points that a line tells apart: the rule ends, after no more mistakes than Novikoff's bound (R / gamma)^2.
line = torch.tensor([0.6, 0.8, -0.1])  # w and b of a line; the rule does not see it
points = torch.rand(400, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
points = points[(points @ line[:2] + line[2]).abs() > 0.1]  # none is too near
rows = torch.cat([points, torch.ones(len(points), 1)], 1)  # the bias is the weight of a 1
truth = rows @ line > 0
perceptron = build("perceptron", PLANE, YES)
mistakes = perceptron.fit(points, truth[:, None].float(), epochs=1000)
gamma = (rows @ line).abs().min() / line.norm()  # how near the nearest point is
bound = rows.norm(dim=1).max() ** 2 / gamma**2
print(f"separable: {sum(mistakes)} mistakes in {len(mistakes)} epochs, at most {bound:.0f} by Novikoff")
assert mistakes[-1] == 0 and sum(mistakes) <= bound
assert torch.equal(perceptron(points)[:, 0] > 0, truth)

# 2. XOR: no line tells it apart (Minsky and Papert 1969). The weights go in a circle.
x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
perceptron, seen = build("perceptron", PLANE, YES), []
for _ in range(100):
    perceptron.fit(x, y, epochs=1)
    right = int(((perceptron(x) > 0) == (y > 0)).sum())
    seen.append((*perceptron.output.weight.flatten().tolist(), perceptron.output.bias.item()))
    assert right < 4
print(f"xor: after 100 epochs {right} of 4 right, {len(set(seen))} different weights after them in all")
assert len(set(seen)) < 10

# 3. One hidden layer is enough (Rumelhart, Hinton, Williams 1986).
mlp = build("mlp", PLANE, YES, hidden=(8,), activation="tanh")
moments = list(glia.fit(mlp, [(x, y)], step=glia.supervised("binary_cross_entropy"), epochs=300, lr=0.05))
print(f"mlp: loss {moments[-1].figures['train_loss']:.4f}, answers {mlp(x).sigmoid().flatten().tolist()}")
assert ((mlp(x) > 0) == (y > 0)).all()

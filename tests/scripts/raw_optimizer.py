"""Weights as plain tensors, a function for the network, and an optimiser of torch."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

torch.manual_seed(0)
x, y = load_digits(return_X_y=True)
x_train, y_train = torch.tensor(x[:1400] / 16, dtype=torch.float32), torch.tensor(y[:1400])
x_valid, y_valid = torch.tensor(x[1400:] / 16, dtype=torch.float32), torch.tensor(y[1400:])
w1, b1 = nn.Parameter(torch.randn(64, 48) / 8), nn.Parameter(torch.zeros(48))
w2, b2 = nn.Parameter(torch.randn(48, 10) / 48**0.5), nn.Parameter(torch.zeros(10))


def net(xb):
    return F.relu(xb @ w1 + b1) @ w2 + b2


opt = torch.optim.SGD([w1, b1, w2, b2], lr=0.3)
bs = 64
for epoch in range(12):
    order = torch.randperm(len(x_train))
    for i in range(0, len(x_train), bs):
        rows = order[i : i + bs]
        loss = F.cross_entropy(net(x_train[rows]), y_train[rows])
        loss.backward()
        opt.step()
        opt.zero_grad()
    with torch.no_grad():
        accuracy = (net(x_valid).argmax(1) == y_valid).float().mean().item()
    print(f"epoch {epoch} loss {loss.item()!r} accuracy {accuracy!r}")

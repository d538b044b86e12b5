"""The script works in a folder of its own, keeps the best weights, and ends with sys.exit(0)."""

import os
import sys
import tempfile

import numpy as np
import torch
from sklearn.datasets import load_iris
from torch import nn

rng = np.random.default_rng(0)
torch.manual_seed(0)
X, y = load_iris(return_X_y=True)
order = rng.permutation(150)
X, y = X[order], y[order]
mean, std = X[:100].mean(0), X[:100].std(0)
X = torch.tensor((X - mean) / std, dtype=torch.float32)
y = torch.tensor(y)

with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    best = 0.0
    for epoch in range(150):
        model.train()
        loss = nn.CrossEntropyLoss()(model(X[:100]), y[:100])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            accuracy = (model(X[100:]).argmax(1) == y[100:]).float().mean().item()
        if accuracy > best:
            best = accuracy
            torch.save(model.state_dict(), "best.pt")
        if epoch % 30 == 0:
            print(f"epoch {epoch} loss {loss.item()!r} accuracy {accuracy!r}")
    model.load_state_dict(torch.load("best.pt"))
    print("best", best)
    os.chdir("/")
sys.exit(0)

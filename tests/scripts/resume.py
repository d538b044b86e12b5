"""Train, save a checkpoint, build everything anew, load it, and go on."""

import os
import tempfile

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

x, y = load_digits(return_X_y=True)
x, y = torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)
train_ds, test_x, test_y = TensorDataset(x[:1400], y[:1400]), x[1400:], y[1400:]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(x)))


def build():
    model = Net()
    return model, torch.optim.Adam(model.parameters(), lr=1e-3)


def train(model, optimizer, first, last):
    loader = DataLoader(train_ds, batch_size=32, shuffle=True)
    for epoch in range(first, last):
        model.train()
        for data, target in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(data), target)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            accuracy = (model(test_x).argmax(1) == test_y).float().mean().item()
        print(f"epoch {epoch} loss {loss.item()!r} accuracy {accuracy!r}")


torch.manual_seed(0)
path = os.path.join(tempfile.mkdtemp(), "checkpoint.pt")
model, optimizer = build()
train(model, optimizer, 0, 5)
torch.save({"epoch": 5, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)
checkpoint = torch.load(path)
model, optimizer = build()
model.load_state_dict(checkpoint["model"])
optimizer.load_state_dict(checkpoint["optimizer"])
train(model, optimizer, checkpoint["epoch"], 10)

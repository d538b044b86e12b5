"""One trunk, two answers in a dict: the digit, and how much ink it has."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset

torch.manual_seed(0)
data = load_digits()
images = torch.tensor(data.data / 16, dtype=torch.float32)
ink = images.mean(1)
ink = (ink - ink.mean()) / ink.std()


class Digits(Dataset):
    def __init__(self, start, stop):
        self.rows = range(start, stop)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        row = self.rows[i]
        return {"image": images[row], "digit": int(data.target[row]), "ink": ink[row]}


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.1))
        self.digit, self.ink = nn.Linear(64, 10), nn.Linear(64, 1)

    def forward(self, image):
        h = self.trunk(image)
        return {"digit": self.digit(h), "ink": self.ink(h).squeeze(-1)}


model = TwoHeads()
criteria = {"digit": nn.CrossEntropyLoss(), "ink": nn.MSELoss()}
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
train_loader = DataLoader(Digits(0, 1400), batch_size=32, shuffle=True)
valid_loader = DataLoader(Digits(1400, 1797), batch_size=128)
for epoch in range(10):
    model.train()
    for batch in train_loader:
        out = model(batch["image"])
        loss = criteria["digit"](out["digit"], batch["digit"]) + 0.5 * criteria["ink"](out["ink"], batch["ink"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    right, error = 0, 0.0
    with torch.no_grad():
        for batch in valid_loader:
            out = model(batch["image"])
            right += (out["digit"].argmax(1) == batch["digit"]).sum().item()
            error += (out["ink"] - batch["ink"]).square().sum().item()
    print(f"epoch {epoch} loss {loss.item()!r} accuracy {right / 397!r} ink {error / 397!r}")

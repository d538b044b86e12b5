"""Embeddings of digits by triplets; the nearest neighbour says the class."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset

np.random.seed(0)
torch.manual_seed(0)
x, y = load_digits(return_X_y=True)
x = (x / 16).astype("float32")


class Triplets(Dataset):
    def __init__(self, x, y):
        self.x, self.y = x, y
        self.rows = {c: np.flatnonzero(y == c) for c in range(10)}

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        other = (self.y[i] + np.random.randint(1, 10)) % 10
        positive, negative = np.random.choice(self.rows[self.y[i]]), np.random.choice(self.rows[other])
        return self.x[i], self.x[positive], self.x[negative]


class EmbeddingNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(64, 64), nn.PReLU(), nn.Linear(64, 16))

    def forward(self, x):
        return F.normalize(self.fc(x))


model = EmbeddingNet()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
criterion = nn.TripletMarginLoss(margin=0.5)
loader = DataLoader(Triplets(x[:1400], y[:1400]), batch_size=64, shuffle=True)
for epoch in range(12):
    model.train()
    total = 0.0
    for anchor, positive, negative in loader:
        loss = criterion(model(anchor), model(positive), model(negative))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    model.eval()
    with torch.no_grad():
        base, query = model(torch.tensor(x[:1400])), model(torch.tensor(x[1400:]))
        nearest = torch.cdist(query, base).argmin(1).numpy()
    print(f"epoch {epoch} loss {total / len(loader)!r} accuracy {(y[nearest] == y[1400:]).mean()!r}")

"""A plain autoencoder on digits: mean squared error against its own input."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
images = torch.tensor(load_digits().images, dtype=torch.float32).flatten(1) / 16
train_set, valid_set = torch.utils.data.random_split(TensorDataset(images), [1500, 297])


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 12))
        self.decoder = nn.Sequential(nn.Linear(12, 40), nn.ReLU(), nn.Linear(40, 64), nn.Sigmoid())

    def forward(self, x):
        return self.decoder(self.encoder(x))


model = Autoencoder()
distance = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-5)
for epoch in range(40):
    for (img,) in DataLoader(train_set, batch_size=64, shuffle=True):
        output = model(img)
        loss = distance(output, img)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        held_out = torch.stack([distance(model(img), img) for (img,) in DataLoader(valid_set, batch_size=99)]).mean()
    print(f"epoch [{epoch + 1}/40], loss: {loss.item()!r}, held out: {held_out.item()!r}")

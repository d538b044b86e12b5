"""Ratings of films by users: dot products of embeddings, with biases."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
n_users, n_items, true_factors = 120, 80, 3
taste, kind = torch.randn(n_users, true_factors), torch.randn(n_items, true_factors)
users, items = torch.randint(0, n_users, (7000,)), torch.randint(0, n_items, (7000,))
ratings = 3.5 + 0.6 * (taste[users] * kind[items]).sum(1) + 0.1 * torch.randn(7000)


class MatrixFactorization(nn.Module):
    def __init__(self, n_factors=8):
        super().__init__()
        self.user_factors, self.item_factors = nn.Embedding(n_users, n_factors), nn.Embedding(n_items, n_factors)
        self.user_bias, self.item_bias = nn.Embedding(n_users, 1), nn.Embedding(n_items, 1)
        self.mean = nn.Parameter(torch.tensor(3.5))
        for layer in (self.user_factors, self.item_factors, self.user_bias, self.item_bias):
            nn.init.normal_(layer.weight, std=0.1)

    def forward(self, user, item):
        dot = (self.user_factors(user) * self.item_factors(item)).sum(1)
        return dot + self.user_bias(user).squeeze(1) + self.item_bias(item).squeeze(1) + self.mean


train_loader = DataLoader(TensorDataset(users[:6000], items[:6000], ratings[:6000]), batch_size=64, shuffle=True)
valid = users[6000:], items[6000:], ratings[6000:]
model = MatrixFactorization()
loss_func = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=1e-5)
for epoch in range(15):
    model.train()
    for user, item, rating in train_loader:
        optimizer.zero_grad()
        loss = loss_func(model(user, item), rating)
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        rmse = loss_func(model(valid[0], valid[1]), valid[2]).sqrt().item()
    print(f"epoch {epoch} loss {loss.item()!r} rmse {rmse!r}")

"""A smooth curve through noisy points by L-BFGS with a closure."""

import torch
from torch import nn

torch.manual_seed(0)
x = torch.linspace(-3, 3, 200).unsqueeze(1)
y = torch.sin(2 * x) + 0.05 * torch.randn_like(x)
model = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 1))
criterion = nn.MSELoss()
optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=10, line_search_fn="strong_wolfe")


def closure():
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    return loss


for step in range(40):
    loss = optimizer.step(closure)
    if step % 5 == 0:
        print(f"step {step} loss {loss.item()!r}")
with torch.no_grad():
    grid = torch.linspace(-2.9, 2.9, 97).unsqueeze(1)
    print("test loss", criterion(model(grid), torch.sin(2 * grid)).item())

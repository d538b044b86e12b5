"""A Wasserstein pair with a gradient penalty on two moons."""

import torch
import torch.autograd as autograd
import torch.nn as nn
from sklearn.datasets import make_moons

torch.manual_seed(3)
data = torch.tensor(make_moons(2000, noise=0.05, random_state=0)[0], dtype=torch.float32)
data = (data - data.mean(0)) / data.std(0)


def mlp(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, n_out))


generator, critic = mlp(2, 2), mlp(2, 1)
opt_g = torch.optim.Adam(generator.parameters(), lr=5e-4, betas=(0.0, 0.9))
opt_c = torch.optim.Adam(critic.parameters(), lr=5e-4, betas=(0.0, 0.9))
lambda_gp, n_critic = 1.0, 3


def gradient_penalty(real, fake):
    alpha = torch.rand(real.size(0), 1)
    between = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
    score = critic(between)
    gradients = autograd.grad(score, between, torch.ones_like(score), create_graph=True, retain_graph=True)[0]
    return ((gradients.norm(2, dim=1) - 1) ** 2).mean()


for step in range(400):
    for _ in range(n_critic):
        real = data[torch.randint(0, len(data), (64,))]
        fake = generator(torch.randn(64, 2)).detach()
        opt_c.zero_grad()
        loss_c = critic(fake).mean() - critic(real).mean() + lambda_gp * gradient_penalty(real, fake)
        loss_c.backward()
        opt_c.step()
    opt_g.zero_grad()
    loss_g = -critic(generator(torch.randn(64, 2))).mean()
    loss_g.backward()
    opt_g.step()
    if step % 50 == 0:
        print(f"step {step} critic {loss_c.item()!r} generator {loss_g.item()!r}")

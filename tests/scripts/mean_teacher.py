"""A student learns from few labels and from a teacher, which is the running mean of its weights."""

import copy

import torch
import torch.nn.functional as F
from sklearn.datasets import make_moons
from torch import nn

torch.manual_seed(0)
x, y = make_moons(1200, noise=0.15, random_state=0)
x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
labelled, unlabelled, test = slice(0, 100), slice(100, 800), slice(800, None)

student = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
teacher = copy.deepcopy(student)
for p in teacher.parameters():
    p.requires_grad_(False)
optimizer = torch.optim.Adam(student.parameters(), lr=3e-3)


@torch.no_grad()
def update_teacher(momentum):
    for old, new in zip(teacher.parameters(), student.parameters()):
        old.mul_(momentum).add_(new, alpha=1 - momentum)


for step in range(400):
    rows = torch.randint(100, 800, (128,))
    noisy = x[rows] + 0.05 * torch.randn(128, 2)
    supervised = F.cross_entropy(student(x[labelled]), y[labelled])
    with torch.no_grad():
        targets = teacher(x[rows]).softmax(1)
    consistency = F.mse_loss(student(noisy).softmax(1), targets)
    loss = supervised + min(1.0, step / 200) * consistency
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    update_teacher(0.98)
    if step % 50 == 0:
        with torch.no_grad():
            accuracy = (teacher(x[test]).argmax(1) == y[test]).float().mean().item()
        print(f"step {step} loss {loss.item()!r} teacher accuracy {accuracy!r}")

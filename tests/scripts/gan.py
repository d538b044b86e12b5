"""An adversarial pair on points of a ring of blobs: two optimisers, BCE, detach."""

import math

import torch
from torch import nn

torch.manual_seed(0)
batch_size, nz = 128, 4
real_label, fake_label = 1.0, 0.0


def real_points(n):
    angle = torch.randint(0, 6, (n,)) * (2 * math.pi / 6)
    return torch.stack([angle.cos(), angle.sin()], 1) + 0.05 * torch.randn(n, 2)


netG = nn.Sequential(nn.Linear(nz, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
netD = nn.Sequential(
    nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1), nn.Sigmoid()
)
criterion = nn.BCELoss()
optimizerD = torch.optim.Adam(netD.parameters(), lr=1e-3, betas=(0.5, 0.999))
optimizerG = torch.optim.Adam(netG.parameters(), lr=1e-3, betas=(0.5, 0.999))
fixed_noise = torch.randn(64, nz)

for i in range(1200):
    netD.zero_grad()
    label = torch.full((batch_size,), real_label)
    output = netD(real_points(batch_size)).view(-1)
    errD_real = criterion(output, label)
    errD_real.backward()
    noise = torch.randn(batch_size, nz)
    fake = netG(noise)
    label.fill_(fake_label)
    output = netD(fake.detach()).view(-1)
    errD_fake = criterion(output, label)
    errD_fake.backward()
    errD = errD_real + errD_fake
    optimizerD.step()
    netG.zero_grad()
    label.fill_(real_label)
    output = netD(fake).view(-1)
    errG = criterion(output, label)
    errG.backward()
    optimizerG.step()
    if i % 100 == 0:
        print(f"[{i}] Loss_D {errD.item()!r} Loss_G {errG.item()!r}")

with torch.no_grad():
    points = netG(fixed_noise)
print("mean radius", points.norm(dim=1).mean().item())

"""Which pixels belong to a disc: an encoder and a decoder with a skip, BCE and dice together."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
grid = torch.stack(torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij"))


def discs(n):
    centre, radius = torch.randint(4, 12, (n, 2)), torch.randint(2, 5, (n,))
    mask = ((grid[None] - centre[:, :, None, None]).square().sum(1) <= radius[:, None, None] ** 2).float()[:, None]
    return mask * 0.7 + 0.4 * torch.randn(n, 1, 16, 16), mask


def double_conv(n_in, n_out):
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True),
        nn.Conv2d(n_out, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True),
    )  # fmt: skip


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.middle, self.up = double_conv(1, 8), double_conv(8, 16), double_conv(24, 8)
        self.out = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        skip = self.down(x)
        deep = F.interpolate(self.middle(F.max_pool2d(skip, 2)), scale_factor=2)
        return self.out(self.up(torch.cat([deep, skip], 1)))


def dice_loss(pred, target, smooth=1.0):
    pred = torch.sigmoid(pred)
    intersection = (pred * target).sum(dim=(2, 3))
    total = pred.sum(dim=(2, 3)) + target.sum(dim=(2, 3))
    return (1 - (2 * intersection + smooth) / (total + smooth)).mean()


model = UNet()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=2)
loaders = {
    "train": DataLoader(TensorDataset(*discs(320)), 16, shuffle=True),
    "val": DataLoader(TensorDataset(*discs(80)), 16),
}
for epoch in range(5):
    for phase in ("train", "val"):
        model.train(phase == "train")
        total = 0.0
        for inputs, labels in loaders[phase]:
            optimizer.zero_grad()
            with torch.set_grad_enabled(phase == "train"):
                outputs = model(inputs)
                loss = F.binary_cross_entropy_with_logits(outputs, labels) + dice_loss(outputs, labels)
                if phase == "train":
                    loss.backward()
                    optimizer.step()
            total += loss.item() / len(loaders[phase])
        print(f"epoch {epoch} {phase} loss {total!r}")
    scheduler.step(total)

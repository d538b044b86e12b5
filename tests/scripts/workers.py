"""Rows come from two worker processes; the script has a Dataset of its own with augmentation."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Digits(Dataset):
    def __init__(self, rows, transform=None):
        digits = load_digits()
        self.images, self.targets, self.transform = digits.images[rows] / 16.0, digits.target[rows], transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, idx):
        image = torch.tensor(self.images[idx], dtype=torch.float32).unsqueeze(0)
        return (self.transform(image) if self.transform else image), int(self.targets[idx])


def jitter(image):
    return image + 0.1 * torch.randn_like(image)


def main():
    torch.manual_seed(0)
    train_loader = DataLoader(Digits(slice(0, 1400), jitter), batch_size=64, shuffle=True, num_workers=2)
    test_loader = DataLoader(Digits(slice(1400, None)), batch_size=64, num_workers=2)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    for epoch in range(4):
        model.train()
        for images, targets in train_loader:
            loss = nn.functional.cross_entropy(model(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            right = sum((model(images).argmax(1) == targets).sum().item() for images, targets in test_loader)
        print(f"epoch {epoch} loss {loss.item()!r} accuracy {right / 397!r}")


if __name__ == "__main__":
    main()

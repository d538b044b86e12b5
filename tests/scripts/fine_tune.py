"""A Transformer encoder is trained on one task; then it is frozen and a new head learns another."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x = torch.randint(0, 12, (1500, 10))
first_task = (x < 4).sum(1).ge(4).long()
second_task = (x < 4).sum(1).ge(3).long()


class Encoder(nn.Module):
    def __init__(self, d=32):
        super().__init__()
        self.embed = nn.Embedding(12, d)
        self.position = nn.Parameter(torch.randn(10, d) * 0.02)
        layer = nn.TransformerEncoderLayer(d, 4, 64, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    def forward(self, x):
        return self.encoder(self.embed(x) + self.position).mean(1)


class Classifier(nn.Module):
    def __init__(self, backbone, classes=2):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(32, classes)

    def forward(self, x):
        return self.head(self.backbone(x))


def fit(model, y, epochs, lr):
    loader = DataLoader(TensorDataset(x[:1200], y[:1200]), batch_size=50, shuffle=True)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)
    for epoch in range(epochs):
        model.train()
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs), targets)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            accuracy = (model(x[1200:]).argmax(1) == y[1200:]).float().mean().item()
        print(f"epoch {epoch} loss {loss.item()!r} accuracy {accuracy!r}")


torch.manual_seed(1)
pretrained = Classifier(Encoder())
fit(pretrained, first_task, 8, 1e-3)
model = Classifier(pretrained.backbone)
for p in model.backbone.parameters():
    p.requires_grad = False
fit(model, second_task, 12, 1e-2)

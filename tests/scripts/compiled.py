"""torch.compile with the eager backend, OneCycleLR stepped each batch, label smoothing."""

import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn

torch.manual_seed(0)
X, y = load_wine(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
scaler = StandardScaler().fit(X_train)
X_train, X_test = (torch.tensor(scaler.transform(a), dtype=torch.float32) for a in (X_train, X_test))
y_train, y_test = torch.tensor(y_train), torch.tensor(y_test)


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(13, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 3))

    def forward(self, x):
        return self.layers(x)


model = torch.compile(MLP(), backend="eager")
criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=40 * 7)
for epoch in range(40):
    model.train()
    order = torch.randperm(len(X_train))
    for i in range(0, len(order), 20):
        index = order[i : i + 20]
        loss = criterion(model(X_train[index]), y_train[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    model.eval()
    with torch.inference_mode():
        accuracy = (model(X_test).argmax(1) == y_test).float().mean().item()
    if epoch % 5 == 4:
        print(f"epoch {epoch} loss {loss.item()!r} accuracy {accuracy!r}")

"""Gradient accumulation, autocast to bfloat16 and a gradient scaler, on two classes of vectors."""

import torch
from sklearn.datasets import make_classification
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
X, y = make_classification(2000, 20, n_informative=10, n_classes=4, class_sep=1.5, random_state=0)
X = torch.tensor(X, dtype=torch.float32)
X = (X - X[:1600].mean(0)) / X[:1600].std(0)
y = torch.tensor(y)
train_dl = DataLoader(TensorDataset(X[:1600], y[:1600]), batch_size=16, shuffle=True)
val_dl = DataLoader(TensorDataset(X[1600:], y[1600:]), batch_size=100)

model = nn.Sequential(nn.Linear(20, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 4))
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
scaler = torch.amp.GradScaler("cpu")
accum_iter = 4

for epoch in range(12):
    model.train()
    for batch_idx, (inputs, labels) in enumerate(train_dl):
        with torch.autocast(device_type="cpu", dtype=torch.bfloat16):
            preds = model(inputs)
            loss = loss_fn(preds, labels)
            loss = loss / accum_iter
        scaler.scale(loss).backward()
        if (batch_idx + 1) % accum_iter == 0 or batch_idx + 1 == len(train_dl):
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
    model.eval()
    right = 0
    with torch.no_grad():
        for inputs, labels in val_dl:
            with torch.autocast(device_type="cpu", dtype=torch.bfloat16):
                right += (model(inputs).argmax(1) == labels).sum().item()
    print(f"epoch {epoch} loss {accum_iter * loss.item()!r} accuracy {right / 400!r}")

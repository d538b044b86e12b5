"""A table to predict a number from: metrics of scikit-learn, early stopping with the best weights."""

import copy

import numpy as np
import torch
from sklearn.datasets import load_diabetes
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn, optim

torch.manual_seed(7)
X, y = load_diabetes(return_X_y=True, scaled=False)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=3)
x_scaler, y_scaler = StandardScaler().fit(X_train), StandardScaler().fit(y_train[:, None])
X_train, X_test = (torch.tensor(x_scaler.transform(a), dtype=torch.float32) for a in (X_train, X_test))
t_train = torch.tensor(y_scaler.transform(y_train[:, None]), dtype=torch.float32)

model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))
loss_fn = nn.MSELoss()
optimizer = optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-4)
best_mae, best_weights, patience, waited = np.inf, None, 15, 0
for epoch in range(150):
    model.train()
    losses = []
    for index in torch.randperm(len(X_train)).split(32):
        y_pred = model(X_train[index])
        loss = loss_fn(y_pred, t_train[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        predicted = y_scaler.inverse_transform(model(X_test).numpy())[:, 0]
    mae = mean_absolute_error(y_test, predicted)
    if mae < best_mae:
        best_mae, best_weights, waited = mae, copy.deepcopy(model.state_dict()), 0
    else:
        waited += 1
    if epoch % 10 == 0:
        print(f"epoch {epoch} loss {float(np.mean(losses))!r} mae {float(mae)!r}")
    if waited >= patience:
        print("stopped at", epoch)
        break
model.load_state_dict(best_weights)
with torch.no_grad():
    predicted = y_scaler.inverse_transform(model(X_test).numpy())[:, 0]
print("MAE", float(mean_absolute_error(y_test, predicted)), "R2", float(r2_score(y_test, predicted)))

"""Five folds; the model is built anew in each."""

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import KFold
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

torch.manual_seed(42)
X, y = load_breast_cancer(return_X_y=True)
X = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)
dataset = TensorDataset(X, torch.tensor(y, dtype=torch.float32))


def reset():
    return nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1))


results = {}
for fold, (train_ids, test_ids) in enumerate(KFold(5, shuffle=True, random_state=1).split(X)):
    trainloader = DataLoader(Subset(dataset, train_ids.tolist()), batch_size=32, shuffle=True)
    testloader = DataLoader(Subset(dataset, test_ids.tolist()), batch_size=64)
    network = reset()
    loss_function = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(8):
        network.train()
        for inputs, targets in trainloader:
            optimizer.zero_grad()
            outputs = network(inputs).squeeze(1)
            loss = loss_function(outputs, targets)
            loss.backward()
            optimizer.step()
    network.eval()
    correct = 0
    with torch.no_grad():
        for inputs, targets in testloader:
            correct += ((torch.sigmoid(network(inputs).squeeze(1)) > 0.5) == targets.bool()).sum().item()
    results[fold] = correct / len(test_ids)
    print(f"fold {fold} loss {loss.item()!r} accuracy {results[fold]!r}")
print("mean", sum(results.values()) / len(results))

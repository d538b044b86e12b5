"""A straight line from raw tensors: w and b, and no optimiser."""

import torch

torch.manual_seed(0)
true_w, true_b = torch.tensor([2.0, -3.4]), 4.2
X = torch.randn(1000, 2)
y = X @ true_w + true_b + 0.01 * torch.randn(1000)
w = torch.normal(0, 0.01, size=(2,), requires_grad=True)
b = torch.zeros(1, requires_grad=True)
lr, num_epochs, batch_size = 0.03, 4, 10


def data_iter():
    for index in torch.randperm(1000).split(batch_size):
        yield X[index], y[index]


def linreg(X, w, b):
    return X @ w + b


def squared_loss(y_hat, y):
    return (y_hat - y.reshape(y_hat.shape)) ** 2 / 2


def sgd(params, lr):
    with torch.no_grad():
        for param in params:
            param -= lr * param.grad
            param.grad.zero_()


for epoch in range(num_epochs):
    for features, labels in data_iter():
        loss = squared_loss(linreg(features, w, b), labels).mean()
        loss.backward()
        sgd([w, b], lr)
    with torch.no_grad():
        print(f"epoch {epoch + 1}, loss {squared_loss(linreg(X, w, b), y).mean().item()!r}")
print("error of w", (true_w - w).abs().max().item(), "of b", abs(true_b - b.item()))

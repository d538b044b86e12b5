"""The next value of a noisy sine from the thirty before it: LSTM, mean squared error, Adam."""

import numpy as np
import torch
import torch.nn as nn

np.random.seed(0)
torch.manual_seed(0)
series = np.sin(np.linspace(0, 120, 1500)) + 0.05 * np.random.randn(1500)
seq_length = 30
xs = np.array([series[i : i + seq_length] for i in range(len(series) - seq_length)])
ys = np.array([series[i + seq_length] for i in range(len(series) - seq_length)])
split = int(0.8 * len(xs))
trainX = torch.tensor(xs[:split, :, None], dtype=torch.float32)
trainY = torch.tensor(ys[:split, None], dtype=torch.float32)
testX = torch.tensor(xs[split:, :, None], dtype=torch.float32)
testY = torch.tensor(ys[split:, None], dtype=torch.float32)


class LSTMModel(nn.Module):
    def __init__(self, input_dim, hidden_dim, layer_dim, output_dim):
        super().__init__()
        self.hidden_dim, self.layer_dim = hidden_dim, layer_dim
        self.lstm = nn.LSTM(input_dim, hidden_dim, layer_dim, batch_first=True)
        self.fc = nn.Linear(hidden_dim, output_dim)

    def forward(self, x):
        h0 = torch.zeros(self.layer_dim, x.size(0), self.hidden_dim)
        c0 = torch.zeros(self.layer_dim, x.size(0), self.hidden_dim)
        out, _ = self.lstm(x, (h0, c0))
        return self.fc(out[:, -1, :])


model = LSTMModel(1, 32, 1, 1)
criterion = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

for epoch in range(60):
    model.train()
    optimizer.zero_grad()
    outputs = model(trainX)
    loss = criterion(outputs, trainY)
    loss.backward()
    optimizer.step()
    if (epoch + 1) % 10 == 0:
        print(f"Epoch [{epoch + 1}/60], Loss: {loss.item()!r}")

model.eval()
with torch.no_grad():
    predicted = model(testX)
    print("test RMSE", criterion(predicted, testY).sqrt().item())

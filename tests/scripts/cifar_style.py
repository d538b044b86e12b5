"""Small colour pictures of shapes: class Net, SGD with momentum, a running loss."""

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

torch.manual_seed(0)
classes = ("square", "cross", "bar", "stripes")


def pictures(n):
    y = torch.randint(0, 4, (n,))
    x = torch.rand(n, 3, 16, 16) * 0.6
    for i in range(n):
        r, c = torch.randint(2, 8, (2,)).tolist()
        ch = int(torch.randint(0, 3, (1,)))
        if y[i] == 0:
            x[i, ch, r : r + 6, c : c + 6] += 0.5
        elif y[i] == 1:
            x[i, ch, r + 2, c : c + 6] += 0.6
            x[i, ch, r : r + 6, c + 2] += 0.6
        elif y[i] == 2:
            x[i, ch, r : r + 2, c : c + 6] += 0.6
        else:
            x[i, ch, r : r + 6 : 2, c : c + 6] += 0.6
    return (x - 0.5) / 0.5, y


trainset = torch.utils.data.TensorDataset(*pictures(2000))
testset = torch.utils.data.TensorDataset(*pictures(500))
trainloader = torch.utils.data.DataLoader(trainset, batch_size=16, shuffle=True)
testloader = torch.utils.data.DataLoader(testset, batch_size=16, shuffle=False)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 3)
        self.fc1 = nn.Linear(16 * 2 * 2, 60)
        self.fc2 = nn.Linear(60, 4)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        return self.fc2(x)


net = Net()
criterion = nn.CrossEntropyLoss()
optimizer = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)

for epoch in range(8):
    running_loss = 0.0
    for i, data in enumerate(trainloader, 0):
        inputs, labels = data
        optimizer.zero_grad()
        outputs = net(inputs)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
        if i % 50 == 49:
            print(f"[{epoch + 1}, {i + 1:5d}] loss: {running_loss / 50!r}")
            running_loss = 0.0

print("Finished Training")
correct, total = 0, 0
with torch.no_grad():
    for images, labels in testloader:
        _, predicted = torch.max(net(images), 1)
        total += labels.size(0)
        correct += (predicted == labels).sum().item()
print(f"Accuracy: {100 * correct / total} %")

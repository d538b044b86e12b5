"""Sequences of different lengths, packed for a GRU: which of three letters is most frequent?"""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader

torch.manual_seed(0)


def make(n):
    rows = []
    for _ in range(n):
        label = int(torch.randint(0, 3, (1,)))
        length = int(torch.randint(6, 20, (1,)))
        weights = torch.full((6,), 0.12)
        weights[label] = 0.5
        rows.append((torch.multinomial(weights, length, replacement=True) + 1, label))
    return rows


def collate_batch(batch):
    texts, labels = zip(*batch)
    lengths = torch.tensor([len(t) for t in texts])
    return torch.tensor(labels), pad_sequence(texts, batch_first=True), lengths


class GRUClassifier(nn.Module):
    def __init__(self, vocab, embed_dim, hidden, num_class):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed_dim, padding_idx=0)
        self.rnn = nn.GRU(embed_dim, hidden, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(2 * hidden, num_class)

    def forward(self, text, lengths):
        packed = pack_padded_sequence(self.embedding(text), lengths, batch_first=True, enforce_sorted=False)
        _, hidden = self.rnn(packed)
        return self.fc(torch.cat([hidden[0], hidden[1]], dim=1))


train_loader = DataLoader(make(1200), batch_size=32, shuffle=True, collate_fn=collate_batch)
valid_loader = DataLoader(make(300), batch_size=64, collate_fn=collate_batch)
model = GRUClassifier(7, 16, 24, 3)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)


def evaluate(loader):
    model.eval()
    right, count = 0, 0
    with torch.no_grad():
        for label, text, lengths in loader:
            right += (model(text, lengths).argmax(1) == label).sum().item()
            count += label.size(0)
    return right / count


for epoch in range(6):
    model.train()
    total = 0.0
    for label, text, lengths in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(text, lengths), label)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        total += loss.item()
    print(f"epoch {epoch} loss {total / len(train_loader)!r} valid accuracy {evaluate(valid_loader)!r}")

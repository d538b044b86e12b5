"""News-like lines by topic: EmbeddingBag with offsets, a large SGD rate, clipping, a schedule."""

import torch
from torch import nn
from torch.utils.data import DataLoader

torch.manual_seed(0)
VOCAB, TOPICS = 200, 4
weights = torch.ones(TOPICS, VOCAB)
for topic in range(TOPICS):
    weights[topic, topic * 30 : topic * 30 + 30] = 4.0


def lines(n):
    out = []
    for _ in range(n):
        topic = int(torch.randint(0, TOPICS, (1,)))
        length = int(torch.randint(10, 40, (1,)))
        out.append((topic, torch.multinomial(weights[topic], length, replacement=True)))
    return out


def collate_batch(batch):
    offsets = torch.tensor([0] + [len(text) for _, text in batch][:-1]).cumsum(0)
    return torch.tensor([label for label, _ in batch]), torch.cat([text for _, text in batch]), offsets


class TextClassificationModel(nn.Module):
    def __init__(self, vocab_size, embed_dim, num_class):
        super().__init__()
        self.embedding = nn.EmbeddingBag(vocab_size, embed_dim)
        self.fc = nn.Linear(embed_dim, num_class)
        initrange = 0.5
        self.embedding.weight.data.uniform_(-initrange, initrange)
        self.fc.weight.data.uniform_(-initrange, initrange)
        self.fc.bias.data.zero_()

    def forward(self, text, offsets):
        return self.fc(self.embedding(text, offsets))


model = TextClassificationModel(VOCAB, 32, TOPICS)
criterion = torch.nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=5.0)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 4, gamma=0.1)
train_dataloader = DataLoader(lines(1600), batch_size=16, shuffle=True, collate_fn=collate_batch)
valid_dataloader = DataLoader(lines(400), batch_size=16, collate_fn=collate_batch)
for epoch in range(1, 9):
    model.train()
    for label, text, offsets in train_dataloader:
        optimizer.zero_grad()
        loss = criterion(model(text, offsets), label)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
    model.eval()
    total_acc = 0
    with torch.no_grad():
        for label, text, offsets in valid_dataloader:
            total_acc += (model(text, offsets).argmax(1) == label).sum().item()
    scheduler.step()
    print(f"epoch {epoch} loss {loss.item()!r} accuracy {total_acc / 400!r}")

"""Reverse a string of letters: encoder, decoder with attention, teacher forcing, padding that does not count."""

import random

import torch
from torch import nn, optim

random.seed(0)
torch.manual_seed(0)
PAD, SOS, EOS, LETTERS = 0, 1, 2, 8


def batch_of(n):
    rows = [[random.randint(3, 2 + LETTERS) for _ in range(random.randint(3, 6))] for _ in range(n)]
    src = torch.tensor([row + [PAD] * (7 - len(row)) for row in rows])
    trg = torch.tensor([[SOS, *reversed(row), EOS] + [PAD] * (6 - len(row)) for row in rows])
    return src, trg


class Encoder(nn.Module):
    def __init__(self, vocab, emb, hid):
        super().__init__()
        self.embedding = nn.Embedding(vocab, emb, padding_idx=PAD)
        self.rnn = nn.GRU(emb, hid, batch_first=True)

    def forward(self, src):
        return self.rnn(self.embedding(src))


class Decoder(nn.Module):
    def __init__(self, vocab, emb, hid):
        super().__init__()
        self.embedding = nn.Embedding(vocab, emb, padding_idx=PAD)
        self.rnn = nn.GRU(emb + hid, hid, batch_first=True)
        self.out = nn.Linear(2 * hid, vocab)

    def forward(self, token, hidden, encoded):
        scores = torch.bmm(encoded, hidden[-1].unsqueeze(2))
        context = (scores.softmax(1) * encoded).sum(1, keepdim=True)
        output, hidden = self.rnn(torch.cat([self.embedding(token).unsqueeze(1), context], 2), hidden)
        return self.out(torch.cat([output, context], 2)).squeeze(1), hidden


class Seq2Seq(nn.Module):
    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, src, trg, teacher_forcing_ratio=0.5):
        encoded, hidden = self.encoder(src)
        token, outputs = trg[:, 0], []
        for t in range(1, trg.shape[1]):
            logits, hidden = self.decoder(token, hidden, encoded)
            outputs.append(logits)
            token = trg[:, t] if random.random() < teacher_forcing_ratio else logits.argmax(1)
        return torch.stack(outputs, 1)


model = Seq2Seq(Encoder(3 + LETTERS, 24, 48), Decoder(3 + LETTERS, 24, 48))
optimizer = optim.Adam(model.parameters(), lr=4e-3)
criterion = nn.CrossEntropyLoss(ignore_index=PAD)
for epoch in range(8):
    model.train()
    epoch_loss = 0.0
    for _ in range(50):
        src, trg = batch_of(64)
        optimizer.zero_grad()
        output = model(src, trg)
        loss = criterion(output.reshape(-1, output.shape[-1]), trg[:, 1:].reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1)
        optimizer.step()
        epoch_loss += loss.item()
    model.eval()
    with torch.no_grad():
        src, trg = batch_of(200)
        output = model(src, trg, 0)
        valid = criterion(output.reshape(-1, output.shape[-1]), trg[:, 1:].reshape(-1)).item()
    print(f"epoch {epoch} train {epoch_loss / 50!r} valid {valid!r}")

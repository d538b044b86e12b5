"""A plain loop as torch's tutorials write it: a DataLoader, Adam, the loss added up."""

import torch
from torch.utils.data import DataLoader

from benchmarks.speed.job import Job, Trained
from benchmarks.speed.networks import logits_of


def train(job: Job) -> Trained:
    network = job.work.first_network()
    optimizer = torch.optim.Adam(network.parameters(), lr=job.rate or 1e-3)
    loader = DataLoader(job.rows.dataset, **job.loader())
    for _ in range(job.epochs):
        network.train()
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = job.work.loss(network(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
        job.marks.epoch(lambda x: logits_of(network, x))
    return Trained(lambda x: logits_of(network, x), sum(p.numel() for p in network.parameters()))


TRAIN = {"plain": train}

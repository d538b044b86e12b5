"""REINFORCE: walk to the right end of a corridor."""

import torch
import torch.nn as nn
import torch.optim as optim
from torch.distributions import Categorical

torch.manual_seed(543)
gamma, length = 0.95, 8


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(length, 32)
        self.affine2 = nn.Linear(32, 2)
        self.saved_log_probs, self.rewards = [], []

    def forward(self, x):
        return torch.softmax(self.affine2(torch.relu(self.affine1(x))), dim=1)


policy = Policy()
optimizer = optim.Adam(policy.parameters(), lr=1e-2)


def select_action(state):
    probs = policy(nn.functional.one_hot(torch.tensor([state]), length).float())
    m = Categorical(probs)
    action = m.sample()
    policy.saved_log_probs.append(m.log_prob(action))
    return action.item()


def finish_episode():
    R, returns = 0.0, []
    for r in policy.rewards[::-1]:
        R = r + gamma * R
        returns.insert(0, R)
    returns = torch.tensor(returns)
    returns = (returns - returns.mean()) / (returns.std() + 1e-8)
    policy_loss = [-log_prob * R for log_prob, R in zip(policy.saved_log_probs, returns)]
    optimizer.zero_grad()
    policy_loss = torch.cat(policy_loss).sum()
    policy_loss.backward()
    optimizer.step()
    del policy.rewards[:], policy.saved_log_probs[:]
    return policy_loss.item()


running = 30.0
for episode in range(150):
    state, steps = 0, 0
    while steps < 40:
        steps += 1
        state = min(length - 1, max(0, state + (1 if select_action(state) else -1)))
        policy.rewards.append(1.0 if state == length - 1 else -0.05)
        if state == length - 1:
            break
    running = 0.9 * running + 0.1 * steps
    loss = finish_episode()
    if episode % 15 == 0:
        print(f"episode {episode} length {steps} average {running!r} loss {loss!r}")

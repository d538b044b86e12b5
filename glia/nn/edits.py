"""How far one row of signs is from another: the fewest signs to change, leave out or put in."""

import torch
from torch import Tensor


def edit_distance(told: Tensor, said: Tensor, pad: int = -1) -> Tensor:
    """Of whole numbers told (N, S) and said (N, T), shorter rows filled up with `pad` at the end: int64 (N,).

    Levenshtein 1966. A line of the table at a time, all rows together: of a line, what comes from above and from the
    slant is told first, and then each place may also be reached from any before it at one a step, a running minimum.
    """
    ends, width = (said != pad).sum(1), said.shape[1]
    steps = torch.arange(width + 1, device=said.device)
    line = steps.repeat(len(said), 1)  # from nothing to the first t signs
    for place in range(told.shape[1]):
        sign = told[:, place : place + 1]
        slant = line[:, :-1] + (said != sign)
        below = torch.cat((line[:, :1] + 1, torch.minimum(line[:, 1:] + 1, slant)), 1)
        below = (below - steps).cummin(1).values + steps
        line = torch.where(sign == pad, line, below)
    return line.gather(1, ends[:, None]).squeeze(1)


def aligned(told: str, said: str) -> list[tuple[str, str]]:
    """Pairs (told, said) of signs, one of them empty where a sign was put in or left out; the fewest differences."""
    cost = [list(range(len(said) + 1))]
    for i, sign in enumerate(told, 1):
        line = [i]
        for j, other in enumerate(said, 1):
            line.append(min(cost[-1][j] + 1, line[-1] + 1, cost[-1][j - 1] + (sign != other)))
        cost.append(line)
    pairs, i, j = [], len(told), len(said)
    while i or j:
        if i and j and cost[i][j] == cost[i - 1][j - 1] + (told[i - 1] != said[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((told[i], said[j]))
        elif i and cost[i][j] == cost[i - 1][j] + 1:
            i -= 1
            pairs.append((told[i], ""))
        else:
            j -= 1
            pairs.append(("", said[j]))
    return pairs[::-1]

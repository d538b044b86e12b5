"""From shares of symbols at each frame to the symbols themselves: connectionist temporal classification, read back."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

NEVER = -math.inf


class Spelled(NamedTuple):
    """symbols: classes, none of them the blank. at: the frame at which each begins."""

    symbols: list[int]
    at: list[int]


def greedy(logits: Tensor, blank: int = 0) -> list[Spelled]:
    """The most likely symbol of each frame, repeats as one, blanks left out; logits (N, frames, C).

    Graves et al. 2006, ICML, section 3.2, "best path decoding".
    """
    best = logits.argmax(2)
    before = torch.cat((torch.full_like(best[:, :1], blank), best[:, :-1]), 1)
    begins = (best != blank) & (best != before)
    return [Spelled(row[here].tolist(), here.nonzero().flatten().tolist()) for row, here in zip(best, begins)]


def beam(logits: Tensor, width: int = 16, blank: int = 0, least: float = 1e-6) -> list[Spelled]:
    """The most likely spelling of each row: the sum over all its paths, of the `width` best beginnings at each frame.

    Prefix beam search: Hannun et al. 2014, arXiv 1408.2873, algorithm 1, without a language model. least: share of a
    symbol at a frame below which it is not tried.
    """
    shares = logits.double().log_softmax(2)
    return [_beam(row, width, blank, math.log(least) if least else NEVER) for row in shares]


def _beam(shares: Tensor, width: int, blank: int, least: float) -> Spelled:
    """shares: (frames, C) logarithms."""
    # Of each beginning the share of paths that end in a blank, and of those that end in its last symbol.
    held: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, NEVER)}
    for row in shares.tolist():
        made: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [NEVER, NEVER])
        tried = [symbol for symbol, share in enumerate(row) if symbol != blank and share > least]
        for prefix, (ending_blank, ending_symbol) in held.items():
            whole = _plus(ending_blank, ending_symbol)
            here = made[prefix]
            here[0] = _plus(here[0], whole + row[blank])
            if prefix:
                here[1] = _plus(here[1], ending_symbol + row[prefix[-1]])
            for symbol in tried:
                longer = (*prefix, symbol)
                # Two of the same symbol in a row need a blank between them.
                come = ending_blank if prefix and symbol == prefix[-1] else whole
                if come > NEVER:
                    made[longer][1] = _plus(made[longer][1], come + row[symbol])
        best = sorted(made.items(), key=lambda item: -_plus(*item[1]))[:width]
        held = {prefix: (ends[0], ends[1]) for prefix, ends in best}
    found = max(held, key=lambda prefix: _plus(*held[prefix]))
    return Spelled(list(found), _places(shares, found, blank))


def _places(shares: Tensor, symbols: Sequence[int], blank: int) -> list[int]:
    """The frame at which each symbol begins on the most likely path that spells them (Viterbi)."""
    states = [blank, *(s for symbol in symbols for s in (symbol, blank))]
    score = [shares[0, states[0]].item(), shares[0, states[1]].item()] if symbols else [0.0]
    score += [NEVER] * (len(states) - len(score))
    came: list[list[int]] = []
    rows = shares[:, states].tolist()
    for row in rows[1:]:
        back: list[int] = []
        for s in range(len(states)):
            choices: list[int] = [s, s - 1] if s else [s]
            if s > 1 and states[s] != blank and states[s] != states[s - 2]:
                choices.append(s - 2)
            back.append(max(choices, key=lambda c: score[c]))
        score = [score[b] + row[s] for s, b in enumerate(back)]
        came.append(back)
    state = max(range(len(states))[-2:], key=lambda s: score[s])
    path = [state]
    for back in reversed(came):
        state = back[state]
        path.append(state)
    path.reverse()
    return [path.index(2 * number + 1) for number in range(len(symbols))]


def _plus(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    if a < b:
        a, b = b, a
    return a if b == NEVER else a + math.log1p(math.exp(b - a))

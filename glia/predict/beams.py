"""Beam search: write a text token by token, keeping the few best beginnings of each.

Length penalty: Wu et al. 2016, "Google's neural machine translation system" (arXiv 1609.08144), equation 14.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from glia.errors import GliaError
from glia.nn.attention import Cache

BEAM, PENALTY = 4, 0.6


class Writer(Protocol):
    """A network in the middle of writing so many texts at once."""

    def next(self, tokens: Tensor) -> Tensor:
        """Given the last token (n,) of each, the logits (n, vocabulary) of the next one."""
        ...

    def select(self, index: Tensor) -> None:
        """Go on with the texts at `index` (m,), which may name one several times."""
        ...


class CachedWriter:
    """An encoder and a decoder with caches of keys and values (Transformer, T5): no place is read twice."""

    def __init__(self, model: Any, source: Tensor):
        self.model, self.source = model, source
        self.memory, self.cache = model.encode(source), model.new_cache()

    def next(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.model.decode(tokens[:, None], self.memory, self.source, self.cache)
        return logits[:, -1]

    def select(self, index: Tensor) -> None:
        self.source, self.memory = self.source[index], self.memory[index]
        for cache in (one for pair in self.cache for one in pair):
            _select(cache, index)


def _select(cache: Cache, index: Tensor) -> None:
    if cache.held is not None:
        cache.held = cache.held[0][index], cache.held[1][index]


class RecurrentWriter:
    """A decoder that keeps one state (seq2seq)."""

    def __init__(self, model: Any, source: Tensor):
        self.model = model
        self.memory, self.state = model.encode(source)

    def next(self, tokens: Tensor) -> Tensor:
        logits: Tensor
        logits, self.state, _ = self.model.step(tokens, self.state, self.memory)
        return logits

    def select(self, index: Tensor) -> None:
        self.memory, self.state = type(self.memory)(*(part[index] for part in self.memory)), self.state[index]


def writer(model: nn.Module, source: Tensor) -> Writer:
    """The Writer of a network for source tokens (n, S)."""
    if hasattr(model, "new_cache"):
        return CachedWriter(model, source)
    if hasattr(model, "step"):
        return RecurrentWriter(model, source)
    raise GliaError(
        f"{type(model).__name__} cannot write token by token",
        expected="encode, decode and new_cache as the transformer has, or encode and step as seq2seq",
    )


@dataclass
class _Live:
    """What is still being written: for each open text (m) its beams (b). scores: sums of log shares (m, b).

    written: tokens (m, b, length), begin first. which, limits (m,): the place of each among all texts, and most tokens.
    """

    which: Tensor
    limits: Tensor
    scores: Tensor
    written: Tensor


def search(
    on: Writer, limits: Tensor, begin: int, end: int, *, beam: int = BEAM, penalty: float = PENALTY
) -> list[tuple[list[int], float]]:
    """The best text for each of n: its tokens without begin and end, and its score.

    The score is the log of the share that the network gives the text with its end, over ((5 + tokens) / 6)^penalty,
    `end` counted. limits (n,): most tokens of each; what is not at its end then counts as it stands. A text is done
    when `beam` candidates have ended, or none that goes on can still be better. beam=1: the likeliest token each time.
    """
    if beam < 1 or penalty < 0:
        raise GliaError("beams of a search", got=f"{beam}, penalty {penalty}", expected="1 or more, penalty 0 or more")
    count, device = len(limits), limits.device
    best: list[tuple[list[int], float]] = [([], float("-inf"))] * count
    ended = [0] * count
    live = _Live(
        torch.arange(count), limits.cpu(), torch.zeros(count, 1), torch.full((count, 1, 1), begin, dtype=torch.int64)
    )
    while len(live.which):
        logits = on.next(live.written[:, :, -1].flatten().to(device)).float()
        shares = logits.log_softmax(1).cpu()
        rows, width = live.scores.shape
        vocabulary = shares.shape[1]
        every = (live.scores.flatten()[:, None] + shares).view(rows, width * vocabulary)
        found, place = every.topk(min(2 * beam, every.shape[1]), dim=1)
        origin, token = place // vocabulary, place % vocabulary
        length = live.written.shape[2]  # tokens after this one, without begin
        _take_ended(live, best, ended, found, origin, token, end=end, beam=beam, worth=_worth(length, penalty))
        # Of twice as many candidates at most half ends the text: a beam that goes on is always there.
        stays = torch.where(token == end, float("-inf"), found)
        scores, kept = stays.topk(min(beam, stays.shape[1]), dim=1)
        origin, token = origin.gather(1, kept), token.gather(1, kept)
        written = live.written.gather(1, origin[:, :, None].expand(-1, -1, length))
        live = _Live(live.which, live.limits, scores, torch.cat((written, token[:, :, None]), 2))
        open_ = _open(live, best, ended, length, beam, penalty)
        flat = torch.arange(rows)[:, None] * width + origin
        on.select(flat[open_].flatten().to(device))
        live = _Live(live.which[open_], live.limits[open_], live.scores[open_], live.written[open_])
    return best


def _worth(length: int, penalty: float) -> float:
    return ((5 + length) / 6) ** penalty


def _take_ended(
    live: _Live, best: list[tuple[list[int], float]], ended: list[int], found: Tensor, origin: Tensor, token: Tensor,
    *, end: int, beam: int, worth: float,
) -> None:  # fmt: skip
    """Note the candidates among the first `beam` that have come to their end."""
    for row, place in (token[:, :beam] == end).nonzero().tolist():
        score = found[row, place].item()
        if score == float("-inf"):
            continue
        number = int(live.which[row])
        ended[number] += 1
        if score / worth > best[number][1]:
            best[number] = live.written[row, int(origin[row, place]), 1:].tolist(), score / worth


def _open(
    live: _Live, best: list[tuple[list[int], float]], ended: list[int], length: int, beam: int, penalty: float
) -> Tensor:
    """Which texts (m,) go on; of those that reached their limit the best beginning stands for the text."""
    open_ = torch.ones(len(live.which), dtype=torch.bool)
    for row, number in enumerate(live.which.tolist()):
        leading, limit = live.scores[row, 0].item(), int(live.limits[row])
        hopeless = leading / _worth(limit, penalty) <= best[number][1]
        if ended[number] >= beam or hopeless:
            open_[row] = False
        elif length >= limit:
            open_[row] = False
            if not best[number][0] and best[number][1] == float("-inf"):
                best[number] = live.written[row, 0, 1:].tolist(), leading / _worth(length, penalty)
    return open_

"""Writing: tokens drawn one by one from what a language model tells of the next, and their text as it comes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from glia.data.texts.tokens import Tokenizer
from glia.errors import GliaError

_LEFT_OPEN = "�"  # what the bytes of a character are shown as until the last one is there


@dataclass(frozen=True)
class Taste:
    """How the next token is drawn.

    temperature: logits are divided by it; 0 takes the likeliest token. top_k: of the k likeliest only (Fan et al.
    2018). top_p: of the fewest that hold this share together (Holtzman et al. 2020, the nucleus).
    """

    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise GliaError("a temperature", got=self.temperature, expected="0 or more")
        if self.top_k is not None and self.top_k < 1:
            raise GliaError("top_k", got=self.top_k, expected="1 or more")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise GliaError("top_p", got=self.top_p, expected="more than 0, at most 1")

    def pick(self, logits: Tensor, generator: torch.Generator) -> int:
        """A token, drawn from logits (vocabulary,); -inf for those that may not come."""
        if self.temperature == 0:
            return int(logits.argmax())
        shares = self.shares(logits)
        return int(torch.multinomial(shares, 1, generator=generator))

    def shares(self, logits: Tensor) -> Tensor:
        """(vocabulary,) float64, the sum is 1: what is drawn from."""
        z = logits.double() / self.temperature
        if self.top_k is not None and self.top_k < len(z):
            z = z.masked_fill(z < z.topk(self.top_k).values[-1], float("-inf"))
        shares = z.softmax(0)
        if self.top_p is None or self.top_p == 1:
            return shares
        order = shares.argsort(descending=True, stable=True)
        before = shares[order].cumsum(0) - shares[order]  # the share of those that are likelier
        kept = torch.zeros_like(shares).index_put((order[before < self.top_p],), torch.tensor(1.0).double())
        return shares * kept / (shares * kept).sum()


class Teller:
    """Logits of the token after those that were said, reading each token once where the network has a cache.

    A network that reads `context` tokens at most forgets the older half of them each time it is full.
    """

    def __init__(self, model: nn.Module, context: int):
        self.model: Any = model
        self.context, self.endless = context, getattr(model, "endless", False)
        self.cached = hasattr(model, "step") and hasattr(model, "new_cache")
        self.device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self.cache: Any = None
        self.held = self.seen = 0  # tokens in the cache; tokens of all that were said by then

    def after(self, said: Sequence[int]) -> Tensor:
        """(vocabulary,) float32 on the CPU."""
        if not self.cached:
            return self._told(said[-self.context :], None)
        new = said[self.seen :]
        if self.cache is None or (not self.endless and self.held + len(new) > self.context):
            new = said if self.endless or len(said) < self.context else said[-max(1, self.context // 2) :]
            self.cache, self.held = self.model.new_cache(), 0
        self.held, self.seen = self.held + len(new), len(said)
        return self._told(new, self.cache)

    def _told(self, tokens: Sequence[int], cache: Any) -> Tensor:
        row = torch.tensor([list(tokens)], device=self.device)
        with torch.inference_mode():
            logits = self.model(row) if cache is None else self.model.step(row, cache)
        found: Tensor = logits[0, -1].float().cpu()
        return found


def write(
    model: nn.Module, prompt: Sequence[int], count: int, context: int, *, taste: Taste, seed: int, never: Iterable[int]
) -> Iterator[int]:
    """`count` tokens after those of the prompt, at least one; the same for the same seed.

    model: in evaluation mode; (N, L) -> (N, L, vocabulary), and better with `step` and `new_cache`. never: tokens that
    may not come.
    """
    teller, said = Teller(model, context), list(prompt)
    generator = torch.Generator().manual_seed(seed)
    banned = torch.tensor(sorted(never), dtype=torch.int64)
    for _ in range(count):
        logits = teller.after(said).clone().index_fill_(0, banned, float("-inf"))
        said.append(taste.pick(logits, generator))
        yield said[-1]


def as_text(tokens: Iterable[int], tokenizer: Tokenizer) -> Iterator[str]:
    """The text of tokens as they come; nothing is shown of a character whose bytes are not all there."""
    before: list[int] = []  # said already: what a token looks like may hang on the one before it
    held: list[int] = []
    for token in tokens:
        held.append(token)
        known, both = tokenizer.decode([before, before + held])
        if not both.endswith(_LEFT_OPEN) and len(both) > len(known):
            yield both[len(known) :]
            before, held = held, []
    if held:
        known, both = tokenizer.decode([before, before + held])
        yield both[len(known) :]

"""Randomness without state: every random choice is a function of what it is for, never of what was drawn before.

The order of epoch e is a function of (seed, e), the augmentation of row i in epoch e of (seed, e, i), dropout at
step t of (seed, t). So nothing that a run does on the side (validation, logging, more workers, a restart) can
change the numbers that training sees.
"""

from hashlib import blake2b


def mix(*parts: int | str) -> int:
    """One 63-bit seed from a tuple of whole numbers and words; different tuples give unrelated seeds.

    blake2b over the tuple as Python spells it, which is unambiguous, so that sums such as seed + epoch cannot collide.
    Example: ``torch.Generator().manual_seed(mix(seed, "order", epoch))``
    """
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest(), "big") >> 1

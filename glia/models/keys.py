"""Names of weights in other libraries."""

from typing import NamedTuple


class Rename(NamedTuple):
    """A rule from a key of another library to one of ours: `re.sub(pattern, replacement, key)`.

    transpose: the matrix is stored there the other way round, as in GPT-2's (inputs, outputs).
    """

    pattern: str
    replacement: str
    transpose: bool = False

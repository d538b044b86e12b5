"""Random numbers that are a function of a key and a row: no state, so no order, no batch and no worker matters."""

import numpy as np
from numpy.typing import NDArray

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def splitmix64(key: int, counter: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Output number `counter` of SplitMix64 seeded with `key` (Steele, Lea, Flood 2014, figure 16), for each counter.

    The generator's state is key + (counter + 1) gamma, so any output can be had without those before it.
    """
    z = np.uint64(key) + (counter.astype(np.uint64) + np.uint64(1)) * _GAMMA
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))


def uniform(key: int, counter: NDArray[np.int64]) -> NDArray[np.float64]:
    """Numbers in [0, 1), 53 bits each; one for each counter (a row's index)."""
    return (splitmix64(key, counter) >> np.uint64(11)).astype(np.float64) * 2.0**-53

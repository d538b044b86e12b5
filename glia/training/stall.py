"""Is anything still coming? Whoever waits for batches or computes says so here; who watches, reads when that was."""

import time

_at = time.monotonic()
_batches = 0


def beat() -> None:
    """A batch was trained or validated on."""
    global _at, _batches
    _at, _batches = time.monotonic(), _batches + 1


def restart() -> None:
    """Count from now on."""
    global _at, _batches
    _at, _batches = time.monotonic(), 0


def forgive(seconds: float) -> None:
    """Time that does not count: nothing of this process ran."""
    global _at
    _at += seconds


def since() -> tuple[float, int]:
    """(seconds since the last batch, batches since `restart`)."""
    return time.monotonic() - _at, _batches

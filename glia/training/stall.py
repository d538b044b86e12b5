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


def since() -> tuple[float, int]:
    """(seconds since the last batch, batches since `restart`)."""
    return time.monotonic() - _at, _batches

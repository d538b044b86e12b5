"""Who is blamed when nothing comes any more."""

import threading
import time

import torch
from torch import Tensor

from glia.data.batches import Batches
from glia.workbench import watchdog


class Rows:
    """Rows that are there at once, or, once `shut`, not before `opened`."""

    def __init__(self) -> None:
        self.shut, self.opened = False, threading.Event()

    def __len__(self) -> int:
        return 64

    def take(self, index: Tensor) -> Tensor:
        if self.shut:
            self.opened.wait(60)
        return torch.zeros(len(index), 2)


def blamed(shut: bool) -> str:
    rows = Rows()
    batches = Batches(rows, torch.zeros(64), torch.arange(64), workers=1).epoch(0, 0, 8)
    try:
        next(batches)
        time.sleep(0.3)  # the thread has made what it may make ahead
        rows.shut = shut
        next(batches)
        time.sleep(0.3)
        return watchdog._who()
    finally:
        rows.opened.set()
        for _ in batches:
            pass


def test_a_thread_that_has_loaded_enough_is_not_blamed() -> None:
    assert "MainThread is stuck" in blamed(shut=False)


def test_a_thread_that_is_stuck_is_named() -> None:
    assert "glia-loader" in blamed(shut=True)

"""What a process does that another one has started to train beside it."""

import os
import signal

from glia.training.pulse import LostProcess
from glia.training.world import line_of
from glia.workbench import processes
from glia.workbench.train import beside


def work() -> None:
    """Train beside process 0, quietly; it tells what goes wrong."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    us = processes.begun()
    code = 0
    try:
        us.follow(beside)
        us.wait(["trained"], [0], processes.BEGIN_S)
    except LostProcess:
        code = 1
    except BaseException as error:
        us.pulse.say(f"failed/{us.rank}", line_of(error))
        code = 1
    os._exit(code)  # nothing is left to be done, and nobody to be waited for

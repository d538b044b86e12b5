"""What a process does that another one has started to train beside it."""

import os
import signal
from collections.abc import Callable

from glia.training.pulse import LostProcess
from glia.training.world import line_of
from glia.workbench import processes
from glia.workbench.halt import Halt
from glia.workbench.train import beside


def work() -> None:
    """Train beside process 0, quietly: it tells what goes wrong, unless it is the one that does not answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tell, first = _quiet(), os.getppid()
    us = processes.begun()
    code = 0
    try:
        session, _ = us.follow(beside)
        us.wait(["trained"], [0], processes.stall_of(session.recipe))
    except LostProcess as error:
        if error.rank == 0 and os.getppid() == first:  # it is there, so nobody has seen it end
            tell(f"glia: {error}")
        code = LostProcess.exit_code
    except Halt as halt:  # asked twice: as if nobody had listened, which is what process 0 tells of it
        signal.signal(halt.signal, signal.SIG_DFL)
        os.kill(os.getpid(), halt.signal)
    except BaseException as error:
        us.pulse.say(f"failed/{us.rank}", line_of(error))
        code = 1
    os._exit(code)  # nothing is left to be done, and nobody to be waited for


def _quiet() -> Callable[[str], None]:
    """Nothing that libraries say is shown from now on; what still can say a line to whoever sees process 0's errors."""
    shown = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
    return lambda line: (os.write(shown, f"{line}\n".encode()), None)[1]

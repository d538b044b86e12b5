"""Signals in small numbers; and those that arrive where no handler of Python's can run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from glia.cli import list as listing
from glia.cli import main
from glia.workbench import halt
from torture import signals


def test_signals_at_random_moments(tmp_path: Path) -> None:
    result = signals.run(signals.SMALL, tmp_path, lambda line: None)
    assert not result.failed, "\n".join(result.failed)
    assert result.tried == signals.SMALL and int(result.figures["resumable"]) > 0


# A lock of C that is never given back: no handler of Python's runs there, and no error wakes it up.
STUCK = """
import ctypes, sys
from glia.workbench.halt import one_line, stop_on_signal
lock, libc = ctypes.create_string_buffer(64), ctypes.CDLL(None)
def stick():
    libc.pthread_mutex_lock(lock)
    print("stuck", flush=True)
    libc.pthread_mutex_lock(lock)
if sys.argv[1] == "run":
    with stop_on_signal(lambda line: print(line, flush=True)) as stop, stop.between_steps():
        stick()
else:
    with one_line("glia: stopped"):
        stick()
"""


@pytest.mark.parametrize(("where", "number", "code"), [("run", signal.SIGTERM, 143), ("before", signal.SIGUSR1, 75)])
def test_a_computation_that_never_ends_does_not_hold_a_signal_back(where: str, number: int, code: int) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    child = subprocess.Popen([sys.executable, "-c", STUCK, where], text=True, **pipes)
    with child:
        assert child.stdout is not None and child.stdout.readline() == "stuck\n"
        child.send_signal(number)
        if where == "run":
            assert child.stdout.readline().startswith("stopping after this step")
            child.send_signal(number)
        assert child.wait(timeout=20) == code
        assert child.stderr is not None and child.stderr.read() == ("glia: stopped\n" if where == "before" else "")


FORKED = """
import os, signal, time
from glia.workbench.halt import stop_on_signal
with stop_on_signal(print) as stop, stop.between_steps():
    worker = os.fork()
    if not worker:
        time.sleep(60)
    time.sleep(0.3)
    os.killpg(os.getpid(), signal.SIGINT)
    time.sleep(3)
    print("alive", os.waitpid(worker, os.WNOHANG) == (0, 0), stop.asked, flush=True)
    os.kill(worker, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]))
"""


def test_what_all_processes_get_is_one_signal() -> None:
    """Ctrl-C in a terminal reaches workers too: they go on, and the run does not take theirs for a second one."""
    answer = subprocess.run(
        [sys.executable, "-c", FORKED], start_new_session=True, capture_output=True, text=True, check=False, timeout=60
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[1:] == ["alive True True", "-15"]


BORN = """
import os, signal, time
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGINT))
from glia.workbench.halt import stop_on_signal
told = []
with stop_on_signal(told.append) as stop, stop.between_steps():
    worker = os.fork()
    if not worker:
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    time.sleep(0.5)
    print(code, told, stop.asked)
"""


def test_a_signal_to_a_worker_that_is_being_born_is_not_the_runs() -> None:
    """In the first moment of a fork the pipe on which signals are heard is its parent's still."""
    answer = subprocess.run([sys.executable, "-c", BORN], capture_output=True, text=True, check=False, timeout=60)
    assert (answer.stdout, answer.stderr) == ("0 [] False\n", "")


SWALLOWED = """
import os, signal, time
sent = []
def send():
    if not sent:
        sent.append(os.kill(os.getpid(), signal.SIGTERM))
os.register_at_fork(before=send)
from glia.workbench.halt import one_line
with one_line("glia: stopped"):
    began = time.monotonic()
    worker = os.fork()
    if not worker:
        os._exit(0)
    try:
        time.sleep(20)
    finally:
        print(time.monotonic() - began < 1)
"""


def test_a_signal_in_a_fork_is_not_lost() -> None:
    """Python only prints what a handler raises in the callbacks of a fork."""
    answer = subprocess.run([sys.executable, "-c", SWALLOWED], capture_output=True, text=True, check=False, timeout=60)
    assert (answer.returncode, answer.stdout, answer.stderr) == (143, "True\n", "glia: stopped\n")


WORKERS = """
import os, signal, sys, threading
from glia.workbench.halt import one_line, stop_on_signal
def lost(number, frame):
    raise RuntimeError("a worker was ended")
signal.signal(signal.SIGCHLD, lost)
def end(number):
    os.kill(os.getpid(), number)
"""
BEFORE = """
with one_line("glia: stopped"):
    try:
        end(signal.SIGTERM)
    finally:
        end(signal.SIGCHLD)
"""
TRAINED = """
with stop_on_signal(print) as stop:
    with stop.between_steps():
        end(signal.SIGTERM)
        try:
            end(signal.SIGCHLD)
        except RuntimeError:
            end(signal.SIGCHLD)
            sys.exit(143)
"""
AFTER = """
with stop_on_signal(print) as stop:
    with stop.between_steps():
        end(signal.SIGTERM)
    end(signal.SIGCHLD)
    sys.exit(143)
"""
LEAVING = """
join = threading.Thread.join
def joined(self, timeout=None):
    end(signal.SIGTERM)
    join(self, timeout)
threading.Thread.join = joined
with one_line("glia: stopped"):
    end(signal.SIGTERM)
"""


@pytest.mark.parametrize("where", [BEFORE, TRAINED, AFTER, LEAVING], ids=["before", "trained", "after", "leaving"])
def test_workers_that_are_ended_with_a_run_are_no_error(where: str) -> None:
    """Who ends a job ends all its processes. A step that waits for a worker hears of it once, and nobody else."""
    answer = subprocess.run([sys.executable, "-c", WORKERS + where], capture_output=True, text=True, timeout=60)
    assert (answer.returncode, "Traceback" in answer.stderr) == (143, False), answer.stderr


def test_ctrl_c_in_the_preparation_is_one_line(tmp_path: Path) -> None:
    """A pipe that nobody writes to stands for a source that takes long."""
    source = tmp_path / "rows.csv"
    os.mkfifo(source)
    command = [sys.executable, "-c", "from glia.cli.main import main; main()", "train", str(source), "target=y"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path)
    with child:
        time.sleep(6)
        child.send_signal(signal.SIGINT)
        said, _ = child.communicate(timeout=20)
    if child.returncode != 2:  # a source that is no plain file may be refused at once
        assert (child.returncode, said) == (130, "glia: stopped\n")
    assert "Traceback" not in said


def test_ctrl_c_before_a_verb_has_begun_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*told: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(halt, "ending", lambda code: None)  # it would make this very process deaf
    monkeypatch.setattr(listing, "run", interrupted)
    for argv in (["glia", "list"], ["glia", "train", "digits"]):
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as end:
            main.main()
        assert (end.value.code, capsys.readouterr().err) == (130, "glia: stopped\n")
        monkeypatch.setattr(main, "app", interrupted)


@pytest.mark.parametrize(("code", "ends"), [(75, 75), (130, 130), (2, -signal.SIGUSR1)])
def test_what_is_sent_to_a_process_that_has_ended_its_work_changes_nothing(code: int, ends: int) -> None:
    """The command's own exit codes of signals; one that ends for another reason hears signals as ever."""
    program = f"""
import atexit, os, signal, sys
import glia.cli.main as command
def app():
    sys.exit({code})
command.app = app
atexit.register(os.kill, os.getpid(), signal.SIGUSR1)
command.main()
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == ends

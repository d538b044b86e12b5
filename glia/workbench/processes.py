"""Processes that train one run together: started by us on this machine, or by torchrun.

Process 0 is the one that was called. It plans, writes and speaks as if it were alone; when training begins it hands its
plan to the others, and when training is over they leave, or under torchrun wait for its result. Nothing that a process
cannot make from the plan is sent to it, and no code: one that we start reads the data from where they are.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Any, ParamSpec

import torch.distributed as dist
from torch._C._distributed_c10d import TCPStore

from glia.errors import GliaError
from glia.recipe import Recipe
from glia.runs.folder import RunFolder
from glia.runs.packing import pack, unpack
from glia.training import world as worlds
from glia.training.pulse import LostProcess, Pulse
from glia.training.world import World, line_of
from glia.workbench.halt import Stopped, stop_on_signal
from glia.workbench.run import Run
from glia.workbench.session import Session

BEGIN_S = 600.0  # until a process that was started is heard of: a machine may be busy, torch takes seconds to import
LOOK_S = 0.05
MEET_S = 30.0  # for processes that have all said that they are ready to find each other
END_S = 5.0  # for processes to leave before they are ended
HERE = "127.0.0.1"

Brief = dict[str, Any]
"""recipe (TOML, planned), folder, fingerprint (of the data), record (of weights that the network began with)."""
Make = Callable[[Brief], Session]
Parameters = ParamSpec("Parameters")


class Elsewhere(GliaError):
    """Process 0 ended with this error, and has told it."""

    def __init__(self, line: str, exit_code: int):
        super().__init__(line)
        self.exit_code = exit_code


@dataclass
class Company:
    """The processes of a run, as one of them sees them. children: those that we started ourselves, by rank."""

    store: Any
    pulse: Pulse
    rank: int
    size: int
    children: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def ended(self) -> dict[int, str]:
        """Processes of ours that are no more, and how they ended."""
        codes = {rank: child.poll() for rank, child in self.children.items()}
        return {rank: _how(code) for rank, code in codes.items() if code is not None}

    def wait(self, keys: Sequence[str], ranks: Sequence[int], stall_s: float) -> str:
        """Until the store holds one of `keys`; which. Raises LostProcess when one of `ranks` fails or falls silent."""
        try:
            return self._waited(keys, ranks, stall_s)
        except RuntimeError as error:
            raise self.pulse.unanswered() from error

    def _waited(self, keys: Sequence[str], ranks: Sequence[int], stall_s: float) -> str:
        self.pulse.patience(stall_s)
        heard = {rank: (self.pulse.read(rank), time.monotonic()) for rank in ranks}
        while True:
            for key in keys:
                if self.pulse.holds(key):
                    return key
            for rank in ranks:
                line = self.pulse.ask(f"failed/{rank}")
                if line is not None:
                    raise LostProcess(f"process {rank} of {self.size} failed: {line}", rank)
                if rank in self.ended():
                    raise LostProcess(f"process {rank} of {self.size} {self.ended()[rank]}", rank)
                beat, since = heard[rank]
                now = self.pulse.read(rank)
                if now != beat:
                    heard[rank] = (now, time.monotonic())
                elif time.monotonic() - since > (BEGIN_S if now is None else stall_s):
                    raise LostProcess(f"process {rank} of {self.size} does not answer any more", rank)
            time.sleep(LOOK_S)

    def follow(self, make: Make) -> tuple[Session, Path]:
        """Train beside process 0, as it has planned. Returns the session, and the run's folder."""
        if self.wait(["brief", "end"], [0], worlds.STALL_S) == "end":
            self.raise_end()
        brief = json.loads(self.store.get("brief"))
        worlds.own_device()
        session = make(brief)
        self.store.set(f"ready/{self.rank}", "yes")
        if not dist.is_initialized():
            _start_group(self.store, self.rank, self.size)
        session.world = worlds.join(self.store, stall_of(session.recipe), self.pulse)
        skeleton, tensors = (session.world.from_first(b"") for _ in range(2))
        with stop_on_signal(lambda line: None) as stop, stop.between_steps(""):
            session.world.asked = lambda: stop.signal if stop.asked else 0
            with closing(session.moments(unpack(skeleton, tensors) if skeleton else None)) as moments:
                for _ in moments:
                    if session.world.stopping:
                        break
        return session, Path(brief["folder"])

    def raise_end(self) -> None:
        """End as process 0 has ended."""
        end = json.loads(self.store.get("end"))
        if "signal" in end:
            raise Stopped(Path(end["folder"]), end["signal"])
        if "line" in end:
            raise Elsewhere(end["line"], end["code"])

    def leave(self) -> None:
        """End the processes that we started, and what bound us to them."""
        until = time.monotonic() + END_S
        for child in self.children.values():
            try:
                child.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if self.children:
            self.pulse.stop()
            if dist.is_initialized():
                dist.destroy_process_group()

    def kill(self) -> None:
        """End the processes that we started at once, the frozen too."""
        for child in self.children.values():
            child.kill()


_companies: list[Company] = []  # under torchrun, that of the call that is under way


def led(make: Callable[..., Session]) -> Callable[[Callable[Parameters, Run]], Callable[Parameters, Run]]:
    """A verb that trains: under torchrun process 0 does it, and the others follow it.

    make: (brief, source, data, model, step) -> Session, of those that follow.
    """

    def decorate(verb: Callable[Parameters, Run]) -> Callable[Parameters, Run]:
        @wraps(verb)
        def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Run:
            if not (dist.is_available() and dist.is_initialized()) and not worlds.launched():
                return verb(*args, **kwargs)
            if not dist.is_initialized():
                worlds.start_group()
            if dist.get_world_size() == 1:
                return verb(*args, **kwargs)
            store = worlds.shared_store()
            rank, size = dist.get_rank(), dist.get_world_size()
            us = Company(store, Pulse(store, rank, size), rank, size)
            _companies.append(us)
            try:
                if us.rank == 0:
                    return _lead(us, lambda: verb(*args, **kwargs))
                given = signature(verb).bind(*args, **kwargs).arguments
                named = {name: given.get(name) for name in ("source", "data", "model", "step")}
                return _followed(us, lambda brief: make(brief, **named))
            finally:
                _companies.pop()
                us.pulse.stop()

        return call

    return decorate


def _lead(us: Company, work: Callable[[], Run]) -> Run:
    end: dict[str, Any] = {}
    try:
        return work()
    except Stopped as error:
        end = {"signal": error.signal, "folder": str(error.folder)}
        raise
    except BaseException as error:
        end = {"line": line_of(error), "code": getattr(error, "exit_code", 1)}
        raise
    finally:
        us.store.set("end", json.dumps(end))


def _followed(us: Company, make: Make) -> Run:
    try:
        session, folder = us.follow(make)
    except Exception as error:
        if not isinstance(error, LostProcess | Elsewhere):
            us.pulse.say(f"failed/{us.rank}", line_of(error))
        raise
    us.wait(["end"], [0], worlds.STALL_S)
    us.raise_end()
    return Run(RunFolder(folder), session.model)


def settled(recipe: Recipe, *, own: bool) -> Recipe:
    """The recipe with the number of processes that there will be. own: data, network or Step are given in memory."""
    if worlds.launched() or (dist.is_available() and dist.is_initialized()):
        size = dist.get_world_size()
        return recipe if recipe.train.processes == size else recipe.updated(processes=size)
    if recipe.train.processes > 1 and (own or not isinstance(recipe.data.source, str | Path)):
        raise GliaError(
            f"processes={recipe.train.processes} needs data and a network that another process can make by itself",
            got="some in memory", expected="a file or folder, and a network by name",
            hint=f"torchrun --nproc-per-node {recipe.train.processes} your_script.py",
        )  # fmt: skip
    return recipe


def stall_of(recipe: Recipe) -> float:
    """Seconds that a process waits for the others."""
    return recipe.train.stall_timeout or worlds.STALL_S


def patience(recipe: Recipe) -> float:
    """Seconds without a batch after which this process gives up; of several one first learns who is at fault."""
    timeout = recipe.train.stall_timeout
    return timeout + 2 * END_S if timeout and recipe.train.processes > 1 else timeout


@contextmanager
def together(
    session: Session, state: dict[str, Any] | None, folder: Path, record: Any, asked: Callable[[], int]
) -> Iterator[None]:
    """Inside the block all processes that the recipe asks for train the session; they leave at its end.

    state: the checkpoint to go on from. asked: the signal by which this process was asked to stop, or 0.
    """
    size = session.recipe.train.processes
    if size == 1:
        yield
        return
    us = _companies[-1] if _companies else _begin(size)
    others = [rank for rank in range(size) if rank]
    try:
        try:
            brief = {
                "recipe": session.recipe.to_toml(), "folder": str(folder.resolve()), "record": record,
                "fingerprint": session.data.card.get("fingerprint"),
            }  # fmt: skip
            us.store.set("brief", json.dumps(brief))
            for rank in others:
                us.wait([f"ready/{rank}"], others, stall_of(session.recipe))
            try:
                session.world = _met(us, stall_of(session.recipe))
            except RuntimeError as error:  # one ended between being ready and being met
                raise us.pulse.blame(error, us.ended) from error
            session.world.ended, session.world.asked = us.ended, asked
            for part in pack(state) if state else (b"", b""):
                session.world.from_first(part)
            yield
            us.store.set("trained", "yes")
        except BaseException as error:
            with suppress(RuntimeError):  # where nobody keeps the store any more, nobody waits either
                session.world.failed(error)
            us.kill()
            raise
    except LostProcess as error:
        raise LostProcess(error.what, error.rank, hint=f"glia resume {folder}") from error
    finally:
        session.world = World()
        us.leave()


def _begin(size: int) -> Company:
    """Start the others on this machine. Only this machine can reach the store that binds them."""
    worlds.own_device()
    listening = socket.create_server((HERE, 0))
    port = listening.getsockname()[1]
    store = TCPStore(
        HERE, port, is_master=True, wait_for_workers=False, master_listen_fd=listening.detach()
    )  # fmt: skip
    children = {rank: _child(rank, size, port) for rank in range(1, size)}
    return Company(store, Pulse(store, 0, size), 0, size, children)


def _child(rank: int, size: int, port: int) -> subprocess.Popen[bytes]:
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": HERE, "MASTER_PORT": port}
    environment = os.environ | {name: str(value) for name, value in told.items()}
    environment |= {"PYTHONPATH": os.pathsep.join(paths), "TORCH_CPP_LOG_LEVEL": "ERROR"}
    # A session of its own: Ctrl-C in the terminal is for process 0, which tells the others.
    return subprocess.Popen(
        [sys.executable, "-P", "-c", "from glia.workbench.worker import work; work()"],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip


def begun() -> Company:
    """The company of a process that `_begin` has started, seen from there."""
    rank, size, port = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"))
    store = TCPStore(HERE, port, is_master=False, timeout=timedelta(seconds=60))
    return Company(store, Pulse(store, rank, size, must_end=True), rank, size)


def _met(us: Company, stall_s: float) -> World:
    """The world of all processes, in process 0. Raises RuntimeError as soon as one that we started has ended: torch,
    inside C and deaf to signals, would wait for it until its time is over, and that more than once.
    """
    met: list[World] = []
    failed: list[Exception] = []

    def meet() -> None:
        try:
            if not dist.is_initialized():
                _start_group(us.store, us.rank, us.size)
            met.append(worlds.join(us.store, stall_s, us.pulse))
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=meet, name="glia-meeting", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(LOOK_S)
        if us.ended() and thread.is_alive():
            raise RuntimeError("a process ended before it was met")
    if failed:
        raise failed[0]
    return met[0]


def _start_group(store: Any, rank: int, size: int) -> None:
    """Over the loopback interface: how the machine's own name resolves does not matter."""
    name = "GLOO_SOCKET_IFNAME"
    before = os.environ.get(name)
    os.environ[name] = before or ("lo0" if sys.platform == "darwin" else "lo")
    try:
        worlds.start_group(dist.distributed_c10d.PrefixStore("group", store), rank, size, MEET_S)
    finally:
        os.environ.pop(name) if before is None else None


def _how(code: int) -> str:
    if code == LostProcess.exit_code:
        return "gave up: this process, 0, did not answer it any more"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

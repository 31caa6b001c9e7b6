"""Up, down and status of the servers below one folder; the same code for a person and for a test.

<folder>/<server>/state.json   the process and its port, while it should run
<folder>/<server>/data         what it keeps
<folder>/<server>/log          what it said
"""

from __future__ import annotations

import fcntl
import json
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.local.serving.ports import free_port
from scripts.servers.process import LOOK_AGAIN_S, Process, start
from scripts.servers.server import Place, Server, ServerFailed
from scripts.servers.table import SERVERS
from scripts.setup.progress import step

READY_WITHIN_S = 60.0
LOG_LINES_SHOWN = 8


@dataclass(frozen=True, slots=True)
class State:
    """A server that runs: where, and by which process."""

    name: str
    url: str
    pid: int


def up(name: str, folder: Path, port: int | None = None) -> State:
    """Have server `name` running on `port` (None: as before, else its usual one or a free one), and ready.

    Raises:
        ServerFailed: it can't be installed or doesn't start.
    """
    server = SERVERS[name]
    own = folder.absolute() / name
    with _alone(own):
        known = _known(own)
        if known is not None and known[0].is_alive:
            process, place = known
            _wait(name, server, process, place)  # an interrupted start may have left it half way
        else:
            server.install()
            place = Place(own, port or _port(server, known))
            server.prepare(place)
            with step(f"{name}: starting on port {place.port}"):
                process = start(server.command(place), own / "log")
                _remember(own, process, place)
                _wait(name, server, process, place)
        return State(name, server.url(place), process.pid)


def down(name: str, folder: Path) -> bool:
    """Stop server `name`; whether it ran. What it keeps stays."""
    own = folder.absolute() / name
    if not own.exists():
        return False
    with _alone(own):
        known = _known(own)
        if known is None or not known[0].is_alive:
            return False
        process, place = known
        process.stop(SERVERS[name].command(place).stop)
        return True


def status(name: str, folder: Path) -> State | None:
    """Server `name` if it runs."""
    known = _known(folder.absolute() / name)
    if known is None or not known[0].is_alive:
        return None
    process, place = known
    return State(name, SERVERS[name].url(place), process.pid)


@contextmanager
def running(name: str) -> Iterator[Running]:
    """A server on a free port, with nothing in it, that is gone at the end."""
    with tempfile.TemporaryDirectory(prefix=f"hadal-{name}-") as new:
        Path(new).chmod(0o711)  # its system user must come through
        server = Running(name, Path(new), free_port())
        server.start()
        try:
            yield server
        finally:
            server.stop()


@dataclass(frozen=True, slots=True)
class Running:
    """A server of a test, which may stop it and start it again where it was."""

    name: str
    folder: Path
    port: int

    @property
    def url(self) -> str:
        """The address for clients."""
        return SERVERS[self.name].url(Place(self.folder / self.name, self.port))

    def start(self) -> None:
        """Start it; it is ready when this returns."""
        up(self.name, self.folder, self.port)

    def stop(self) -> None:
        """Stop it in good order."""
        down(self.name, self.folder)

    def kill(self) -> None:
        """SIGKILL it: it has no time for anything."""
        known = _known(self.folder / self.name)
        if known is not None:
            known[0].stop(signal.SIGKILL)


def _wait(name: str, server: Server, process: Process, place: Place) -> None:
    end_s = time.monotonic() + READY_WITHIN_S
    while not server.is_ready(place):
        if not process.is_alive:
            raise ServerFailed(f"{name} ended as it started. {_said(place)}")
        if time.monotonic() > end_s:
            process.stop(signal.SIGKILL)
            raise ServerFailed(f"{name} wasn't ready after {READY_WITHIN_S:g} s. {_said(place)}")
        time.sleep(LOOK_AGAIN_S)


def _said(place: Place) -> str:
    log = place.folder / "log"
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
    return f"The end of {log}:\n" + "\n".join(f"  {line}" for line in lines)


def _port(server: Server, known: tuple[Process, Place] | None) -> int:
    for port in (known[1].port if known else server.port, server.port):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return free_port()


def _known(own: Path) -> tuple[Process, Place] | None:
    """The process that was started last, and where; it may be gone."""
    try:
        state = json.loads((own / "state.json").read_text())
    except FileNotFoundError:
        return None
    return Process(state["pid"], state["began"]), Place(own, state["port"])


def _remember(own: Path, process: Process, place: Place) -> None:
    new = own / "state.json.new"
    new.write_text(json.dumps({"pid": process.pid, "began": process.began, "port": place.port}))
    new.replace(own / "state.json")


@contextmanager
def _alone(own: Path) -> Iterator[None]:
    """One command at a time for one server."""
    own.mkdir(parents=True, exist_ok=True)
    with (own / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

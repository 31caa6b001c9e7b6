"""Up, down, status: with real servers, and with a small one where a real one would not go wrong."""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from scripts.local.serving.ports import free_port
from scripts.servers import SERVERS, ServerFailed, down, lifecycle, status, up
from scripts.servers.__main__ import main
from scripts.servers.lifecycle import running
from scripts.servers.process import Process, began
from scripts.servers.server import Command, Place, Server

pytestmark = pytest.mark.slow

LISTEN = (
    "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(600)"
)
IGNORE_SIGTERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "


@dataclass
class Small:
    """A server that runs a line of Python."""

    code: str = LISTEN
    port: int = 0
    installed: int = 0

    def install(self) -> None:
        self.installed += 1

    def prepare(self, place: Place) -> None:
        place.data.mkdir(parents=True, exist_ok=True)

    def command(self, place: Place) -> Command:
        return Command((sys.executable, "-c", self.code, str(place.port)))

    def is_ready(self, place: Place) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", place.port)) == 0

    def url(self, place: Place) -> str:
        return f"small://127.0.0.1:{place.port}"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Small]:
    server = Small(port=free_port())
    monkeypatch.setitem(cast("dict[str, Server]", SERVERS), "small", server)
    yield server
    down("small", tmp_path)


def test_a_second_up_leaves_the_server_alone(small: Small, tmp_path: Path) -> None:
    first = up("small", tmp_path)
    assert first.url == f"small://127.0.0.1:{small.port}"
    assert up("small", tmp_path) == first == status("small", tmp_path)
    assert small.installed == 1


def test_down_ends_the_process_and_up_finds_its_port_again(small: Small, tmp_path: Path) -> None:
    port = free_port()
    first = up("small", tmp_path, port)
    assert down("small", tmp_path)
    assert began(first.pid) is None
    assert status("small", tmp_path) is None
    assert not down("small", tmp_path)
    assert up("small", tmp_path).url == first.url


def test_a_usual_port_that_is_taken_is_left_to_who_has_it(small: Small, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", small.port)):
        assert up("small", tmp_path).url != f"small://127.0.0.1:{small.port}"


def test_a_server_that_ends_as_it_starts_is_shown_with_its_last_words(small: Small, tmp_path: Path) -> None:
    small.code = "raise SystemExit('no room for me')"
    with pytest.raises(ServerFailed, match="no room for me"):
        up("small", tmp_path)
    assert status("small", tmp_path) is None


def test_a_server_that_never_gets_ready_is_ended(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "READY_WITHIN_S", 0.3)
    small.code = "import time; print('still busy', flush=True); time.sleep(600)"
    with pytest.raises(ServerFailed, match="wasn't ready"):
        up("small", tmp_path)
    assert status("small", tmp_path) is None


def test_a_server_that_doesnt_listen_to_sigterm_is_killed(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.servers.process.KILLED_AFTER_S", 0.3)
    small.code = IGNORE_SIGTERM + LISTEN
    pid = up("small", tmp_path).pid
    assert down("small", tmp_path)
    assert began(pid) is None


def test_a_process_that_has_the_id_by_now_is_let_alone(small: Small, tmp_path: Path) -> None:
    pid = up("small", tmp_path).pid
    started = began(pid)
    assert started is not None
    file = tmp_path / "small/state.json"
    mine = file.read_text()
    file.write_text(json.dumps({**json.loads(mine), "began": started - 1}))
    assert not down("small", tmp_path)
    Process(pid, started - 1).stop(signal.SIGKILL)
    assert began(pid) == started
    file.write_text(mine)


@pytest.mark.parametrize(("name", "path"), [("postgresql", "/hadal"), ("mongodb", "/hadal"), ("s3", "")])
def test_what_a_real_server_keeps_is_there_after_a_restart(name: str, path: str) -> None:
    with running(name) as server:
        url = server.url
        assert f"127.0.0.1:{server.port}{path}" in url and url.endswith(f":{server.port}{path}")
        server.stop()
        assert status(name, server.folder) is None
        server.start()
        assert status(name, server.folder) is not None
        assert server.url == url, "the password or the port is another one"
        folder = server.folder
    assert not folder.exists()


def test_the_command_says_what_is_up_and_where(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["small", "--json", "--data", str(tmp_path)]
    assert main(["up", *words]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["small"]["state"] == "up" and said["small"]["url"].startswith("small://")
    assert main(["status", "small", "--data", str(tmp_path)]) == 0
    assert f"pid {said['small']['pid']}" in capsys.readouterr().out
    assert main(["down", *words]) == 0
    assert json.loads(capsys.readouterr().out) == {"small": {"state": "down"}}


def test_a_failed_start_is_status_1_and_a_wrong_name_2(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small.code = "raise SystemExit('no room for me')"
    assert main(["up", "small", "--data", str(tmp_path)]) == 1
    assert "no room for me" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        main(["up", "oracle"])
    assert end.value.code == 2
    assert "mongodb, postgresql" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["up"], ["down"], ["status"]])
def test_every_command_has_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*words, "--help"])
    assert end.value.code == 0
    assert "usage: scripts/services" in capsys.readouterr().out

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from scripts.deployment import postgresql_image
from scripts.deployment.errors import Unfit
from scripts.local.serving.ports import free_port
from scripts.servers import SERVERS
from scripts.servers.postgresql import _programs, _user

START = postgresql_image.CONTEXT / "start"
PASSWORD = "s3cret"
WITHIN_S = 60


@pytest.fixture
def folder() -> Iterator[Path]:
    SERVERS["postgresql"].install()
    with tempfile.TemporaryDirectory(prefix="hadal-postgresql-") as made:
        (Path(made) / "password").write_text(PASSWORD)
        if user := _user():
            os.chown(made, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        yield Path(made)


@contextmanager
def started(folder: Path, port: int) -> Iterator[None]:
    """The image's entry program, as the container has it but for the place of its data."""
    user = _user()
    environment = {
        "PATH": f"{_programs()}:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "PGDATA": str(folder / "data"),
        "PGPORT": str(port),
        "PASSWORD_FILE": str(folder / "password"),
    }
    group = None if user is None else pwd.getpwnam(user).pw_gid
    extra: list[int] | None = None if user is None else []
    server = subprocess.Popen(
        [START],
        env=environment,
        user=user,
        group=group,
        extra_groups=extra,
        cwd="/",
        stdout=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(WITHIN_S) == 0


def asked(port: int, password: str, *statements: str) -> object:
    """What the last statement says, once the server lets us in."""

    async def ask() -> object:
        url = f"postgresql://hadal:{password}@127.0.0.1:{port}/hadal"
        ends_at_s = time.monotonic() + WITHIN_S
        while True:
            try:
                connection = await asyncpg.connect(url)
                break
            except (OSError, asyncpg.CannotConnectNowError):
                assert time.monotonic() < ends_at_s
                await asyncio.sleep(0.1)
        try:
            said = None
            for statement in statements:
                said = await connection.fetchval(statement)
            return said
        finally:
            await connection.close()

    return asyncio.run(ask())


@pytest.mark.slow
def test_the_server_makes_its_data_once_and_lets_in_whoever_has_the_password(folder: Path) -> None:
    port = free_port()
    with started(folder, port):
        asked(port, PASSWORD, "CREATE TABLE kept (word text)", "INSERT INTO kept VALUES ('here')")
        with pytest.raises(asyncpg.InvalidPasswordError):
            asked(port, "another", "SELECT 1")
    (folder / "data.new").mkdir()  # as a start leaves it that is killed before it ends
    with started(folder, port):
        assert asked(port, PASSWORD, "SELECT word FROM kept") == "here"


def test_a_machine_without_the_tools_is_told_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unfit, match="couldn't be made: none of buildah, podman, docker is here"):
        postgresql_image.make_postgresql(tmp_path / "image.tar")

"""PostgreSQL as the machine's packages bring it, with a superuser `hadal`, its password and its database."""

from __future__ import annotations

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg

from scripts.servers.debian import need
from scripts.servers.server import Command, Place, ServerFailed

DEBIAN = Path("/usr/lib/postgresql")
USER = DATABASE = "hadal"
ASK_S = 2.0
SYSTEM_USERS = ("postgres", "nobody")
SETTINGS = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "shared_buffers=32MB")


class PostgreSql:
    """The server `postgresql`. It refuses to run as root: there it runs as a system user."""

    port = 5432

    def install(self) -> None:
        """The package `postgresql`."""
        _programs()

    def prepare(self, place: Place) -> None:
        """A new cluster whose superuser has a random password; it takes no connection without one."""
        if (place.data / "PG_VERSION").exists():
            return
        shutil.rmtree(place.data, ignore_errors=True)  # what an interrupted start left
        place.data.mkdir(parents=True)
        self._password(place)
        user = _user()
        if user is not None:
            _hand_over(place, user)
        initdb = str(Path(_programs()) / "initdb")
        done = subprocess.run(
            [
                *(initdb, "--pgdata", str(place.data), "--username", USER, "--encoding", "UTF8"),
                *(
                    "--locale",
                    "C",
                    "--auth",
                    "scram-sha-256",
                    "--pwfile",
                    str(_password_file(place)),
                    "--no-sync",
                ),
            ],
            user=user,
            group=None if user is None else pwd.getpwnam(user).pw_gid,
            extra_groups=None if user is None else [],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServerFailed(f"postgresql: initdb failed: {done.stderr.strip()}")

    def command(self, place: Place) -> Command:
        """The server's own process; SIGINT is its fast shutdown."""
        settings = (*SETTINGS, f"port={place.port}")
        postgres = str(Path(_programs()) / "postgres")
        words = (postgres, "-D", str(place.data), *(word for each in settings for word in ("-c", each)))
        return Command(words, _user(), {"LC_ALL": "C"}, signal.SIGINT)

    def is_ready(self, place: Place) -> bool:
        """Whether it lets the superuser in; the database is made then."""
        try:
            with ThreadPoolExecutor(1) as apart:  # who asks may have an event loop that runs
                return apart.submit(asyncio.run, _with_database(self.url(place, "postgres"))).result()
        except (OSError, asyncpg.PostgresError):
            return False

    def url(self, place: Place, database: str = DATABASE) -> str:
        """The database `hadal`, with the superuser's password."""
        return f"postgresql://{USER}:{self._password(place)}@127.0.0.1:{place.port}/{database}"

    def _password(self, place: Place) -> str:
        file = _password_file(place)
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(secrets.token_hex(16))
        return file.read_text()


async def _with_database(url: str) -> bool:
    connection = await asyncpg.connect(url, timeout=ASK_S)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE}")
    except asyncpg.DuplicateDatabaseError:
        return True
    finally:
        await connection.close(timeout=ASK_S)
    return True


def _programs() -> str:
    """The folder of `initdb` and `postgres`, the newest version where there are several."""
    return need(_newest, "PostgreSQL", ("postgresql",))


def _newest() -> str | None:
    folders = [path.parent for path in DEBIAN.glob("*/bin/initdb")]  # Debian keeps them off PATH
    if folders:
        return str(max(folders, key=lambda folder: float(folder.parent.name)))
    found = shutil.which("initdb")
    return None if found is None else str(Path(found).resolve().parent)


def _user() -> str | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in SYSTEM_USERS:
        if name in known:
            return name
    raise ServerFailed(
        f"postgresql refuses to run as root, and there is no user {' or '.join(SYSTEM_USERS)}."
    )


def _password_file(place: Place) -> Path:
    return place.folder / "password"


def _hand_over(place: Place, user: str) -> None:
    """Give what PostgreSQL reads and writes to `user`, who must be able to come in.

    Raises:
        ServerFailed: a folder above is closed to others.
    """
    entry = pwd.getpwnam(user)
    for path in (place.data, _password_file(place)):
        os.chown(path, entry.pw_uid, entry.pw_gid)
    place.data.chmod(0o700)
    for folder in place.data.resolve().parents:
        if not folder.stat().st_mode & 0o001:
            raise ServerFailed(
                f"postgresql runs as {user}, who can't come through {folder}: give another --data"
                " (a folder that others may enter), or `chmod o+x` that one."
            )

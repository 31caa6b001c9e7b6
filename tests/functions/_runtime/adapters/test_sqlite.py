"""What only a database in a file can do wrong: full disks, dying processes, several writers of one file."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from functions._runtime.adapters.sqlite.database import Database, Work
from functions._runtime.adapters.sqlite.store import SqliteStore
from functions._runtime.errors import NotFound, Unavailable, VersionConflict
from functions._runtime.store import open_store
from tests.functions._runtime.contracts.event_store import event


def insert(value: str) -> Work[int]:
    return lambda connection: connection.execute("INSERT INTO t (v) VALUES (?)", (value,)).rowcount


def values(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT v FROM t ORDER BY rowid")]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database(str(tmp_path / "folder" / "store.db"))
    opened.define(lambda connection: connection.execute("CREATE TABLE t (v TEXT UNIQUE)"))
    yield opened
    await opened.close()


async def test_writes_that_wait_together_share_a_transaction(database: Database) -> None:
    """One fsync carries many writes: that is what makes a stored turn cheap."""
    commits: list[str] = []
    await database.write(lambda connection: connection.set_trace_callback(commits.append))
    await asyncio.gather(*(database.write(insert(str(n))) for n in range(200)))
    assert len(await database.read(values)) == 200
    assert 1 <= commits.count("COMMIT") < 100


async def test_a_write_that_fails_leaves_the_others_of_its_transaction_standing(database: Database) -> None:
    def write_then_refuse(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t (v) VALUES ('refused')")
        raise NotFound("no")

    outcomes = await asyncio.gather(
        database.write(insert("a")),
        database.write(write_then_refuse),
        database.write(insert("a")),
        database.write(insert("b")),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [int, NotFound, Unavailable, int]
    assert await database.read(values) == ["a", "b"]


async def test_a_write_whose_caller_left_stands_and_harms_nobody(database: Database) -> None:
    leaving = asyncio.create_task(database.write(insert("a")))
    await asyncio.sleep(0)
    leaving.cancel()
    await database.write(insert("b"))
    assert await database.read(values) == ["a", "b"]


async def test_closing_finishes_the_writes_that_wait(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "store.db"))
    database.define(lambda connection: connection.execute("CREATE TABLE t (v TEXT)"))
    writing = asyncio.gather(*(database.write(insert(str(n))) for n in range(50)))
    await asyncio.sleep(0)
    await database.close()
    assert await writing == [1] * 50


async def test_a_full_disk_is_unavailable_and_passes(tmp_path: Path) -> None:
    """Promise 54: refuse, corrupt nothing, go on when there is room."""
    database = Database(str(tmp_path / "store.db"))
    store = SqliteStore(database).event_store("facts")
    await store.append("a", [event("1")], 0)
    large = event("2", blob=b"x" * 200_000)
    await database.write(lambda connection: connection.execute("PRAGMA max_page_count = 20"))
    with pytest.raises(Unavailable):
        await store.append("a", [event("between"), large], 1)
    assert [each.event.id for each in await store.read("a")] == ["1"]
    assert await store.append("a", [event("small")], 1) == 2
    await database.write(lambda connection: connection.execute("PRAGMA max_page_count = 100000"))
    assert await store.append("a", [large], 2) == 3
    assert [each.event.id for each in await store.unpublished(10)] == ["1", "small", "2"]
    assert await database.read(
        lambda connection: connection.execute("PRAGMA integrity_check").fetchone()
    ) == ("ok",)
    await database.close()


@pytest.mark.parametrize("path", ["/proc/nowhere/store.db", "/dev/null/store.db"])
async def test_a_file_that_cant_be_made_is_named(path: str) -> None:
    with pytest.raises(Unavailable, match=path):
        async with open_store(f"sqlite:{path}"):
            pass


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(Unavailable):
        async with open_store(f"sqlite:{tmp_path}/store.db"):
            pass


async def test_two_databases_on_one_file_take_turns(tmp_path: Path) -> None:
    async with open_store(f"sqlite:{tmp_path}/s.db") as one, open_store(f"sqlite:{tmp_path}/s.db") as two:
        stores = one.event_store("facts"), two.event_store("facts")
        outcomes = await asyncio.gather(
            *(store.append("a", [event(f"{n}")], 0) for n, store in enumerate(stores * 25)),
            return_exceptions=True,
        )
        assert sum(outcome == 1 for outcome in outcomes) == 1
        assert all(outcome == 1 or isinstance(outcome, VersionConflict) for outcome in outcomes)
        assert await stores[0].read("a") == await stores[1].read("a")


WRITER = """
import asyncio, sys
from functions._runtime.store import open_store
from tests.functions._runtime.contracts.event_store import event

async def main():
    async with open_store("sqlite:" + sys.argv[1]) as store:
        facts = store.event_store("facts")
        async def write(stream):
            version = len(await facts.read(stream))
            while True:
                events = [event(f"{stream}-{version}-{n}") for n in range(3)]
                version = await facts.append(stream, events, version)
                print(stream, version, flush=True)
        await asyncio.gather(*(write(f"s{n}-{sys.argv[2]}") for n in range(4)))

asyncio.run(main())
"""


def write_and_die(path: Path, lines: int, acknowledged: dict[str, int]) -> None:
    """Two processes append to one file; each is killed in the middle, and what they said is noted."""
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], stdout=subprocess.PIPE, text=True)
        for name in ("x", "y")
    ]
    for writer in writers:
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(lines)]
        os.kill(writer.pid, signal.SIGKILL)
        said += writer.communicate()[0].splitlines(keepends=True)
        for line in said:
            if line.endswith("\n"):
                stream, version = line.split()
                acknowledged[stream] = int(version)


@pytest.mark.slow
async def test_kill_9_loses_no_acknowledged_append_and_parts_none_from_its_outbox(tmp_path: Path) -> None:
    """Promise 56: what was acknowledged stands, whole, with its outbox entries; two processes at once."""
    path = tmp_path / "store.db"
    acknowledged: dict[str, int] = {}
    for lines in (20, 27, 34):
        write_and_die(path, lines, acknowledged)
    async with open_store(f"sqlite:{path}") as store:
        facts = store.event_store("facts")
        kept = await facts.read_all(0, 100_000)
        assert [each.position for each in await facts.unpublished(100_000)] == [
            each.position for each in kept
        ]
        for stream, version in acknowledged.items():
            events = await facts.read(stream)
            assert len(events) >= version
            assert len(events) % 3 == 0
            assert [each.version for each in events] == list(range(1, len(events) + 1))

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from events import CloudEvent
from scripts.local.eventing.log import Checkpoint, LogRefused
from scripts.local.eventing.retention import Retention
from scripts.local.eventing.sqlite import tail
from scripts.local.eventing.sqlite.checkpoints import SqliteCheckpoints
from scripts.local.eventing.sqlite.database import Database
from scripts.local.eventing.sqlite.eventlog import SqliteEventLog

FAR = 1_000_000_000


def event(ident: int, data: bytes = b"{}", **extensions: str) -> CloudEvent:
    return CloudEvent(str(ident), "/test", "t", data=data, extensions=extensions)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    one = Database(tmp_path / "log.sqlite")
    await one.open()
    yield one
    await one.close()


@pytest.fixture
async def log(database: Database) -> SqliteEventLog:
    one = SqliteEventLog(database, ("a", "b"))
    await one.open()
    return one


@pytest.fixture
def no_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing stays in memory, so that every read goes to the file."""
    monkeypatch.setattr(tail, "TAIL_RECORDS", 0)


async def ids(
    log: SqliteEventLog, broker: str, start: int = 0, limit: int = 1_000, max_bytes: int = FAR
) -> list[str]:
    return [record.attributes["id"] for record in await log.read(broker, start, limit, max_bytes)]


async def test_each_broker_has_its_own_offsets(log: SqliteEventLog) -> None:
    await log.append("a", [event(1), event(2)])
    await log.append("b", [event(3)])
    assert [record.offset for record in await log.read("a", 0, 9, FAR)] == [0, 1]
    assert [record.offset for record in await log.read("b", 0, 9, FAR)] == [0]
    assert (log.end("a"), log.end("b")) == (2, 1)


async def test_what_is_read_from_the_file_is_what_is_read_from_memory(
    log: SqliteEventLog, database: Database, tmp_path: Path
) -> None:
    odd = CloudEvent(
        "ä:%\n",
        "/s",
        "t",
        subject="a b",
        datacontenttype="text/plain; charset=utf-8",
        data=b"\x00\n\xff",
        extensions={"partitionkey": "k", "number": 7, "flag": True, "raw": b"\x00\x01"},
    )
    await log.append("a", [odd])
    (fresh,) = await log.read("a", 0, 1, FAR)
    again = SqliteEventLog(database, ("a",))
    await again.open()
    (stored,) = await again.read("a", 0, 1, FAR)
    assert stored == fresh
    assert stored.attributes["id"] == "ä:%\n"
    assert stored.key == "k"


@pytest.mark.usefixtures("no_tail")
async def test_reads_are_bounded_in_number_and_bytes_but_never_empty(log: SqliteEventLog) -> None:
    await log.append("a", [event(number, b"x" * 10_000) for number in range(10)])
    assert await ids(log, "a", 2, 3) == ["2", "3", "4"]
    assert await ids(log, "a", 0, 10, 25_000) == ["0", "1"]
    assert await ids(log, "a", 5, 10, 0) == ["5"]
    assert await ids(log, "a", 10) == []


async def test_the_newest_events_are_bounded_in_memory_in_number_and_bytes_too(log: SqliteEventLog) -> None:
    await log.append("a", [event(number, b"x" * 10_000) for number in range(10)])
    assert await ids(log, "a", 0, 10, 25_000) == ["0", "1"]
    assert await ids(log, "a", 5, 10, 0) == ["5"]


async def test_one_event_can_be_picked(log: SqliteEventLog) -> None:
    await log.append("a", [event(1), event(2)])
    picked = await log.pick("a", 1)
    assert picked is not None
    assert picked.attributes["id"] == "2"
    assert await log.pick("a", 2) is None


async def test_watchers_see_what_became_durable_until_they_leave(log: SqliteEventLog) -> None:
    seen: list[int] = []
    leave = log.watch("a", lambda records: seen.extend(record.offset for record in records))
    await log.append("a", [event(1)])
    await log.append("b", [event(2)])
    leave()
    await log.append("a", [event(3)])
    assert seen == [0]


async def test_a_log_goes_on_where_it_ended(tmp_path: Path) -> None:
    for start in (0, 2):
        database = Database(tmp_path / "log.sqlite")
        await database.open()
        log = SqliteEventLog(database, ("a",))
        await log.open()
        assert log.end("a") == start
        await log.append("a", [event(start), event(start + 1)])
        await database.close()


async def test_appends_at_once_keep_their_order_and_share_commits(log: SqliteEventLog) -> None:
    commits: list[int] = []
    log.watch("a", lambda records: commits.append(len(records)))
    await asyncio.gather(*(log.append("a", [event(number)]) for number in range(500)))
    assert await ids(log, "a", 0, 500) == [str(number) for number in range(500)]
    assert len(commits) < 50


async def test_a_full_disk_refuses_whole_appends_and_recovers(
    database: Database, log: SqliteEventLog
) -> None:
    """Promise 54: disk full: refuse, corrupt nothing."""
    await log.append("a", [event(0)])
    database.limit(1)
    with pytest.raises(LogRefused, match="full"):
        await log.append("a", [event(1), event(2, b"x" * 900_000)])
    results = await asyncio.gather(
        *(log.append("a", [event(number, b"x" * 900_000)]) for number in (3, 4)), return_exceptions=True
    )
    assert all(isinstance(result, LogRefused) for result in results)
    database.limit(100_000)
    await log.append("a", [event(5)])
    assert await ids(log, "a") == ["0", "5"]
    assert await database.read(
        lambda connection: connection.execute("PRAGMA integrity_check").fetchone()
    ) == ("ok",)


async def test_a_job_that_fails_leaves_no_trace_and_takes_no_other_with_it(
    database: Database, log: SqliteEventLog
) -> None:
    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO brokers (name) VALUES ('half')")
        raise ZeroDivisionError

    job, append = database.write(half), log.append("a", [event(1)])
    with pytest.raises(ZeroDivisionError):
        await job
    await append
    assert await ids(log, "a") == ["1"]
    names = await database.read(lambda connection: connection.execute("SELECT name FROM brokers").fetchall())
    assert names == [("a",), ("b",)]


async def test_retention_deletes_what_is_old_and_done_and_keeps_the_rest(log: SqliteEventLog) -> None:
    await log.append("a", [event(number) for number in range(10)])
    await log.append("b", [event(number) for number in range(10)])
    arrived_s = (await log.read("a", 0, 1, FAR))[0].arrived_ms / 1_000
    keep_an_hour = Retention(age_s=3_600.0)
    assert await keep_an_hour.apply(log, {"a": 6, "b": 0}, lambda: arrived_s + 3_599) == 0
    assert await keep_an_hour.apply(log, {"a": 6, "b": 0}, lambda: arrived_s + 3_700) == 6
    reopened = await reopen(log)
    assert await ids(reopened, "a") == ["6", "7", "8", "9"]
    assert len(await ids(reopened, "b")) == 10


async def test_retention_by_size_deletes_the_oldest_first(log: SqliteEventLog) -> None:
    await log.append("a", [event(number, b"x" * 500_000) for number in range(10)])
    assert await Retention(size_bytes=100_000).apply(log, {"a": 5}) == 5
    assert await ids(await reopen(log), "a") == ["5", "6", "7", "8", "9"]


async def test_the_newest_event_always_stays_so_that_offsets_go_on(log: SqliteEventLog) -> None:
    await log.append("a", [event(1), event(2)])
    await Retention(age_s=0.0, size_bytes=0).apply(log, {"a": 2}, lambda: 1e12)
    reopened = await reopen(log)
    assert await ids(reopened, "a") == ["2"]
    assert reopened.end("a") == 2


async def test_checkpoints_are_replaced_and_forgotten(database: Database) -> None:
    checkpoints = SqliteCheckpoints(database)
    await checkpoints.save({"t": Checkpoint("a", 5, (1, 3)), "u": Checkpoint("a", 9)})
    await checkpoints.save({"t": Checkpoint("a", 7, (3,))})
    assert await checkpoints.load() == {"t": Checkpoint("a", 7, (3,)), "u": Checkpoint("a", 9)}
    assert Checkpoint("a", 7, (3,)).lowest == 3
    assert Checkpoint("a", 9).lowest == 9
    await checkpoints.forget(["t"])
    assert set(await checkpoints.load()) == {"u"}


async def test_a_file_that_cannot_be_opened_says_which(tmp_path: Path) -> None:
    (tmp_path / "log.sqlite").mkdir()
    with pytest.raises(LogRefused, match=r"log\.sqlite can't be opened"):
        await Database(tmp_path / "log.sqlite").open()


async def reopen(log: SqliteEventLog) -> SqliteEventLog:
    """The same log as a new start sees it, with nothing in memory."""
    again = SqliteEventLog(log._database, ("a", "b"))
    await again.open()
    return again

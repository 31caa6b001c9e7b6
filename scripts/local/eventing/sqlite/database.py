"""One SQLite file: all writes by one thread in shared transactions, all reads by another."""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from scripts.local.eventing.log import LogRefused

log = logging.getLogger(__name__)
T = TypeVar("T")
Job = Callable[[sqlite3.Connection], Any]
Ticket = tuple[Job, "asyncio.Future[Any]"]
Outcome = tuple["asyncio.Future[Any]", Any, BaseException | None]

JOBS_A_TRANSACTION = 256
PAGE_BYTES = 16_384
WAL_BYTES = 64 * 1_048_576
SCHEMA = """
CREATE TABLE IF NOT EXISTS brokers (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY, arrived_ms INTEGER NOT NULL, headers BLOB NOT NULL, data BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS checkpoints (
    trigger TEXT PRIMARY KEY, broker TEXT NOT NULL, position INTEGER NOT NULL, open TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT, trigger TEXT NOT NULL, broker TEXT NOT NULL, event INTEGER NOT NULL,
    arrived_ms INTEGER NOT NULL, headers BLOB NOT NULL, data BLOB NOT NULL, at_ms INTEGER NOT NULL,
    reason TEXT NOT NULL, destination TEXT, code INTEGER, body BLOB NOT NULL, sink TEXT NOT NULL,
    UNIQUE (trigger, event)
);
"""


class Database:
    """The file and its two threads. A job that fails, or a disk that is full, leaves no trace of itself.

    Writes that wait together share one transaction and so one fsync (`synchronous=FULL`: what was reported as
    written survives the machine's crash). Where a shared transaction fails, each of its jobs is tried alone.
    """

    def __init__(self, path: Path, *, max_pages: int | None = None) -> None:
        self.path = path
        self._max_pages = max_pages
        self._loop: asyncio.AbstractEventLoop
        self._writing: sqlite3.Connection
        self._reading: sqlite3.Connection
        self._tickets: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._reader = ThreadPoolExecutor(1, "broker-reader")
        self._writer = threading.Thread(target=self._work, name="broker-writer", daemon=True)

    async def open(self) -> None:
        """Open the file, make what is missing in it, and start the threads. `LogRefused`."""
        self._loop = asyncio.get_running_loop()
        try:
            self._writing = self._connect()
            self._writing.executescript(SCHEMA)
            self._reading = self._connect()
        except sqlite3.Error as error:
            raise LogRefused(f"{self.path} can't be opened: {error}") from None
        if self._max_pages is not None:
            self.limit(self._max_pages)
        self._writer.start()

    async def close(self) -> None:
        """Finish what is written already, and close the file."""
        if self._writer.is_alive():
            self._tickets.put(None)
            await asyncio.to_thread(self._writer.join)
        self._reader.shutdown()
        self._reading.close()
        self._writing.close()

    def limit(self, max_pages: int) -> None:
        """Let the file grow to this many pages and no further."""
        self._writing.execute(f"PRAGMA max_page_count={max_pages:d}")

    def write(self, job: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Run `job` in the writer's next transaction; done after its commit, `LogRefused` if that failed.

        A job may run twice, the second time after the first was rolled back.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._tickets.put((job, future))
        return future

    async def read(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run `job` in the reader's thread; it sees what has been committed. `LogRefused`."""
        try:
            return await self._loop.run_in_executor(self._reader, job, self._reading)
        except sqlite3.Error as error:
            raise LogRefused(f"{self.path} can't be read: {error}") from None

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
        connection.execute("PRAGMA busy_timeout=5000")
        return connection

    def _work(self) -> None:
        """The writer's thread."""
        going_on = True
        while going_on:
            tickets, going_on = self._waiting()
            outcomes = self._transaction(tickets)
            if len(outcomes) > 1 and outcomes[0][2] is not None:
                outcomes = [outcome for ticket in tickets for outcome in self._transaction([ticket])]
            if outcomes:
                self._loop.call_soon_threadsafe(_settle, outcomes)

    def _waiting(self) -> tuple[list[Ticket], bool]:
        """At least one ticket, and whether more may come."""
        tickets: list[Ticket] = []
        ticket = self._tickets.get()
        while ticket is not None:
            tickets.append(ticket)
            if len(tickets) == JOBS_A_TRANSACTION:
                return tickets, True
            try:
                ticket = self._tickets.get_nowait()
            except queue.Empty:
                return tickets, True
        return tickets, False

    def _transaction(self, tickets: list[Ticket]) -> list[Outcome]:
        """Run the jobs and commit; either all of the outcomes are results, or all are the same error."""
        if not tickets:
            return []
        connection = self._writing
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes: list[Outcome] = [(future, job(connection), None) for job, future in tickets]
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  the writer goes on; the error belongs to whoever waits
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            return [(future, None, _refusal(error)) for _, future in tickets]
        return outcomes


def _refusal(error: Exception) -> Exception:
    return LogRefused(str(error)) if isinstance(error, sqlite3.Error) else error


def _settle(outcomes: list[Outcome]) -> None:
    for future, result, error in outcomes:
        if future.done():
            continue  # whoever waited has gone
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

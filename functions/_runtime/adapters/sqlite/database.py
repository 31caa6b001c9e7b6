"""One SQLite file: many readers, and one writer whose transactions carry all writes that wait.

A write costs an fsync, and fsyncs are what a disk gives least of. So the writer thread takes everything that
has queued up while the last transaction was written, runs each in its savepoint, and commits once for all of
them: one that fails leaves no trace and the others stand. Several processes may share the file; SQLite's
write lock puts their transactions in a row.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from functions._runtime.errors import Unavailable

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

BATCH = 512
READERS = 4
BUSY_TIMEOUT_MS = 5_000

_AWAY = "The store can't be used now."


@dataclass(frozen=True, slots=True)
class _Write:
    work: Work[Any]
    done: asyncio.Future[Any]

    def settle(self, outcome: object) -> None:
        """Tell who waits; runs in their event loop."""
        if self.done.done():
            return  # nobody waits any more; what was written stands
        if isinstance(outcome, BaseException):
            self.done.set_exception(outcome)
        else:
            self.done.set_result(outcome)


class Database:
    """The file at `path`, made with its folder if it isn't there.

    Raises:
        Unavailable: it can't be opened or isn't a database.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._writes: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite-reader")
        self._own = threading.local()
        self._opened: list[sqlite3.Connection] = []
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
        except (OSError, sqlite3.Error):
            raise Unavailable(f"The store's file {path} can't be opened.") from None
        self._thread = threading.Thread(target=self._write_all, name="sqlite-writer", daemon=True)
        self._thread.start()

    def define(self, work: Work[T]) -> T:
        """Let `work` make tables and indexes that aren't there yet; blocks, so it belongs to the start.

        Raises:
            Unavailable: the file can't be written.
        """
        try:
            connection = self._connect()
            with connection:  # commits, or takes back
                connection.execute("BEGIN IMMEDIATE")
                return work(connection)
        except sqlite3.Error:
            raise Unavailable(_AWAY) from None

    async def write(self, work: Work[T]) -> T:
        """What `work` returns, once its changes are on the disk.

        Raises:
            Problem: `work` raised it; none of its changes stand.
            Unavailable: SQLite failed; none of its changes stand.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._writes.put(_Write(work, done))
        return await done

    async def read(self, work: Work[T]) -> T:
        """What `work` returns of one consistent state.

        Raises:
            Unavailable: SQLite failed.
        """
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    async def close(self) -> None:
        """Finish the writes that wait, then close."""
        self._writes.put(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._readers.shutdown)
        for connection in self._opened:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # in WAL this is an fsync a transaction
        self._opened.append(connection)
        return connection

    def _read(self, work: Work[T]) -> T:
        try:
            connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
            if connection is None:
                connection = self._own.connection = self._connect()
            return work(connection)
        except sqlite3.Error:
            raise Unavailable(_AWAY, retry_after_s=1) from None

    def _write_all(self) -> None:
        while (first := self._writes.get()) is not None:
            batch = [first]
            is_last = False
            while len(batch) < BATCH and not self._writes.empty():
                following = self._writes.get()
                if following is None:
                    is_last = True
                    break
                batch.append(following)
            _tell(batch, self._transaction(batch))
            if is_last:
                return

    def _transaction(self, batch: Sequence[_Write]) -> list[object]:
        connection = self._writer
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._savepoint(connection, write.work) for write in batch]
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            return [Unavailable(_AWAY, retry_after_s=1) for _ in batch]
        return outcomes

    def _savepoint(self, connection: sqlite3.Connection, work: Work[Any]) -> object:
        connection.execute("SAVEPOINT one")
        try:
            outcome = work(connection)
        except Exception as error:  # whatever it is, it belongs to who asked, not to this thread
            if not connection.in_transaction:
                raise sqlite3.OperationalError from error  # SQLite took back all of it: the disk is full
            connection.execute("ROLLBACK TO one")
            outcome = Unavailable(_AWAY, retry_after_s=1) if isinstance(error, sqlite3.Error) else error
        connection.execute("RELEASE one")
        return outcome


def _tell(batch: Sequence[_Write], outcomes: Sequence[object]) -> None:
    """Settle each write in its own event loop; one wake-up for those of one loop."""
    waiting: dict[asyncio.AbstractEventLoop, list[tuple[_Write, object]]] = {}
    for write, outcome in zip(batch, outcomes, strict=True):
        waiting.setdefault(write.done.get_loop(), []).append((write, outcome))
    for loop, settled in waiting.items():
        try:
            loop.call_soon_threadsafe(_settle, settled)
        except RuntimeError:
            continue  # that loop has been closed: nobody waits there


def _settle(settled: Sequence[tuple[_Write, object]]) -> None:
    for write, outcome in settled:
        write.settle(outcome)

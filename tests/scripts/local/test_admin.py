"""Commands to the running system, over its socket."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scripts.local.admin import CommandError, Row, ask, serve


async def count(words: Row) -> AsyncIterator[Row]:
    """As many rows as asked for."""
    for number in range(words["to"]):
        yield {"number": number}


async def refuse(words: Row) -> AsyncIterator[Row]:
    """One row, then no more."""
    yield {"number": 0}
    raise CommandError(f"no dead letter {words['id']!r}")


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Path]:
    path = tmp_path / "admin.sock"
    server = await serve(path, {"count": count, "refuse": refuse})
    yield path
    server.close()


async def test_a_command_answers_in_rows(door: Path) -> None:
    rows = await asyncio.to_thread(lambda: list(ask(door, "count", to=3)))
    assert rows == [{"number": 0}, {"number": 1}, {"number": 2}]


async def test_a_command_that_fails_says_why(door: Path) -> None:
    with pytest.raises(CommandError, match="no dead letter 'x'"):
        await asyncio.to_thread(lambda: list(ask(door, "refuse", id="x")))


async def test_an_unknown_command_is_told_which_there_are(door: Path) -> None:
    with pytest.raises(CommandError, match="count, refuse"):
        await asyncio.to_thread(lambda: list(ask(door, "dance")))


async def test_the_door_is_its_owners_only(door: Path) -> None:
    assert stat.S_IMODE(door.stat().st_mode) == 0o600


async def test_a_listener_that_leaves_early_disturbs_nobody(door: Path) -> None:
    await asyncio.to_thread(lambda: next(ask(door, "count", to=100_000)))
    assert await asyncio.to_thread(lambda: list(ask(door, "count", to=1))) == [{"number": 0}]


def test_nobody_home_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="isn't running"):
        list(ask(tmp_path / "run" / "admin.sock", "status"))

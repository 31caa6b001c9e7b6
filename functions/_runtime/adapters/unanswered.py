"""Writes over a network whose answer is lost: carried out or not, nobody can say without asking again.

A write that names the version it expects can simply be sent again: it is carried out once, and where the
first one was, the second one is a conflict with what stands. Then it only has to be told whether that is the
writer's own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from functions._runtime.errors import Unavailable, VersionConflict


class Unanswered(Unavailable):
    """The connection was lost, or the time was up, after the store had been asked."""


async def answered(
    write: Callable[[], Awaitable[int]], own: Callable[[], Awaitable[bool]], version: int
) -> int:
    """The new version by `write`, which is sent once more where its answer is lost.

    `own` says whether what stands at `version`, the one that the write leads to, is this writer's.

    Raises:
        VersionConflict: another writer was first.
        Unavailable: the second answer is lost too; it may stand or not.
    """
    try:
        return await write()
    except Unanswered:
        pass
    try:
        return await write()
    except VersionConflict:
        if await own():
            return version
        raise

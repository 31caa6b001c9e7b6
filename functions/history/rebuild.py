"""`POST /v1/rebuild`: the read models anew from position 0, beside the ones that are being read.

The feed is projected into a generation of its own, then that one is read, then the feed's rest is projected
once more: an event that was applied to the old generation while the new one took over stands in the feed by
then, for it was appended there before it was published. Reads go on all the time; a rebuild that dies
leaves what there was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from events import CloudEvent
from functions._runtime.clock import rfc3339
from functions._runtime.errors import Conflict, Forbidden, VersionConflict
from functions._runtime.http import Request, Response
from functions._runtime.ports import Clock, Documents, Identity
from functions.history.handler import project
from functions.history.readmodel import Generations, ReadModel

LEASE_S = 120
MAY_REBUILD = frozenset({"admin", "service"})
_CLAIM = "rebuild"


class Feed(Protocol):
    """Every event of chat in the order of its store."""

    async def after(self, position: int) -> tuple[Sequence[CloudEvent], int]:
        """The next events behind `position` and the position of the last of them; none at the end.

        Raises:
            Unavailable, BadGateway: not now.
        """
        ...


@dataclass(frozen=True, slots=True)
class Rebuild:
    """One rebuild at a time; the claim of a process that died runs out `LEASE_S` after its last page."""

    generations: Generations
    feed: Feed
    claims: Documents
    identity: Identity
    clock: Clock

    async def __call__(self, request: Request) -> Response:
        """Rebuild, and tell how much there was."""
        principal = await self.identity.authenticate(request.headers.get("authorization"))
        if not principal.roles & MAY_REBUILD:
            raise Forbidden("Only an admin, or a function, may rebuild the read models.")
        claim = await self._claimed()
        try:
            before = await self.generations.current()
            made = self.generations.numbered(before.generation + 1)
            await made.drop()  # what a rebuild that died may have left
            last, events = await self._project(made, 0, claim)
            await self.generations.switch(made.generation)
            _, more = await self._project(made, last, claim)
            await before.drop()
        finally:
            await self._put(claim, "")
        return Response.json({"generation": made.generation, "events": events + more})

    async def _project(self, model: ReadModel, position: int, claim: Claim) -> tuple[int, int]:
        """Apply the feed behind `position` up to its end; return that, and how many events there were."""
        count = 0
        while True:
            events, last = await self.feed.after(position)
            await self._put(claim, self._until())
            if not events:
                return position, count
            # Conversations don't wait for each other: their writes share a store's transactions.
            await asyncio.gather(*(_in_order(model, of_one) for of_one in _by_conversation(events)))
            position, count = last, count + len(events)

    async def _claimed(self) -> Claim:
        found = await self.claims.get(_CLAIM)
        if found is not None and rfc3339(self.clock.now()) < found.body["until"]:
            raise Conflict("A rebuild is going on; try again when it has ended.", retry_after_s=10)
        claim = Claim(0 if found is None else found.version)
        await self._put(claim, self._until())
        return claim

    async def _put(self, claim: Claim, until: str) -> None:
        try:
            claim.version = await self.claims.put(_CLAIM, {"until": until}, claim.version)
        except VersionConflict:
            raise Conflict("Another rebuild has begun.", retry_after_s=10) from None

    def _until(self) -> str:
        return rfc3339(self.clock.now() + timedelta(seconds=LEASE_S))


@dataclass(slots=True)
class Claim:
    """The right to rebuild; `version` is that of its document as this rebuild last wrote it."""

    version: int


async def _in_order(model: ReadModel, events: Sequence[CloudEvent]) -> None:
    for event in events:
        await project(model, event)


def _by_conversation(events: Sequence[CloudEvent]) -> Iterable[Sequence[CloudEvent]]:
    found: dict[tuple[object, str | None], list[CloudEvent]] = {}
    for event in events:
        found.setdefault((event.extensions.get("tenant"), event.subject), []).append(event)
    return found.values()

"""`POST /v1/rebuild`: the read models anew from position 0, beside the ones that are being read.

The feed is projected into a generation of its own, then that one is read, then the feed's rest is projected
once more: an event that was applied to the old generation while the new one took over stands in the feed by
then, for it was appended there before it was published. Reads go on all the time; a rebuild that dies
leaves what there was.
"""

from __future__ import annotations

from collections.abc import Sequence
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

LEASE_S = 600
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
    """One rebuild at a time; a claim of a process that died runs out after `LEASE_S`."""

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
        version = await self._claim()
        try:
            before = await self.generations.current()
            made = self.generations.numbered(before.generation + 1)
            await made.drop()  # what a rebuild that died may have left
            last, events = await self._project(made, 0)
            await self.generations.switch(made.generation)
            _, more = await self._project(made, last)
            await before.drop()
        finally:
            await self.claims.put(_CLAIM, {"until": ""}, version)
        return Response.json({"generation": made.generation, "events": events + more})

    async def _project(self, model: ReadModel, position: int) -> tuple[int, int]:
        """Apply the feed behind `position` up to its end; return that, and how many events there were."""
        count = 0
        while True:
            events, last = await self.feed.after(position)
            if not events:
                return position, count
            for event in events:
                await project(model, event)
            position, count = last, count + len(events)

    async def _claim(self) -> int:
        now = self.clock.now()
        claim = await self.claims.get(_CLAIM)
        if claim is not None and rfc3339(now) < claim.body["until"]:
            raise Conflict("A rebuild is going on; try again when it has ended.", retry_after_s=10)
        until = rfc3339(now + timedelta(seconds=LEASE_S))
        try:
            return await self.claims.put(_CLAIM, {"until": until}, 0 if claim is None else claim.version)
        except VersionConflict:
            raise Conflict("Another rebuild began at the same moment.", retry_after_s=10) from None

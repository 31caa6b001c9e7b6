"""The read models in the document store, a generation of them at a time.

Keys sort as they are listed: a generation, a tenant, then conversations by their ids, which grow with time,
and items by the version of their fact and their place in it. A rebuild writes another generation beside the
current one, and the document `current` says which of them is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

from functions._runtime.errors import VersionConflict
from functions._runtime.ports import Document, Documents
from functions.history.items import Shown
from functions.history.model import Head

HEAD_INDEXES = ("generation", "listing")
ITEM_INDEXES = ("generation", "conversation", "named")
FIRST_GENERATION = 1
_CURRENT = "current"
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of something and whether there is more behind it."""

    entries: Sequence[Shown]
    more: bool


@dataclass(frozen=True, slots=True)
class ReadModel:
    """One generation.

    Attributes:
        heads: a collection with `HEAD_INDEXES`.
        items: a collection with `ITEM_INDEXES`.
    """

    heads: Documents
    items: Documents
    generation: int

    async def head(self, tenant: str, conversation_id: str) -> tuple[Head, int]:
        """The head and its document's version; an empty one and 0 if there is none."""
        found = await self.heads.get(self._key(tenant, conversation_id))
        return (Head(tenant, conversation_id), 0) if found is None else (Head.of(found.body), found.version)

    async def put_head(self, head: Head, if_version: int) -> None:
        """Write the head.

        Raises:
            VersionConflict: another writer was first.
        """
        listing = "" if head.deleted or not head.owner else self._listing(head.tenant, head.owner)
        body = {**head.body(), "generation": str(self.generation), "listing": listing}
        await self.heads.put(self._key(head.tenant, head.conversation_id), body, if_version)

    async def put_items(self, head: Head, items: Sequence[Shown]) -> None:
        """Write the items of the fact at the head's position. Twice is harmless."""
        conversation = self._key(head.tenant, head.conversation_id)
        for place, item in enumerate(items):
            body = {
                "generation": str(self.generation),
                "conversation": conversation,
                "named": f"{conversation}/{item['id']}",
                "item": item,
            }
            with suppress(VersionConflict):  # it is there, and may have been marked since
                await self.items.put(f"{conversation}/{head.position:010d}/{place:04d}", body, 0)

    async def mark_incomplete(self, head: Head, version: int) -> None:
        """Show the items of the fact at `version` as incomplete. Twice is harmless."""
        prefix = f"{self._key(head.tenant, head.conversation_id)}/{version:010d}"
        for place in count():
            found = await self.items.get(f"{prefix}/{place:04d}")
            if found is None:
                return
            item = {**found.body["item"], "status": "incomplete"}
            await self.items.put(found.key, {**found.body, "item": item}, None)

    async def delete_items(self, head: Head) -> None:
        """Remove all items of a conversation. Twice is harmless."""
        await _delete_all(self.items, "conversation", self._key(head.tenant, head.conversation_id))

    async def conversations(
        self, tenant: str, owner: str, *, after: str | None, limit: int, descending: bool
    ) -> tuple[Sequence[Head], bool]:
        """A page of an owner's conversations by id, and whether there is more."""
        last = None if after is None else self._key(tenant, after)
        found = await self.heads.find(
            "listing", self._listing(tenant, owner), limit=limit + 1, after=last, descending=descending
        )
        return [Head.of(each.body) for each in found[:limit]], len(found) > limit

    async def page(self, head: Head, *, after: str | None, limit: int, descending: bool) -> Listed | None:
        """A page of a conversation's items behind the item `after`; None if there is no such item."""
        last = None
        if after is not None:
            found = await self._item(head, after)
            if found is None:
                return None
            last = found.key
        conversation = self._key(head.tenant, head.conversation_id)
        page = await self.items.find(
            "conversation", conversation, limit=limit + 1, after=last, descending=descending
        )
        return Listed([each.body["item"] for each in page[:limit]], len(page) > limit)

    async def item(self, head: Head, item_id: str) -> Shown | None:
        """One item, or None."""
        found = await self._item(head, item_id)
        return None if found is None else found.body["item"]

    async def drop(self) -> None:
        """Remove this generation."""
        await _delete_all(self.items, "generation", str(self.generation))
        await _delete_all(self.heads, "generation", str(self.generation))

    async def _item(self, head: Head, item_id: str) -> Document | None:
        name = f"{self._key(head.tenant, head.conversation_id)}/{item_id}"
        found = await self.items.find("named", name, limit=1)
        return found[0] if found else None

    def _key(self, tenant: str, conversation_id: str) -> str:
        return f"{self.generation}/{tenant}/{conversation_id}"

    def _listing(self, tenant: str, owner: str) -> str:
        return f"{self.generation}/{tenant}/{owner}"


@dataclass(frozen=True, slots=True)
class Generations:
    """Which generation is read, and the way to another."""

    heads: Documents
    items: Documents
    pointer: Documents

    async def current(self) -> ReadModel:
        """The generation that is read."""
        return self.numbered((await self._current())[0])

    def numbered(self, generation: int) -> ReadModel:
        """Some generation."""
        return ReadModel(self.heads, self.items, generation)

    async def switch(self, generation: int) -> None:
        """Read `generation` from now on.

        Raises:
            VersionConflict: somebody else switched at the same moment.
        """
        _, version = await self._current()
        await self.pointer.put(_CURRENT, {"generation": generation}, version)

    async def _current(self) -> tuple[int, int]:
        found = await self.pointer.get(_CURRENT)
        return (FIRST_GENERATION, 0) if found is None else (int(found.body["generation"]), found.version)


async def _delete_all(documents: Documents, index: str, value: str) -> None:
    while found := await documents.find(index, value, limit=_PAGE):
        for each in found:
            await documents.delete(each.key)

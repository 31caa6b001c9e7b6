"""`GET /v1/conversations…`: OpenAI's objects out of the read models, as far on as the caller asks.

Who may read: the owner. Absent, deleted and another's conversation answer the same 404.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from functions._runtime.errors import BadRequest, NotFound, Unavailable
from functions._runtime.http import Request, Response
from functions._runtime.ports import Identity, Principal
from functions.history.model import Head
from functions.history.readmodel import Generations, ReadModel

POSITION = "hadal-position"
DEFAULT_LIMIT = 20
MOST_LIMIT = 100
WHOLE_NUMBER = re.compile(r"[0-9]{1,15}")
_LOOK_AGAIN_S = 0.05


@dataclass(frozen=True, slots=True)
class Reads:
    """The four reads.

    Attributes:
        moved: notified when this process has applied an event; another replica's work is seen by looking.
        wait_s: how long a read waits for the position that it names.
    """

    generations: Generations
    identity: Identity
    moved: asyncio.Condition
    wait_s: float = 5.0

    async def conversations(self, request: Request) -> Response:
        """The caller's conversations, the newest first."""
        principal = await self._caller(request)
        page = _page(request)
        model = await self.generations.current()
        heads, more = await model.conversations(principal.tenant, principal.subject, **page)
        return _list([conversation(head) for head in heads], more)

    async def conversation(self, request: Request) -> Response:
        """One conversation."""
        _, head = await self._visible(request)
        return Response.json(conversation(head), headers=_position(head))

    async def items(self, request: Request) -> Response:
        """A page of its items, the newest first if not told otherwise."""
        page = _page(request)
        model, head = await self._visible(request)
        listed = await model.page(head, **page)
        if listed is None:
            raise BadRequest(
                f"after: there is no item {page['after']} in this conversation;"
                " name the last item of the page before.",
                param="after",
            )
        return _list(list(listed.entries), listed.more, _position(head))

    async def item(self, request: Request) -> Response:
        """One item."""
        model, head = await self._visible(request)
        item_id = request.path_params["item_id"]
        found = await model.item(head, item_id)
        if found is None:
            raise NotFound(f"There is no item {item_id} in this conversation.", code="item_not_found")
        return Response.json(found, headers=_position(head))

    async def _caller(self, request: Request) -> Principal:
        return await self.identity.authenticate(request.headers.get("authorization"))

    async def _visible(self, request: Request) -> tuple[ReadModel, Head]:
        principal = await self._caller(request)
        conversation_id = request.path_params["id"]
        model, head = await self._at(principal, conversation_id, _wanted(request))
        if head.deleted or not head.owner:
            raise NotFound(f"There is no conversation {conversation_id}.", code="conversation_not_found")
        return model, head

    async def _at(self, principal: Principal, conversation_id: str, position: int) -> tuple[ReadModel, Head]:
        """The conversation when it is at `position` or further; another's is as good as absent here too."""
        end_s = asyncio.get_running_loop().time() + self.wait_s
        while True:
            model = await self.generations.current()
            head, _ = await model.head(principal.tenant, conversation_id)
            if head.owner != principal.subject:
                head = Head(principal.tenant, conversation_id)
            if head.position >= position:
                return model, head
            if asyncio.get_running_loop().time() >= end_s:
                raise Unavailable(
                    f"The read model is at position {head.position} and hasn't reached {position} yet.",
                    code="position_not_reached",
                    retry_after_s=1,
                )
            await self._moved_or_a_moment()

    async def _moved_or_a_moment(self) -> None:
        async with self.moved:
            try:
                async with asyncio.timeout(_LOOK_AGAIN_S):
                    await self.moved.wait()
            except TimeoutError:
                return


def conversation(head: Head) -> dict[str, Any]:
    """OpenAI's conversation object."""
    return {
        "id": head.conversation_id,
        "object": "conversation",
        "created_at": int(datetime.fromisoformat(head.created_at).timestamp()),
        "metadata": head.metadata,
    }


def _list(entries: list[dict[str, Any]], more: bool, headers: Mapping[str, str] | None = None) -> Response:
    first, last = (entries[0]["id"], entries[-1]["id"]) if entries else (None, None)
    body = {"object": "list", "data": entries, "first_id": first, "last_id": last, "has_more": more}
    return Response.json(body, headers=headers)


def _position(head: Head) -> dict[str, str]:
    return {POSITION: str(head.position)}


def _wanted(request: Request) -> int:
    text = request.headers.get(POSITION, "0")
    if not WHOLE_NUMBER.fullmatch(text):
        raise BadRequest("The header Hadal-Position has to be a whole number.", param="Hadal-Position")
    return int(text)


def _page(request: Request) -> dict[str, Any]:
    limit, order = request.query.get("limit", str(DEFAULT_LIMIT)), request.query.get("order", "desc")
    if not WHOLE_NUMBER.fullmatch(limit) or not 1 <= int(limit) <= MOST_LIMIT:
        raise BadRequest(f"limit has to be a whole number from 1 to {MOST_LIMIT}.", param="limit")
    if order not in ("asc", "desc"):
        raise BadRequest("order has to be asc or desc.", param="order")
    return {"after": request.query.get("after"), "limit": int(limit), "descending": order == "desc"}

"""What other functions may read of conversations: what a summary is made of, and every fact there is."""

from __future__ import annotations

from dataclasses import dataclass

from events import jsonformat
from functions._runtime.errors import BadRequest, Forbidden
from functions._runtime.http import Request, Response
from functions._runtime.ports import EventStore, Identity, Principal
from functions.chat import commands
from functions.chat.answering import POSITION
from functions.chat.context import message
from functions.chat.conversations import Conversations
from functions.chat.requests import conversation_id

PAGE_LIMIT, PAGE_DEFAULT = 1_000, 500


@dataclass(frozen=True, slots=True)
class Feed:
    """Reads for callers with the role `service`."""

    identity: Identity
    conversations: Conversations
    store: EventStore

    async def context(self, request: Request) -> Response:
        """`GET /v1/conversations/{id}/context` (service): what a summary is made of."""
        caller = await self._service(request)
        name = conversation_id(request.path_params["id"])
        if request.query.get("tenant") != caller.tenant:
            raise BadRequest("tenant should be the tenant of the token.", param="tenant")
        state = await self.conversations.load(caller.tenant, name)
        commands.require_visible(state)
        turns = [
            {
                "turn_id": turn.turn_id,
                "version": turn.version,
                "messages": [message(item) for item in turn.items],
            }
            for turn in state.to_summarize
        ]
        document = {
            "conversation_id": name,
            "version": state.version,
            "summary": state.summary,
            "summarized_through": state.summarized_through,
            "turns": turns,
        }
        return Response.json(document, headers={POSITION: str(state.version)})

    async def events(self, request: Request) -> Response:
        """`GET /v1/events` (service): every fact of every conversation, in the order of the store."""
        await self._service(request)
        after = _number(request, "after", 0, 0, 2**63 - 1)
        limit = _number(request, "limit", PAGE_DEFAULT, 1, PAGE_LIMIT)
        page = await self.store.read_all(after, limit)
        listed = b",".join(jsonformat.to_json(recorded.event) for recorded in page)
        last = page[-1].position if page else after
        return Response(200, b'{"events":[%b],"last":%d}' % (listed, last), media_type="application/json")

    async def _service(self, request: Request) -> Principal:
        caller = await self.identity.authenticate(request.headers.get("authorization"))
        if "service" not in caller.roles:
            raise Forbidden("This is for functions; the token needs the role service.")
        return caller


def _number(request: Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        raise BadRequest(f"{name} should be a whole number from {least} to {most}.", param=name)
    return int(text)

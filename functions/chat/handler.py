"""The command side of conversations.

Consumes commands over HTTP (start, update, delete, a turn), `conversation_summarized`, because a summary
becomes part of what the model is told, and the timer's ticks, because a turn must end also when its process
has died.
Emits the facts of each conversation, in order; see `events.chat`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from events import CloudEvent, catalogue
from events.chat import SUMMARIZE, ConversationSummarized
from functions._runtime.errors import Unprocessable
from functions._runtime.ground import EventHandler
from functions._runtime.http import Request, Response, Route
from functions._runtime.ports import Identity, Ids, Principal
from functions.chat import commands
from functions.chat.answering import POSITION
from functions.chat.conversations import Conversations
from functions.chat.expiry import ExpireTurns
from functions.chat.feed import Feed
from functions.chat.model import Conversation
from functions.chat.requests import conversation_id, read_items, read_metadata, read_object
from functions.chat.turn import TakeTurn

TICK = "dev.knative.sources.ping"


@dataclass(frozen=True, slots=True)
class Chat:
    """All that `chat` answers to."""

    identity: Identity
    conversations: Conversations
    turn: TakeTurn
    feed: Feed
    expire_turns: ExpireTurns
    ids: Ids

    def routes(self) -> Sequence[Route]:
        """What it answers over HTTP."""
        one = "/v1/conversations/{id}"
        return (
            Route("POST", "/v1/chat/completions", self.turn, ends_with_client=True),
            Route("POST", "/v1/conversations", self.start),
            Route("POST", one, self.update),
            Route("DELETE", one, self.delete),
            Route("HEAD", one, self.position),
            Route("GET", f"{one}/context", self.feed.context),
            Route("GET", "/v1/events", self.feed.events),
        )

    def reactions(self) -> Mapping[str, EventHandler]:
        """What it does about events."""
        return {ConversationSummarized.TYPE: self.adopt_summary, TICK: self.expire_turns.on_tick}

    # --- commands

    async def start(self, request: Request) -> Response:
        """`POST /v1/conversations`: a new conversation, perhaps with first messages."""
        caller = await self._caller(request)
        body = read_object(request) if request.body else {}
        metadata, items = read_metadata(body), read_items(body, self.ids)
        state = await self.conversations.change(
            caller.tenant,
            self.ids.new("conv"),
            lambda state: commands.start(state, caller.subject, metadata, items),
        )
        return _conversation(state)

    async def update(self, request: Request) -> Response:
        """`POST /v1/conversations/{id}`: other metadata."""
        caller = await self._caller(request)
        name = conversation_id(request.path_params["id"])
        metadata = read_metadata(request.json_object())
        state = await self.conversations.change(
            caller.tenant, name, lambda state: commands.update(state, caller.subject, metadata)
        )
        return _conversation(state)

    async def delete(self, request: Request) -> Response:
        """`DELETE /v1/conversations/{id}`."""
        caller = await self._caller(request)
        name = conversation_id(request.path_params["id"])
        state = await self.conversations.change(
            caller.tenant, name, lambda state: commands.delete(state, caller.subject)
        )
        deleted = {"id": name, "object": "conversation.deleted", "deleted": True}
        return Response.json(deleted, headers=_position(state))

    async def position(self, request: Request) -> Response:
        """`HEAD /v1/conversations/{id}`: how far its stream is."""
        caller = await self._caller(request)
        state = await self.conversations.load(caller.tenant, conversation_id(request.path_params["id"]))
        commands.require_visible(state, caller.subject)
        return Response(headers=_position(state))

    # --- events

    async def adopt_summary(self, event: CloudEvent) -> None:
        """Take over a summary that `summarize` has made. Twice is harmless, as is one that comes too late."""
        if event.source != SUMMARIZE:
            raise Unprocessable(f"The source should be {SUMMARIZE}.", code="wrong_source")
        fact = catalogue.from_event(event)
        tenant = event.extensions.get("tenant")
        if not isinstance(fact, ConversationSummarized) or not isinstance(tenant, str):
            raise Unprocessable("The extension tenant is missing.", code="no_tenant")
        await self.conversations.change(
            tenant,
            fact.conversation_id,
            lambda state: commands.adopt_summary(state, fact.summary, fact.through_version),
        )

    async def _caller(self, request: Request) -> Principal:
        return await self.identity.authenticate(request.headers.get("authorization"))


def _conversation(state: Conversation) -> Response:
    """OpenAI's Conversation object."""
    document: dict[str, Any] = {
        "id": state.conversation_id,
        "object": "conversation",
        "created_at": int(datetime.fromisoformat(state.created_at).timestamp()),
        "metadata": state.metadata,
    }
    return Response.json(document, headers=_position(state))


def _position(state: Conversation) -> dict[str, str]:
    return {POSITION: str(state.version)}

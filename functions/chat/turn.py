"""A turn, from the user's message to the durable answer: a saga over the event store and the model service.

1. the new messages are recorded (`turn_started`, durable);
2. the model is asked, with as much of the conversation as its window takes;
3. the answer goes to the client as it comes, all but its end;
4. the answer is recorded (`turn_completed`, durable);
5. the client gets the end.

So what a client has seen acknowledged is never lost, and whatever happens in between has its compensation:
the client leaves, `turn_cancelled` with the part that was produced; the model fails or the deadline passes,
`turn_failed`; the process dies, `turn_expired` by whoever finds it (`expiry`). This module is step 1;
`answering` has the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from events.chat import TurnCompleted
from events.fact import Fact
from functions._runtime.clock import rfc3339
from functions._runtime.errors import Conflict
from functions._runtime.http import Request, Response
from functions._runtime.ports import Clock, Identity, Ids, Principal
from functions.chat import commands, completions, idempotency
from functions.chat.answering import POSITION, Answering, RunningTurn
from functions.chat.conversations import Conversations, fact_of
from functions.chat.model import Conversation, EndedTurn
from functions.chat.requests import AskedTurn, read_turn


@dataclass(frozen=True, slots=True)
class TakeTurn:
    """`POST /v1/chat/completions` with a conversation.

    Attributes:
        deadline_s: how long a turn may take as a whole.
    """

    identity: Identity
    conversations: Conversations
    answering: Answering
    clock: Clock
    ids: Ids
    deadline_s: float

    async def __call__(self, request: Request) -> Response:
        """Answer the turn, as a stream or whole; a repeated Idempotency-Key gets the stored answer."""
        caller = await self.identity.authenticate(request.headers.get("authorization"))
        asked = read_turn(request, self.ids)
        state = await self._current(caller, asked)
        turn_id, ended = await self._named(caller, asked, state)
        if ended:
            return await self._stored(caller, asked, ended)
        turn = await self._started(caller.tenant, asked, turn_id)
        return await (self.answering.streamed(turn) if asked.stream else self.answering.whole(turn))

    async def _current(self, caller: Principal, asked: AskedTurn) -> Conversation:
        """The caller's conversation, a turn that was left open past its deadline expired."""

        def expired(state: Conversation) -> Sequence[Fact]:
            commands.require_visible(state, caller.subject)
            return commands.expire_turn(state, self.clock.now())

        return await self.conversations.change(caller.tenant, asked.conversation_id, expired)

    async def _named(
        self, caller: Principal, asked: AskedTurn, state: Conversation
    ) -> tuple[str, EndedTurn | None]:
        """The turn's id, and how that turn ended if it was taken before."""
        if asked.key is None:
            return self.ids.new("turn"), None
        name = idempotency.TurnName(caller.tenant, caller.subject, asked.conversation_id, asked.key)
        turn_id, ended = name.latest(idempotency.remembered(state))
        if ended is None and state.keys_forgotten:
            everything = await self.conversations.read(caller.tenant, asked.conversation_id)
            turn_id, ended = name.latest(idempotency.recorded(everything))
        return turn_id, ended

    async def _stored(self, caller: Principal, asked: AskedTurn, ended: EndedTurn) -> Response:
        if ended.outcome != "completed":
            raise Conflict(
                "The turn of this Idempotency-Key was cancelled when its client left; what was produced is "
                "among the conversation's items. Send a new key to ask again.",
                code="turn_cancelled",
            )
        following = await self.conversations.read(caller.tenant, asked.conversation_id, ended.version - 1)
        fact, time = cast("TurnCompleted", fact_of(following[0])), following[0].event.time or ""
        headers = {POSITION: str(ended.version)}
        if not asked.stream:
            return Response.json(completions.completion(fact, time), headers=headers)
        frames = completions.stream(fact, time, include_usage=asked.include_usage)
        return Response.event_stream(_each(frames), headers)

    async def _started(self, tenant: str, asked: AskedTurn, turn_id: str) -> RunningTurn:
        deadline = rfc3339(self.clock.now() + timedelta(seconds=self.deadline_s))
        state = await self.conversations.change(
            tenant,
            asked.conversation_id,
            lambda state: commands.start_turn(state, turn_id, asked.model, asked.items, deadline),
        )
        return RunningTurn(tenant, turn_id, asked, state, asyncio.get_running_loop().time() + self.deadline_s)


async def _each(frames: Iterator[bytes]) -> AsyncIterator[bytes]:
    for frame in frames:
        yield frame

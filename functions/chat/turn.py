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
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from events.chat import TurnCompleted
from events.fact import Fact
from functions._runtime.clock import rfc3339
from functions._runtime.errors import Conflict, Problem
from functions._runtime.http import Request, Response
from functions._runtime.ports import Clock, Identity, Ids, Principal
from functions.chat import commands, completions
from functions.chat.answering import POSITION, Answering, RunningTurn
from functions.chat.background import Background
from functions.chat.conversations import Conversations, fact_of
from functions.chat.idempotency import TurnName, recorded, remembered
from functions.chat.model import Conversation, EndedTurn, evolve
from functions.chat.requests import AskedTurn, read_turn

Naming = Callable[[Conversation], tuple[str, EndedTurn | None]]


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
    background: Background
    deadline_s: float

    async def __call__(self, request: Request) -> Response:
        """Answer the turn, as a stream or whole; a repeated Idempotency-Key gets the stored answer."""
        caller = await self.identity.authenticate(request.headers.get("authorization"))
        asked = read_turn(request, self.ids)
        named = await self._naming(caller, asked)
        beginning = self.background.start(self._begun(caller, asked, named))
        try:
            turn = await asyncio.shield(beginning)
        except asyncio.CancelledError:  # the client left while the turn's start was being written
            self.background.start(self._abandoned(beginning))
            raise
        if isinstance(turn, EndedTurn):
            return await self._stored(caller, asked, turn)
        return await (self.answering.streamed(turn) if asked.stream else self.answering.whole(turn))

    async def _naming(self, caller: Principal, asked: AskedTurn) -> Naming:
        """How the turn is called on a state of the conversation, and how it ended if it was taken before."""
        if asked.key is None:
            turn_id = self.ids.new("turn")
            return lambda _: (turn_id, None)
        name = TurnName(caller.tenant, caller.subject, asked.conversation_id, asked.key)
        state = await self.conversations.load(caller.tenant, asked.conversation_id)
        older: Mapping[str, EndedTurn] = {}
        if state.keys_forgotten and name.latest(remembered(state))[1] is None:
            older = recorded(await self.conversations.read(caller.tenant, asked.conversation_id))
        return lambda state: name.latest({**older, **remembered(state)})

    async def _begun(self, caller: Principal, asked: AskedTurn, named: Naming) -> RunningTurn | EndedTurn:
        """The turn, open, or how it ended before; one left open past its deadline is expired first."""
        now = self.clock.now()
        deadline = rfc3339(now + timedelta(seconds=self.deadline_s))

        def command(state: Conversation) -> Sequence[Fact]:
            commands.require_visible(state, caller.subject)
            expired = commands.expire_turn(state, now)
            for fact in expired:
                state = evolve(state, fact, rfc3339(now))
            turn_id, ended = named(state)
            if ended:
                return expired
            return [*expired, *commands.start_turn(state, turn_id, asked.model, asked.items, deadline)]

        state = await self.conversations.change(caller.tenant, asked.conversation_id, command)
        turn_id, ended = named(state)
        ends_at = asyncio.get_running_loop().time() + self.deadline_s
        return ended or RunningTurn(caller.tenant, turn_id, asked, state, ends_at)

    async def _abandoned(self, beginning: asyncio.Task[RunningTurn | EndedTurn]) -> None:
        with suppress(Problem):  # then it never began
            turn = await beginning
            if isinstance(turn, RunningTurn):
                await self.answering.abandoned(turn)

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


async def _each(frames: Iterator[bytes]) -> AsyncIterator[bytes]:
    for frame in frames:
        yield frame

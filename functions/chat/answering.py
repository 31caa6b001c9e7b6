"""A turn's answer: ask the model, relay what comes, record how it ended before the client is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from events.chat import Usage
from functions._runtime.errors import BadGateway, Problem, Unavailable
from functions._runtime.http import Response
from functions._runtime.model_client import Chunk
from functions._runtime.ports import Ids
from functions.chat import commands
from functions.chat.answer import Answer
from functions.chat.background import Background
from functions.chat.completions import DONE, error_frame
from functions.chat.context import fitting_turns, prompt, room_tokens
from functions.chat.conversations import Command, Conversations
from functions.chat.model import Conversation
from functions.chat.requests import AskedTurn
from functions.chat.tokens import count_tokens
from functions.chat.window import KnownWindow

T = TypeVar("T")
Body = dict[str, Any]

POSITION = "hadal-position"

REFUSALS = (400, 413, 422)
"""How model servers answer a prompt that is too long (and other mistakes, which no shorter prompt cures)."""


class Model(Protocol):
    """The model service. What it refuses comes as the Problem of its status."""

    def stream_chat(self, body: Mapping[str, Any]) -> AsyncGenerator[Chunk, None]:
        """The chunks of an answer, up to its proper end; closing the iterator closes the connection."""
        ...

    async def chat(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The whole `chat.completion`."""
        ...


@dataclass(frozen=True, slots=True)
class RunningTurn:
    """A turn that this process answers.

    Attributes:
        state: the conversation just after the turn's start.
        ends_at: its deadline, by the event loop's clock.
    """

    tenant: str
    turn_id: str
    asked: AskedTurn
    state: Conversation
    ends_at: float


@dataclass(frozen=True, slots=True)
class Answering:
    """Steps 2 to 5 of a turn.

    Attributes:
        retry_delays_s: the pauses between tries to record a turn's end while the store is away.
    """

    conversations: Conversations
    model: Model
    window: KnownWindow
    ids: Ids
    background: Background
    retry_delays_s: Sequence[float] = (0.1, 0.2, 0.4, 0.8, 1.6)

    async def whole(self, turn: RunningTurn) -> Response:
        """The answer in one piece."""
        answer = Answer()
        try:
            async with _deadline(turn):
                completion = await self._within_window(turn, self.model.chat)
            answer.add_completion(completion)
            state = await self._completed(turn, answer)
        except BaseException as error:
            await self._gave_up(turn, answer, error)
            raise
        return Response.json(completion, headers={POSITION: str(state.version)})

    async def streamed(self, turn: RunningTurn) -> Response:
        """The answer as it comes; what goes wrong before its first chunk is raised, not streamed."""
        frames = self._frames(turn)
        first = await anext(frames)
        return Response.event_stream(Begun(first, frames), {POSITION: str(turn.state.version)})

    async def abandoned(self, turn: RunningTurn) -> None:
        """Record that the client left before the model was asked."""
        await self._gave_up(turn, Answer(), asyncio.CancelledError())

    async def _frames(self, turn: RunningTurn) -> AsyncGenerator[bytes, None]:
        answer, held, sent = Answer(), list[bytes](), False
        try:
            async with aclosing(self._chunks(turn)) as chunks:  # closed before its end is recorded
                async for chunk in chunks:
                    answer.add_chunk(chunk.data)
                    if not chunk.data.get("choices") and not turn.asked.include_usage:
                        continue  # the usage that only we asked for
                    if answer.finish_reason is not None:
                        held.append(chunk.raw)  # the end waits until the answer is durable
                        continue
                    sent = True
                    yield chunk.raw
            await self._completed(turn, answer)
        except BaseException as error:
            await self._gave_up(turn, answer, error)
            if not (sent and isinstance(error, Problem)):
                raise
            yield error_frame(error)
            return
        for frame in (*held, DONE):
            yield frame

    # --- asking the model

    async def _chunks(self, turn: RunningTurn) -> AsyncGenerator[Chunk, None]:
        async with _deadline(turn):
            first, chunks = await self._within_window(turn, self._opened)
        async with aclosing(chunks):
            chunk: Chunk | None = first
            while chunk is not None:
                yield chunk
                async with _deadline(turn):
                    chunk = await anext(chunks, None)

    async def _opened(self, body: Body) -> tuple[Chunk, AsyncGenerator[Chunk, None]]:
        options = {**(body.get("stream_options") or {}), "include_usage": True}
        chunks = self.model.stream_chat({**body, "stream": True, "stream_options": options})
        first = await anext(chunks, None)
        if first is None:
            raise BadGateway("The model service ended its answer before it began.")
        return first, chunks

    async def _within_window(self, turn: RunningTurn, ask: Callable[[Body], Awaitable[T]]) -> T:
        """What `ask` gives, with as many of the latest turns as the model takes.

        The estimate of a prompt's length may be too low for a tokenizer, so a refused prompt is tried again
        with the later half of its turns, and at last with the new messages alone.
        """
        asked = turn.asked
        room = room_tokens(await self.window.tokens(), asked.parameters)
        turns = fitting_turns(turn.state, asked.items, room)
        while True:
            try:
                return await ask({**asked.parameters, "messages": prompt(turn.state, turns, asked.items)})
            except Problem as refusal:
                if not turns or refusal.status not in REFUSALS:
                    raise
                turns = turns[(len(turns) + 1) // 2 :]

    # --- recording how it ended

    async def _completed(self, turn: RunningTurn, answer: Answer) -> Conversation:
        return await self._recorded(turn, self._completion(turn, answer))

    def _completion(self, turn: RunningTurn, answer: Answer) -> Command:
        item, reason = answer.item(self.ids.new("msg")), answer.finish_reason
        if item is None or reason is None:
            raise BadGateway("The model service broke its answer off.", code="upstream_broke_off")
        usage = answer.usage or _estimated(turn, answer)
        turn_id, model = turn.turn_id, turn.asked.model
        return lambda state: commands.complete_turn(state, turn_id, model, item, reason, usage)

    def _cancellation(self, turn: RunningTurn, answer: Answer) -> Command:
        part = answer.item(self.ids.new("msg"))
        turn_id, model = turn.turn_id, turn.asked.model
        return lambda state: commands.cancel_turn(state, turn_id, model, part, answer.usage)

    def _failure(self, turn: RunningTurn, error: BaseException) -> Command:
        reason = error.code if isinstance(error, Problem) else "internal_error"
        return lambda state: commands.fail_turn(state, turn.turn_id, reason)

    async def _gave_up(self, turn: RunningTurn, answer: Answer, error: BaseException) -> None:
        """Record what became of a turn that `error` ended; the caller goes on to raise it."""
        if not isinstance(error, asyncio.CancelledError | GeneratorExit):
            command = self._failure(turn, error)
        elif answer.finish_reason is not None:
            command = self._completion(turn, answer)  # it was all there when the client left
        else:
            command = self._cancellation(turn, answer)
        with suppress(Problem):
            # Nothing more can be done when the store stays away (the turn will be expired), and nothing
            # needs to be done when the turn has been expired already or its conversation deleted.
            await self._recorded(turn, command)

    async def _recorded(self, turn: RunningTurn, command: Command) -> Conversation:
        """Append what `command` decides: the client may leave meanwhile, the store be away for a moment."""
        return await self.background.finish(self._persistently(turn, command))

    async def _persistently(self, turn: RunningTurn, command: Command) -> Conversation:
        for delay_s in self.retry_delays_s:
            try:
                return await self._changed(turn, command)
            except Unavailable:
                await asyncio.sleep(delay_s)
        return await self._changed(turn, command)

    async def _changed(self, turn: RunningTurn, command: Command) -> Conversation:
        return await self.conversations.change(turn.tenant, turn.asked.conversation_id, command)


class Begun:
    """A stream whose first chunk is there. Closing it closes what it comes from, even if nobody has read yet.

    (An async generator that was never started runs none of its code when it is closed.)
    """

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None]) -> None:
        self._first: bytes | None = first
        self._rest = rest

    def __aiter__(self) -> Begun:
        return self

    async def __anext__(self) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return await anext(self._rest)

    async def aclose(self) -> None:
        """Close the stream."""
        await self._rest.aclose()


@asynccontextmanager
async def _deadline(turn: RunningTurn) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout_at(turn.ends_at):
            yield
    except TimeoutError:
        raise Unavailable("The answer took longer than a turn may take.", code="deadline_exceeded") from None


def _estimated(turn: RunningTurn, answer: Answer) -> Usage:
    """For a server that doesn't count: the new messages, and a token for each piece that came."""
    return Usage(sum(map(count_tokens, turn.asked.items)), answer.pieces)

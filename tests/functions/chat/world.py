"""`chat` over memory: a clock that a test sets, a model that does as it is told, a store that may be away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from events import CloudEvent, catalogue
from events.chat import SUMMARIZE, ConversationSummarized
from events.fact import Fact
from functions._runtime.adapters.memory import MemoryStore
from functions._runtime.clock import SystemIds
from functions._runtime.errors import Problem, Unauthorized, Unavailable
from functions._runtime.http import Request, Response
from functions._runtime.model_client import Chunk
from functions._runtime.ports import EventStore, Principal, Recorded
from functions._runtime.routing import Router
from functions.chat.answering import Answering
from functions.chat.background import Background
from functions.chat.conversations import Conversations, fact_of
from functions.chat.expiry import ExpireTurns
from functions.chat.feed import Feed
from functions.chat.handler import Chat
from functions.chat.snapshots import Snapshots
from functions.chat.turn import TakeTurn
from functions.chat.window import KnownWindow

DEADLINE_S = 300.0
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


@dataclass
class SettableClock:
    """Stands still until a test moves it."""

    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def pass_s(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Callers:
    """Anybody is who the bearer says: `<subject>@<tenant>`, a service where the subject is `service`."""

    async def authenticate(self, authorization: str | None) -> Principal:
        subject, at, tenant = (authorization or "").removeprefix("Bearer ").partition("@")
        if not at:
            raise Unauthorized("Nobody.")
        return Principal(subject, tenant, frozenset({"service" if subject == "service" else "member"}), "")


@dataclass
class FakeModel:
    """Says `words`, one a chunk, and keeps what it was asked.

    Attributes:
        words: a word that is a Problem is raised there; an Event is waited for.
        refuses_over: a longer list of messages than this is refused as too long.
        closed: how many streams were closed before their end.
    """

    words: Sequence[str | Problem | asyncio.Event] = ("Hello", " there")
    refuses_over: int = 1_000_000
    refusal: Problem | None = None
    window: int = 8_192
    usage: Mapping[str, int] | None = field(default_factory=lambda: USAGE)
    asked: list[dict[str, Any]] = field(default_factory=list)
    is_asked: asyncio.Event = field(default_factory=asyncio.Event)
    closed: int = 0

    async def window_tokens(self) -> int:
        return self.window

    async def chat(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        self._ask(body)
        content = "".join([word async for word in self._said()])
        message = {"role": "assistant", "content": content}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice], "usage": self.usage}

    async def stream_chat(self, body: Mapping[str, Any]) -> AsyncGenerator[Chunk, None]:
        self._ask(body)
        ended = False
        try:
            yield chunk({"role": "assistant", "content": ""})
            async for word in self._said():
                yield chunk({"content": word})
            yield chunk({}, finish_reason="stop")
            if self.usage:
                yield encoded({"choices": [], "usage": self.usage})
            ended = True
        finally:
            self.closed += not ended

    def _ask(self, body: Mapping[str, Any]) -> None:
        self.asked.append(dict(body))
        self.is_asked.set()
        if self.refusal is not None and len(body["messages"]) > self.refuses_over:
            raise self.refusal

    async def _said(self) -> AsyncIterator[str]:
        for word in self.words:
            if isinstance(word, Problem):
                raise word
            if isinstance(word, str):
                yield word
            else:
                await word.wait()

    def messages(self, call: int = -1) -> list[tuple[str, Any]]:
        """Role and content of the messages of one call."""
        return [(each["role"], each["content"]) for each in self.asked[call]["messages"]]


def chunk(delta: Mapping[str, Any], finish_reason: str | None = None) -> Chunk:
    return encoded({"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})


def encoded(data: Mapping[str, Any]) -> Chunk:
    return Chunk(data, b"data: " + orjson.dumps(data) + b"\n\n")


class FragileStore:
    """An event store where others come in between, and that is away for the `fails` coming appends.

    With `goes_on` an append says that it was `reached`, and waits.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self.fails = 0
        self.reached: asyncio.Event | None = None
        self.goes_on: asyncio.Event | None = None
        self.read, self.read_all = store.read, store.read_all
        self.unpublished, self.mark_published = store.unpublished, store.mark_published

    async def append(self, stream: str, events: Sequence[CloudEvent], expected_version: int) -> int:
        await asyncio.sleep(0)
        if self.reached and self.goes_on:
            self.reached.set()
            await self.goes_on.wait()
        if self.fails:
            self.fails -= 1
            raise Unavailable("The store is away.")
        return await self._store.append(stream, events, expected_version)


class World:
    """One replica of `chat`; give another one the same store and clock.

    `reached` stands between the replica and its store.
    """

    def __init__(
        self,
        *,
        store: MemoryStore | None = None,
        clock: SettableClock | None = None,
        model: FakeModel | None = None,
        threshold_tokens: int = 3_000,
        deadline_s: float = DEADLINE_S,
        reached: Callable[[Any], Any] = lambda port: port,
    ) -> None:
        self.store = store or MemoryStore()
        self.clock = clock or SettableClock()
        self.model = model or FakeModel()
        self.background = Background()
        self.held: list[Response] = []
        self.events = FragileStore(reached(self.store.event_store("conversations")))
        self.snapshots = Snapshots(self.store.documents("conversation_snapshots"))
        ids, callers = SystemIds(), Callers()
        self.conversations = Conversations(
            self.events, self.snapshots, self.clock, ids, self.background, threshold_tokens=threshold_tokens
        )
        window = KnownWindow(self.model.window_tokens, 8_192, self.clock, self.background)
        answering = Answering(
            self.conversations, self.model, window, ids, self.background, retry_delays_s=(0.0, 0.0)
        )
        turn = TakeTurn(callers, self.conversations, answering, self.clock, ids, self.background, deadline_s)
        self.expire_turns = ExpireTurns(
            self.events, reached(self.store.documents("open_turns")), self.conversations, self.clock
        )
        feed = Feed(callers, self.conversations, self.events)
        self.chat = Chat(callers, self.conversations, turn, feed, self.expire_turns, ids)
        self._router = Router(self.chat.routes())

    async def call(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        caller: str = "ann@team",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The answer to one request; a Problem is raised as it is."""
        text = b"" if body is None else orjson.dumps(body)
        return await self.send(method, target, text, caller=caller, headers=headers)

    async def send(
        self,
        method: str,
        target: str,
        text: bytes,
        *,
        caller: str = "ann@team",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The answer to one request, its body as a test has spelled it."""
        path, _, query = target.partition("?")
        route, path_params = self._router.match(method, path.encode())
        request = Request(
            method,
            path,
            path_params,
            dict(pair.split("=") for pair in query.split("&") if pair),
            {"authorization": f"Bearer {caller}", **(headers or {})},
            text,
        )
        return await route.handler(request)

    async def started(self, **body: Any) -> str:
        """A new conversation's id."""
        return str(document(await self.call("POST", "/v1/conversations", body))["id"])

    async def say(self, conversation: str, *texts: str, key: str | None = None, **body: Any) -> Response:
        """A turn with `texts` as the user's messages."""
        messages = [{"role": "user", "content": text} for text in texts]
        return await self.take_turn(conversation, messages, key=key, **body)

    async def take_turn(
        self, conversation: str, messages: Sequence[Mapping[str, Any]], *, key: str | None = None, **body: Any
    ) -> Response:
        asked = {"model": "echo", "conversation": conversation, "messages": messages, **body}
        headers = {"idempotency-key": key} if key else {}
        return await self.call("POST", "/v1/chat/completions", asked, headers=headers)

    async def summarized(
        self, conversation: str, summary: str, through_version: int, *, tenant: str = "team"
    ) -> None:
        """Bring a summary as the broker would."""
        await self.chat.adopt_summary(summary_event(conversation, summary, through_version, tenant=tenant))

    async def recorded(self, conversation: str, tenant: str = "team") -> list[Recorded]:
        return await self.conversations.read(tenant, conversation)

    async def facts(self, conversation: str) -> list[Fact | None]:
        return [fact_of(each) for each in await self.recorded(conversation)]

    async def names(self, conversation: str) -> list[str]:
        """The facts' names, in order."""
        return [type(fact).__name__ for fact in await self.facts(conversation)]


def summary_event(
    conversation: str, summary: str, through_version: int, *, tenant: str = "team", source: str = SUMMARIZE
) -> CloudEvent:
    fact = ConversationSummarized(conversation, summary, through_version, "echo")
    return catalogue.to_event(
        fact, id="evt_1", source=source, time="2026-01-01T00:00:00Z", subject=conversation, tenant=tenant
    )


def document(response: Response) -> Any:
    """The body of a whole answer."""
    assert isinstance(response.body, bytes)
    return orjson.loads(response.body)


async def frames(response: Response) -> list[Any]:
    """The data of a stream's events, `[DONE]` as that text."""
    assert not isinstance(response.body, bytes)
    return [opened(frame) async for frame in response.body]


def opened(frame: bytes) -> Any:
    data = frame.removeprefix(b"data: ").rstrip(b"\n")
    return "[DONE]" if data == b"[DONE]" else orjson.loads(data)


def text(frames: Sequence[Any]) -> str:
    """What the deltas of a stream say."""
    choices = [choice for frame in frames if isinstance(frame, dict) for choice in frame.get("choices", ())]
    return "".join(choice["delta"].get("content", "") for choice in choices)

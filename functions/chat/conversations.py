"""Conversations in the event store: load one, change one.

A change is: load the state, let a command decide on it, append its facts if nobody was first, else decide
again on what the other has made of it. The state is in memory (the conversations used last), in a snapshot,
or only in the facts; wherever it comes from, the facts behind its version are read, so that what another
replica wrote is seen. Only a change that succeeds on the state in memory needs no such look.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from events import CloudEvent, UnknownFact, catalogue
from events.chat import CHAT, TurnCompleted
from events.fact import Fact
from functions._runtime.clock import rfc3339
from functions._runtime.errors import PayloadTooLarge, Problem, Unavailable, VersionConflict
from functions._runtime.ports import Clock, EventStore, Ids, Recorded
from functions.chat.background import Background
from functions.chat.model import Conversation, evolve
from functions.chat.snapshots import Snapshots

SNAPSHOT_EVERY_VERSIONS = 32
CACHED_CONVERSATIONS = 256
TRIES = 8
MOST_DATA_BYTES = 1_000_000
"""Of one fact. Brokers take about a megabyte (Kafka's `message.max.bytes`), and a fact that none of them
took would stay in the outbox for good and hold back all that follows it in its conversation."""

Command = Callable[[Conversation], Sequence[Fact]]


class Conversations:
    """All conversations of all tenants; one that isn't there is at version 0.

    Attributes:
        threshold_tokens: a turn that leaves more than this without a summary says so (`summarydue`).
    """

    def __init__(
        self,
        events: EventStore,
        snapshots: Snapshots,
        clock: Clock,
        ids: Ids,
        background: Background,
        *,
        threshold_tokens: int,
    ) -> None:
        self._events = events
        self._snapshots = snapshots
        self._clock = clock
        self._ids = ids
        self._background = background
        self._threshold_tokens = threshold_tokens
        self._cache: OrderedDict[str, Conversation] = OrderedDict()

    async def load(self, tenant: str, conversation_id: str) -> Conversation:
        """The state as it is now."""
        stream = _stream(tenant, conversation_id)
        known = self._cache.get(stream) or await self._snapshots.load(stream) or Conversation(conversation_id)
        return self._remember(stream, known, fold(known, await self._events.read(stream, known.version)))

    async def change(self, tenant: str, conversation_id: str, command: Command) -> Conversation:
        """Append what `command` decides, durably; return the state after it.

        `command` is called again when another writer was first. What it raises comes out.

        Raises:
            Unavailable: nothing was written, the store is away or too many others write here.
            PayloadTooLarge: nothing was written, a fact would be over `MOST_DATA_BYTES`.
        """
        remembered = self._cache.get(_stream(tenant, conversation_id))
        if remembered is not None:
            after = await self._tried_on(tenant, remembered, command)
            if after is not None:
                return after
        for _ in range(TRIES):
            state = await self.load(tenant, conversation_id)
            facts = command(state)
            if not facts:
                return state
            with suppress(VersionConflict):
                return await self._append(tenant, state, facts)
        raise Unavailable("Too many writers change this conversation at once.", retry_after_s=1)

    async def _tried_on(self, tenant: str, state: Conversation, command: Command) -> Conversation | None:
        """The state after `command`, if what this process remembers turns out to be the newest.

        Only an append that succeeds proves that; a refusal is worth nothing on a state that may be old.
        """
        try:
            facts = command(state)
            return await self._append(tenant, state, facts) if facts else None
        except Unavailable:
            raise
        except Problem:  # VersionConflict too
            return None

    async def read(self, tenant: str, conversation_id: str, after_version: int = 0) -> list[Recorded]:
        """The facts behind `after_version` as they stand."""
        return await self._events.read(_stream(tenant, conversation_id), after_version)

    async def _append(self, tenant: str, before: Conversation, facts: Sequence[Fact]) -> Conversation:
        stream = _stream(tenant, before.conversation_id)
        time = rfc3339(self._clock.now())
        after, events = before, []
        for fact in facts:
            after = evolve(after, fact, time)
            events.append(self._event(tenant, after, fact, time))
        await self._events.append(stream, events, before.version)
        return self._remember(stream, before, after)

    def _event(self, tenant: str, after: Conversation, fact: Fact, time: str) -> CloudEvent:
        extensions = {"sequence": f"{after.version:010d}"}
        if isinstance(fact, TurnCompleted) and after.summary_due(self._threshold_tokens):
            extensions["summarydue"] = "true"
        event = catalogue.to_event(
            fact,
            id=self._ids.new("evt"),
            source=CHAT,
            time=time,
            subject=after.conversation_id,
            tenant=tenant,
            partitionkey=after.conversation_id,
            extensions=extensions,
        )
        if len(event.data or b"") > MOST_DATA_BYTES:
            raise PayloadTooLarge(
                f"The messages take {len(event.data or b'')} bytes as a fact of the conversation; together"
                f" they may take {MOST_DATA_BYTES}. Send less at once, or without `conversation`.",
                param="messages",
            )
        return event

    def _remember(self, stream: str, before: Conversation, after: Conversation) -> Conversation:
        known = self._cache.get(stream)
        if after.version and (known is None or known.version <= after.version):
            self._cache[stream] = after
        if stream in self._cache:
            self._cache.move_to_end(stream)
        if len(self._cache) > CACHED_CONVERSATIONS:
            self._cache.popitem(last=False)
        if before.version // SNAPSHOT_EVERY_VERSIONS != after.version // SNAPSHOT_EVERY_VERSIONS:
            self._background.start(self._snapshots.save(stream, after))  # off the answer's path
        return after


def fold(state: Conversation, recorded: Iterable[Recorded]) -> Conversation:
    """The state after more facts of its stream."""
    for each in recorded:
        state = evolve(state, fact_of(each), each.event.time or "")
    return state


def fact_of(recorded: Recorded) -> Fact | None:
    """The fact, or None if a later version of the program wrote it."""
    try:
        return catalogue.from_event(recorded.event)
    except UnknownFact:
        return None


def _stream(tenant: str, conversation_id: str) -> str:
    return (
        f"{tenant}/{conversation_id}"  # the tenant first: another tenant's conversation isn't even looked up
    )

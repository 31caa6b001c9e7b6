"""Promise 56 in one process: killed before or after any call to a store or to the broker, nothing is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from events import CloudEvent
from functions._runtime.adapters.memory import MemoryStore
from functions._runtime.logs import Log
from functions._runtime.metrics import Metrics
from functions._runtime.outbox import Relay
from functions._runtime.ports import Publisher
from functions._runtime.set_aside import INDEXES, SetAside
from tests.functions.chat.world import (
    DEADLINE_S,
    FakeModel,
    SettableClock,
    World,
    document,
    frames,
    text,
)

CALLS = 22
"""How many calls to store and broker `life` makes."""


class Killed(BaseException):
    """The process is gone."""


class Power:
    """Goes out before or after the call number `at`; from then on nothing in the process reaches anything."""

    def __init__(self, at: int, after: bool) -> None:
        self.calls = 0
        self._at, self._after = at, after
        self._is_out = False

    async def __call__(self, call: Coroutine[Any, Any, Any]) -> Any:
        self.calls += 1
        self._is_out = self._is_out or (self.calls == self._at and not self._after)
        if self._is_out:
            call.close()
            raise Killed
        result = await call
        if self.calls == self._at:
            self._is_out = True
            raise Killed
        return result


class Powered:
    """Anything whose methods are calls out of the process."""

    def __init__(self, target: Any, power: Power) -> None:
        self._target = target
        self._power = power

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._target, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            return await self._power(method(*arguments, **named))

        return call


class Broker:
    """Keeps what was published."""

    def __init__(self) -> None:
        self.events: list[CloudEvent] = []

    async def publish(self, event: CloudEvent) -> None:
        self.events.append(event)


class Seen:
    """What a client and its neighbours were told before the power went out."""

    def __init__(self) -> None:
        self.conversation: str | None = None
        self.streamed: list[Any] = []
        self.whole: Any = None
        self.summarized = False


async def life(world: World, relay: Relay, seen: Seen) -> None:
    """A conversation of two turns and a summary, its facts on the way to the broker, a tick."""
    seen.conversation = await world.started()
    answer = await world.say(seen.conversation, "one", stream=True)
    seen.streamed = await frames(answer)
    await relay.pass_once()
    seen.whole = document(await world.say(seen.conversation, "two", key="k2"))
    await world.summarized(seen.conversation, "One was said.", 3)
    seen.summarized = True
    await relay.pass_once()
    await world.expire_turns()


def relay_of(world: World, store: MemoryStore, publisher: Publisher) -> Relay:
    log = Log("chat", write=lambda _: None)
    aside = SetAside(store.documents("events_set_aside", INDEXES), SettableClock(), Metrics(), log)
    return Relay(world.events, publisher, aside, log)


async def lived(at: int, *, after: bool) -> tuple[MemoryStore, SettableClock, Seen, Broker, int]:
    store, clock, seen, broker, power = MemoryStore(), SettableClock(), Seen(), Broker(), Power(at, after)
    model = FakeModel(words=["Hello", " there"])
    world = World(store=store, clock=clock, model=model, reached=lambda port: Powered(port, power))
    publisher: Any = Powered(broker, power)
    relay = relay_of(world, store, publisher)
    with suppress(Killed):
        await life(world, relay, seen)
    return store, clock, seen, broker, power.calls


async def test_there_are_calls_to_be_killed_at() -> None:
    *_, seen, broker, calls = await lived(0, after=False)
    assert calls == CALLS
    assert text(seen.streamed) == "Hello there"
    assert [event.type.split(".")[3] for event in broker.events][-1] == "summary_adopted"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, CALLS + 1))
async def test_killed_at_any_call_nothing_acknowledged_is_lost_and_nothing_happens_twice(
    at: int, after: bool
) -> None:
    """Promise 56: no acknowledged message lost, no event applied twice, every saga ends within its time."""
    store, clock, seen, broker, _ = await lived(at, after=after)
    world = World(store=store, clock=clock, model=FakeModel(words=["Again"]))
    clock.pass_s(DEADLINE_S)
    await world.expire_turns()
    relay = relay_of(world, store, broker)
    while await relay.pass_once():
        pass
    recorded = await world.events.read_all(0, 1_000)
    first_published = list(dict.fromkeys(event.id for event in broker.events))
    assert first_published == [each.event.id for each in recorded], "each, in order, at least once"
    if seen.conversation is None:
        return
    names = await world.names(seen.conversation)
    assert names.count("TurnStarted") == names.count("TurnCompleted") + names.count("TurnExpired")
    acknowledged = (seen.streamed[-1:] == ["[DONE]"]) + (seen.whole is not None)
    assert names.count("TurnCompleted") >= acknowledged
    assert names.count("SummaryAdopted") <= 1
    assert not seen.summarized or names.count("SummaryAdopted") == 1
    again = document(await world.say(seen.conversation, "two", key="k2"))
    if seen.whole is not None:
        assert again["choices"][0]["message"] == seen.whole["choices"][0]["message"], (
            "the answer it was given"
        )

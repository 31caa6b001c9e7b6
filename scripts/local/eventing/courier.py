"""What a Trigger sends: an event to its subscriber, a dead letter to its sink and into the store."""

from __future__ import annotations

import time

from .deadletter import as_dead_letter
from .log import DeadLetter, DeadLetters, Failure
from .record import Record
from .route import Route
from .subscriber import Subscriber, Unanswered
from .verdict import Verdict, judge, judge_sink, unanswered


class Courier:
    """One try at a time; when and how often is the subscription's matter."""

    def __init__(self, route: Route, broker: str, letters: DeadLetters, subscriber: Subscriber) -> None:
        self._route = route
        self._broker = broker
        self._letters = letters
        self._subscriber = subscriber
        self._call = ((b"prefer", b"reply"), (b"kn-namespace", route.namespace.encode()))

    async def deliver(self, record: Record) -> Verdict:
        """Send an event to the subscriber."""
        sink, policy = self._route.sink, self._route.policy
        headers = (*policy.klass.for_subscriber(record), *self._call)
        try:
            answer = await self._subscriber.send(sink, headers, record.data, policy.timeout_s)
        except Unanswered as error:
            return unanswered(str(error), sink.url)
        return judge(answer, policy.klass, sink.url)

    async def deliver_dead(self, record: Record, failure: Failure) -> Verdict:
        """Send a dead letter to the Trigger's sink; there must be one."""
        sink, policy = self._route.dead_letter_sink, self._route.policy
        if sink is None:
            raise ValueError(f"{self._route.name} has no dead letter sink")
        letter = policy.klass.for_dead_letter(record)
        headers = (*as_dead_letter(letter, failure, policy.klass.error_data_bytes), *self._call)
        try:
            answer = await self._subscriber.send(sink, headers, record.data, policy.timeout_s)
        except Unanswered as error:
            return unanswered(str(error), sink.url)
        return judge_sink(answer, sink.url)

    async def keep(self, record: Record, failure: Failure, sink: str) -> None:
        """Put a dead letter into the store; `sink` says what became of it at the sink. `LogRefused`."""
        now_ms = time.time_ns() // 1_000_000
        await self._letters.put(DeadLetter(self._route.name, self._broker, record, failure, now_ms, sink))

    async def forget(self, letter: int) -> None:
        """A dead letter has been delivered. `LogRefused`."""
        await self._letters.remove(letter)

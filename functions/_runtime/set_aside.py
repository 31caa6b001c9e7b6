"""Events that the broker refuses for good (it answers 400, 413, …), kept with the reason.

Such an event would hold up its stream for ever, though nothing is wrong with the ones behind it. So it leaves
the outbox: it stands in its stream as before, a document says why it never went out, `/metrics` counts it
until it does, and the log has it as an error. Whoever reads the broker sees a gap, as after a loss, and can
fill it from the stream. Each is tried once more when a process starts, so that a broker that was set wrongly
only has to be put right.
"""

from __future__ import annotations

from prometheus_client import Gauge

from functions._runtime.clock import rfc3339
from functions._runtime.errors import Unprocessable
from functions._runtime.logs import Log
from functions._runtime.metrics import Metrics
from functions._runtime.ports import Clock, Document, Documents, EventStore, Publisher, Recorded

INDEXES = ("state",)
"""What `documents` has to be declared with."""
COUNTED = 1_000
"""As many are tried again at a start, and counted."""
_REFUSED = "refused"


class SetAside:
    """Keeps what was refused in `documents`."""

    def __init__(self, documents: Documents, clock: Clock, metrics: Metrics, log: Log) -> None:
        self._documents = documents
        self._clock = clock
        self._log = log
        self._standing = Gauge(
            "hadal_events_set_aside",
            f"Events that the broker refuses for good, up to {COUNTED}.",
            registry=metrics.registry,
        )

    async def add(self, recorded: Recorded, refusal: Unprocessable) -> None:
        """Remember that `recorded` was refused. Twice is harmless.

        Raises:
            Unavailable: it couldn't be written down, so the event stays in the outbox.
        """
        event = recorded.event
        body = {
            "state": _REFUSED,
            "stream": recorded.stream,
            "version": recorded.version,
            "type": event.type,
            "event_id": event.id,
            "reason": refusal.message,
            "at": rfc3339(self._clock.now()),
        }
        if await self._documents.put(f"{recorded.position:020d}", body, None) == 1:
            self._standing.inc()
        self._log.error("event_set_aside", type=event.type, event_id=event.id, reason=refusal.message)

    async def try_again(self, store: EventStore, publisher: Publisher) -> None:
        """Publish those that the broker takes by now.

        Raises:
            Unavailable: the store or the broker is away; they stay as they are.
        """
        standing = await self._documents.find("state", _REFUSED, limit=COUNTED)
        self._standing.set(len(standing))
        for document in standing:
            if await _is_published(document, store, publisher):
                await self._documents.delete(document.key)
                self._standing.dec()


async def _is_published(document: Document, store: EventStore, publisher: Publisher) -> bool:
    stream, version = document.body["stream"], document.body["version"]
    recorded = (await store.read(stream, version - 1))[0]
    try:
        await publisher.publish(recorded.event)
    except Unprocessable:
        return False
    return True

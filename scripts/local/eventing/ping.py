"""PingSource: an event on a schedule (`sources.knative.dev/v1`, Knative's ping adapter)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

from croniter import CroniterError as ScheduleError
from croniter import croniter

from events import CloudEvent
from events.http import to_binary
from scripts.local.manifests.model import PingSource

from .retry import is_retried
from .sinks import Sink
from .subscriber import Subscriber, Unanswered

log = logging.getLogger(__name__)

EVENT_TYPE = "dev.knative.sources.ping"
SEND_TIMEOUT_S = 60.0
RETRIES = 5
RETRY_DELAY_S = 0.05
"""As upstream's adapter: five retries, 50 ms and doubling, then the tick is lost."""
LONGEST_SLEEP_S = 60.0
"""A machine that slept, or whose clock was set, is noticed within this time."""

Clock = Callable[[], datetime]


def wall_clock() -> datetime:
    """The time, UTC."""
    return datetime.now(UTC)


def ticks(source: PingSource, after: datetime) -> Iterator[datetime]:
    """When `source` fires after a moment; `ValueError` for a schedule or time zone that isn't one.

    Five fields (minute, hour, day of month, month, day of week), six with seconds first, or `@hourly` etc.
    """
    schedule = source.schedule or "* * * * *"
    if "@every" in schedule:
        raise ValueError(
            f"{schedule!r}: @every isn't supported; use five cron fields, or six with seconds first"
        )
    try:
        zone = ZoneInfo(source.timezone) if source.timezone else UTC
    except (OSError, ValueError, KeyError):
        raise ValueError(
            f"{source.timezone!r} is no time zone; use an IANA name such as Europe/Berlin"
        ) from None
    try:
        seconds = len(schedule.split()) == 6
        times = croniter(schedule, after.astimezone(zone), second_at_beginning=seconds)
    except ScheduleError as error:
        raise ValueError(f"{schedule!r} is no schedule: {error}") from None
    return (times.get_next(datetime) for _ in iter(int, 1))


def ping_event(source: PingSource, at: datetime) -> CloudEvent:
    """The event of one tick."""
    return CloudEvent(
        id=str(uuid4()),
        source=f"/apis/v1/namespaces/{source.namespace}/pingsources/{source.name}",
        type=EVENT_TYPE,
        time=at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        datacontenttype=(source.content_type or None) if source.data else None,
        data=source.data or None,
        extensions=dict(source.ce_overrides),
    )


async def ping(source: PingSource, sink: Sink, subscriber: Subscriber, clock: Clock = wall_clock) -> None:
    """Send an event at every tick until cancelled; ticks that were slept through are not made up for."""
    sending: set[asyncio.Task[None]] = set()
    last = clock()
    while True:
        tick = next(ticks(source, last))
        while (wait_s := (tick - clock()).total_seconds()) > 0:  # noqa: ASYNC110  only the clock tells
            await asyncio.sleep(min(wait_s, LONGEST_SLEEP_S))
        last = max(tick, clock())
        task = asyncio.create_task(_send(source, sink, subscriber, ping_event(source, last)))
        sending.add(task)
        task.add_done_callback(sending.discard)


async def _send(source: PingSource, sink: Sink, subscriber: Subscriber, event: CloudEvent) -> None:
    headers, body = to_binary(event)
    trouble = ""
    for retry in range(RETRIES + 1):
        if retry:
            await asyncio.sleep(RETRY_DELAY_S * 2 ** (retry - 1))
        try:
            answer = await subscriber.send(sink, headers, body, SEND_TIMEOUT_S)
        except Unanswered as error:
            trouble = str(error)
            continue
        if 200 <= answer.status < 300:
            return
        trouble = f"{sink.url} answered {answer.status}"
        if not is_retried(answer.status):
            break
    log.error("PingSource %s/%s: a tick is lost: %s", source.namespace, source.name, trouble)

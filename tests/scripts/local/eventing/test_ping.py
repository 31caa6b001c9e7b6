from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest

from events import validate
from scripts.local.eventing.ping import ping_event, ticks
from scripts.local.manifests.model import Destination, PingSource

from .harness import HERE, manifests, receiving, running, trigger

SINK = Destination(HERE, kind="Broker", namespace="hadal", name="default")
NOON = datetime(2026, 3, 28, 12, 0, 30, tzinfo=UTC)


def source(schedule: str = "* * * * *", timezone: str | None = None, **more: object) -> PingSource:
    return PingSource("clock", "hadal", HERE, schedule, SINK, timezone, **more)  # type: ignore[arg-type]


def first(count: int, of: PingSource) -> list[str]:
    return [tick.astimezone(UTC).isoformat() for tick in islice(ticks(of, NOON), count)]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("* * * * *", ["2026-03-28T12:01:00+00:00", "2026-03-28T12:02:00+00:00"]),
        ("", ["2026-03-28T12:01:00+00:00", "2026-03-28T12:02:00+00:00"]),
        ("*/10 * * * * *", ["2026-03-28T12:00:40+00:00", "2026-03-28T12:00:50+00:00"]),
        ("@hourly", ["2026-03-28T13:00:00+00:00", "2026-03-28T14:00:00+00:00"]),
        ("30 9 * * 1-5", ["2026-03-30T09:30:00+00:00", "2026-03-31T09:30:00+00:00"]),
    ],
)
def test_schedules_are_cron_with_seconds_in_front_where_there_are_six_fields(
    schedule: str, expected: list[str]
) -> None:
    assert first(2, source(schedule)) == expected


def test_a_time_zone_moves_the_schedule_and_knows_summer_time() -> None:
    assert first(2, source("0 9 * * *", "Europe/Berlin")) == [
        "2026-03-29T07:00:00+00:00",  # summer time began that night
        "2026-03-30T07:00:00+00:00",
    ]


@pytest.mark.parametrize(
    ("schedule", "timezone", "text"),
    [
        ("every minute", None, "is no schedule"),
        ("61 * * * *", None, "is no schedule"),
        ("@every 5s", None, "@every isn't supported"),
        ("* * * * *", "Mars/Olympus", "is no time zone"),
        ("* * * * *", "../../etc/passwd", "is no time zone"),
    ],
)
def test_what_is_no_schedule_is_refused(schedule: str, timezone: str | None, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        next(ticks(source(schedule, timezone), NOON))


def test_the_event_is_knatives() -> None:
    event = ping_event(
        source(data=b'{"a":1}', content_type="application/json", ce_overrides={"tenant": "x"}), NOON
    )
    validate(event)
    assert event.type == "dev.knative.sources.ping"
    assert event.source == "/apis/v1/namespaces/hadal/pingsources/clock"
    assert (event.data, event.datacontenttype) == (b'{"a":1}', "application/json")
    assert event.extensions == {"tenant": "x"}
    assert event.time == "2026-03-28T12:00:30.000000Z"


def test_an_event_without_data_has_no_content_type() -> None:
    event = ping_event(source(content_type="application/json"), NOON)
    assert (event.data, event.datacontenttype) == (None, None)


async def test_ticks_reach_the_broker_and_its_triggers(tmp_path: Path) -> None:
    async with receiving() as receiver:
        every_second = source("* * * * * *", data=b"tick", content_type="text/plain")
        one = manifests(trigger("t", receiver.destination), ping_sources=(every_second,))
        before = datetime.now(UTC)
        async with running(tmp_path, one):
            (delivery, *_) = await receiver.until(1)
        assert delivery.body == b"tick"
        assert delivery.attribute("type") == "dev.knative.sources.ping"
        assert datetime.fromisoformat(delivery.headers["ce-time"]) - before < timedelta(minutes=1)


@pytest.mark.slow
async def test_a_sink_that_refuses_for_a_moment_gets_the_tick(tmp_path: Path) -> None:
    codes = iter([503, 500])
    async with receiving(lambda _: (next(codes, 204), [], b"")) as receiver:
        one = PingSource("clock", "hadal", HERE, "* * * * * *", receiver.destination)
        async with running(tmp_path, manifests(ping_sources=(one,))):
            deliveries = await receiver.until(3)
        assert deliveries[0].id == deliveries[1].id == deliveries[2].id

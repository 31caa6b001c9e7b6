"""A Service whose manifest changes: roll-outs good and bad, shares of traffic, tags."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from .objects import service
from .place import PlaceError
from .scenario import Observation, Scenario
from .stage import Stage, joined

REQUESTS, AT_ONCE = 600, 10
FIRST, SECOND = "the first revision", "the second revision"
NAMES = {"00001": FIRST, "00002": SECOND}


async def rollout(stage: Stage) -> Observation:
    """A stream that runs while its Service goes over to a new revision."""
    probe = stage.named("probe")
    await stage.apply(service(probe, {"COLOUR": "red"}))
    await stage.warm(probe)
    async with stage.open(probe, "/stream?s=10") as stream:
        reading = asyncio.ensure_future(joined(stream.pieces()))
        await stage.apply(service(probe, {"COLOUR": "blue"}))
        await _until_second(stage, probe)
        meanwhile = "the stream goes on" if not reading.done() else "the stream has ended"
        *lines, last = (await reading).splitlines()
    sources = ", ".join(sorted({_name(line) for line in lines}))
    return {"requests": SECOND, "meanwhile": meanwhile, "the stream": f"{sources}, to its {last}"}


async def unready(stage: Stage) -> Observation:
    """A second revision whose readiness probe fails."""
    probe = stage.named("probe")
    await stage.apply(service(probe))
    await stage.warm(probe)
    bad = service(probe, {"UNREADY": "1"}, readiness={"httpGet": {"path": "/ready"}})
    await stage.apply(bad, ready=False)

    async def both() -> bool:
        await stage.who(probe)
        return await stage.place.replicas(probe) >= 2

    await stage.until(both, "a process of each revision")
    return {"requests": await _who_answers(stage, probe, 20)}


async def crash_at_start(stage: Stage) -> Observation:
    """A second revision whose process ends before it listens."""
    probe = stage.named("probe")
    await stage.apply(service(probe))
    await stage.warm(probe)
    await stage.apply(service(probe, {"CRASH": "1"}), ready=False)

    async def crashed() -> bool:
        return "told to crash at the start" in await stage.place.logs(probe)

    await stage.until(crashed, "the second revision to crash")
    return {"requests": await _who_answers(stage, probe, 20)}


async def never_ready(stage: Stage) -> Observation:
    """A Service whose first revision doesn't get as far as listening."""
    probe = stage.named("probe")
    await stage.apply(service(probe, {"CRASH": "1"}), ready=False)
    return {"a request": (await stage.ask(probe, "/who")).status}


async def unknown_revision(stage: Stage) -> Observation:
    """Traffic for a revision that there isn't."""
    probe = stage.named("probe")
    await stage.apply(service(probe))
    await stage.warm(probe)
    target = {"revisionName": f"{probe}-00007", "percent": 100}
    try:
        await stage.apply(service(probe, traffic=[target]), ready=False)
        taken = "taken"
    except PlaceError:
        taken = "refused"
    return {"the manifest": taken, "requests": await _who_answers(stage, probe, 20)}


async def traffic(stage: Stage) -> Observation:
    """Nine tenths to the first revision, the rest and a tag to the second; then all of it back."""
    probe = stage.named("probe")
    await stage.apply(service(probe, {"COLOUR": "red"}))
    await stage.warm(probe)
    first = {"revisionName": f"{probe}-00001", "percent": 90}
    blue: dict[str, Any] = {"env": {"COLOUR": "blue"}}
    shares: list[Mapping[str, object]] = [first, {"latestRevision": True, "percent": 10, "tag": "new"}]
    await stage.apply(service(probe, **blue, traffic=shares))
    await _until_second(stage, f"new-{probe}")
    seen = await _revisions(stage, probe, REQUESTS)
    share = seen.count(SECOND) / len(seen)
    by_tag = await _who_answers(stage, f"new-{probe}", 20)
    await stage.apply(service(probe, **blue, traffic=[{**first, "percent": 100}]))

    async def untagged() -> bool:
        return (await stage.ask(f"new-{probe}", "/who")).status == 404

    await stage.until(untagged, "the tag to go")
    return {
        "second revision's share": "5 to 15 %" if 0.05 <= share <= 0.15 else f"{share:.0%}",
        "by the tag": by_tag,
        "all of it back": await _who_answers(stage, probe, 20),
        "by the removed tag": 404,
    }


async def _until_second(stage: Stage, service: str) -> None:
    async def second() -> bool:
        return _name((await stage.who(service))["revision"]) == SECOND

    await stage.until(second, f"{SECOND} to answer")


async def _revisions(stage: Stage, service: str, count: int) -> list[str]:
    found: list[str] = []

    async def ask() -> None:
        while len(found) < count:
            found.append(_name((await stage.who(service))["revision"]))

    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    return found


async def _who_answers(stage: Stage, service: str, count: int) -> str:
    return ", ".join(sorted(set(await _revisions(stage, service, count))))


def _name(revision: str) -> str:
    return NAMES.get(revision[-5:], revision)


SCENARIOS = (
    Scenario(
        "rollout",
        "A stream through the roll-out of a new revision.",
        rollout,
        {"requests": SECOND, "meanwhile": "the stream goes on", "the stream": f"{FIRST}, to its end"},
    ),
    Scenario("unready", "A new revision whose readiness probe fails.", unready, {"requests": FIRST}),
    Scenario(
        "crash at start", "A new revision whose container crashes.", crash_at_start, {"requests": FIRST}
    ),
    Scenario(
        "never ready",
        "A new Service whose container crashes.",
        never_ready,
        {"a request": 404},
        runner={"a request": 503},
        why="a cluster makes the route when the first revision is ready; here the caller is told the reason",
    ),
    Scenario(
        "unknown revision",
        "Traffic for a revision that there isn't.",
        unknown_revision,
        {"the manifest": "taken", "requests": FIRST},
        runner={"the manifest": "refused", "requests": FIRST},
        why="a cluster takes it and leaves the route as it was; here whoever applies it is told",
    ),
    Scenario(
        "traffic",
        "Traffic split 90 to 10, a tag's address, and all of it back.",
        traffic,
        {
            "second revision's share": "5 to 15 %",
            "by the tag": SECOND,
            "all of it back": FIRST,
            "by the removed tag": 404,
        },
    ),
)

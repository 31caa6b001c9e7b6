"""All scenarios, and how they are tried at a place: some at once, each with its objects cleared away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from . import delivery, endings, filters, ingresses, letters, requests, revisions, scaling, sources
from .place import CutOff, Place, PlaceError
from .scenario import Observation, Scenario
from .stage import NeverSeen, Stage

SCENARIOS: Sequence[Scenario] = (
    *filters.SCENARIOS,
    *ingresses.SCENARIOS,
    *delivery.SCENARIOS,
    *letters.SCENARIOS,
    *scaling.SCENARIOS,
    *requests.SCENARIOS,
    *revisions.SCENARIOS,
    *endings.SCENARIOS,
    *sources.SCENARIOS,
)
FAILED = "failed"
"""The key of an observation that there is none."""

Told = Callable[[Scenario, Observation, float], None]


def chosen(names: Sequence[str], place: Place) -> list[Scenario]:
    """The scenarios of these names (none: all) that the place can be asked about. `PlaceError`."""
    known = {scenario.slug: scenario for scenario in SCENARIOS}
    if unknown := [name for name in names if name not in known]:
        raise PlaceError(f"there is no scenario {', '.join(unknown)}; there are: {', '.join(known)}")
    wanted = [known[name] for name in names] or list(SCENARIOS)
    return [scenario for scenario in wanted if scenario.broker_class in place.broker_classes]


async def observe(
    place: Place, scenarios: Sequence[Scenario], told: Told = lambda *_: None
) -> dict[str, Observation]:
    """What is seen in each, by name; `told` hears of each as it ends, with the seconds that it took."""
    places = asyncio.Semaphore(place.at_once)

    async def one(scenario: Scenario) -> Observation:
        async with places:
            began_s = time.monotonic()
            seen = await _tried(place, scenario)
            told(scenario, seen, time.monotonic() - began_s)
            return seen

    tasks: dict[str, asyncio.Task[Observation]] = {}
    for timed in (False, True):
        async with asyncio.TaskGroup() as group:
            for scenario in scenarios:
                if scenario.timed is timed:
                    tasks[scenario.name] = group.create_task(one(scenario))
    return {scenario.name: tasks[scenario.name].result() for scenario in scenarios}


async def _tried(place: Place, scenario: Scenario) -> Observation:
    stage = Stage(place, scenario.slug, scenario.broker_class)
    try:
        return await scenario.act(stage)
    except (NeverSeen, CutOff, PlaceError) as error:
        logs = [f"{name}:\n{await place.logs(name)}" for name in stage.services]
        return {FAILED: str(error), "logs": "\n".join(logs)[-2000:]}
    finally:
        await stage.clear()

"""Processes that end: asked to, and by themselves."""

from __future__ import annotations

import asyncio

from .objects import service
from .place import CutOff
from .scenario import Observation, Scenario
from .stage import Stage


async def sigterm(stage: Stage) -> Observation:
    """A process is asked to end while it has a request."""
    probe = stage.named("probe")
    await stage.apply(service(probe, scale={"max-scale": 2}))
    first = (await stage.warm(probe))["process"]
    slow = asyncio.ensure_future(stage.ask(probe, "/sleep?s=8"))

    async def in_flight() -> bool:
        return bool((await stage.who(probe))["most_at_once"] >= 2)

    await stage.until(in_flight, "the request to arrive")
    await stage.place.terminate(probe)
    await _until_other(stage, probe, first)
    meanwhile = "another process answers" if not slow.done() else "too late to say"
    answer = await slow
    same = answer.status == 200 and answer.json()["process"] == first
    return {
        "in flight": f"{answer.status}, {'the old' if same else 'another'} process",
        "meanwhile": meanwhile,
    }


async def crash(stage: Stage) -> Observation:
    """A process ends in the middle of a request."""
    probe = stage.named("probe")
    await stage.apply(service(probe))
    first = (await stage.warm(probe))["process"]
    try:
        status: int | str = (await stage.ask(probe, "/crash")).status
    except CutOff:
        status = "cut off"
    await _until_other(stage, probe, first)
    return {"the request": status, "afterwards": "another process answers"}


async def _until_other(stage: Stage, service: str, first: str) -> None:
    async def other() -> bool:
        return bool((await stage.who(service))["process"] != first)

    await stage.until(other, "another process")


SCENARIOS = (
    Scenario(
        "sigterm",
        "A process that is asked to end while it has a request.",
        sigterm,
        {"in flight": "200, the old process", "meanwhile": "another process answers"},
    ),
    Scenario(
        "crash",
        "A container that crashes in the middle of a request.",
        crash,
        {"the request": 502, "afterwards": "another process answers"},
    ),
)

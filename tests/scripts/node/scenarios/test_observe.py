"""How scenarios are tried, at a place that has nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import pytest

from scripts.node.scenarios.objects import KAFKA, service
from scripts.node.scenarios.place import Manifest, PlaceError, Response
from scripts.node.scenarios.scenario import Observation, Scenario
from scripts.node.scenarios.stage import Stage, between
from scripts.node.scenarios.suite import FAILED, chosen, observe


@dataclass
class Nothing:
    """A `Place` whose Services never answer."""

    name: str = "nothing"
    broker_classes: frozenset[str] = frozenset(("MTChannelBasedBroker",))
    at_once: int = 8
    patience_s: float = 0.3
    there: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    async def apply(self, manifests: Sequence[Manifest], *, ready: bool = True) -> None:
        self.there += [each["metadata"]["name"] for each in manifests]

    async def delete(self, manifests: Sequence[Manifest]) -> None:
        self.removed += [each["metadata"]["name"] for each in manifests]

    def request(
        self, service: str, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> AbstractAsyncContextManager[Response]:
        raise PlaceError(f"nobody answers {service}{path}")

    async def post_event(self, broker: str, headers: Mapping[str, str], body: bytes) -> int:
        return 404

    async def replicas(self, service: str) -> int:
        return 1

    async def terminate(self, service: str) -> None: ...

    async def logs(self, service: str) -> str:
        return f"{service} said nothing"


async def waits(stage: Stage) -> Observation:
    await stage.apply(service(stage.named("probe")))
    await stage.until_zero(stage.named("probe"))
    return {"zero": True}


async def asks(stage: Stage) -> Observation:
    await stage.apply(service(stage.named("probe")))
    return {"who": await stage.who(stage.named("probe"))}


async def sees(stage: Stage) -> Observation:
    return {"class": stage.broker_class}


async def test_what_is_never_seen_is_a_failure_with_the_logs_and_its_objects_go() -> None:
    place = Nothing()
    trials = [Scenario("w", "Waits.", waits, {}), Scenario("a", "Asks.", asks, {})]
    ended: list[str] = []
    seen = await observe(place, trials, lambda scenario, *_: ended.append(scenario.name))
    assert re.search(r"waited 0\.3 s for w-probe to be at zero", seen["w"][FAILED])
    assert seen["w"]["logs"] == "w-probe:\nw-probe said nothing"
    assert seen["a"][FAILED] == "nobody answers a-probe/who"
    assert sorted(place.removed) == sorted(place.there) == ["a-probe", "w-probe"]
    assert sorted(ended) == ["a", "w"]


async def test_one_that_fails_is_no_matter_to_another() -> None:
    seen = await observe(Nothing(), [Scenario("a", "Asks.", asks, {}), Scenario("s", "Sees.", sees, {})])
    assert FAILED in seen["a"]
    assert seen["s"] == {"class": "MTChannelBasedBroker"}


def test_a_place_is_asked_only_about_what_it_has() -> None:
    assert all(each.broker_class != KAFKA for each in chosen([], Nothing()))
    assert [each.name for each in chosen(["dead-letters", "dead-letters-kafka"], Nothing())] == [
        "dead letters"
    ]
    with pytest.raises(PlaceError, match="there is no scenario nap; there are: filters"):
        chosen(["nap"], Nothing())


def test_a_time_is_told_as_its_class() -> None:
    assert between(2.5, 2, 4) == "between 2 and 4 s"
    assert between(5.01, 2, 4) == "5.0 s, not between 2 and 4"

"""A Service whose manifest changes while it serves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scripts.local.manifests.model import Probe, Service, TrafficTarget
from scripts.local.serving import NoSuchService

from .world import HERE, MB, World, service, world

pytestmark = pytest.mark.slow


def apply(here: World, *services: Service) -> dict[str, str]:
    """As the runner does: nothing is applied that names what isn't there."""

    def bound(_: Service) -> Mapping[str, str]:
        return {"K_SINK": "http://sink"}

    assert here.activator.missing(services, bound) == []
    return here.activator.apply(services, bound)


def target(revision: str | None = None, percent: int = 0, tag: str | None = None) -> TrafficTarget:
    return TrafficTarget(HERE, revision, percent, tag)


async def colour(here: World, **options: Any) -> str:
    response = await here.ask("/env", **options)
    found: str = (await response.read(MB)).decode().partition('"COLOUR": "')[2].partition('"')[0]
    return found


async def ready(here: World) -> None:
    await here.until(lambda: here.status()["ready"], "the latest revision to be ready")


async def test_a_changed_template_makes_a_revision_and_anything_else_does_not(tmp_path: Path) -> None:
    async with world(tmp_path, service(env={"COLOUR": "red"})) as here:
        assert '"K_REVISION": "app-00001"' in await here.get("/env")
        assert apply(here, service(env={"COLOUR": "red"}, labels={"tier": "back"}, cluster_local=True)) == {}
        assert apply(here, service(env={"COLOUR": "blue"})) == {"Service hadal/app": "revision app-00002"}
        await ready(here)
        assert '"K_REVISION": "app-00002"' in await here.get("/env")


async def test_requests_go_to_the_old_revision_until_the_new_one_is_ready(tmp_path: Path) -> None:
    readiness = Probe(http_path="/ready")
    async with world(tmp_path, service(env={"COLOUR": "red"})) as here:
        apply(here, service(env={"COLOUR": "blue"}, readiness=readiness))
        await here.until(lambda: len(here.pids()) == 1, "the new one to be started")
        assert await colour(here) == "red"
        here.sign("ready")
        await ready(here)
        assert await colour(here) == "blue"


async def test_a_stream_through_the_old_revision_is_finished_and_then_it_is_gone(tmp_path: Path) -> None:
    async with world(tmp_path, service(env={"COLOUR": "red"})) as here:
        stream = await here.ask("/stream")
        (old,) = here.pids()
        apply(here, service(env={"COLOUR": "blue"}))
        await ready(here)
        assert await colour(here) == "blue"
        assert old in here.pids()
        here.sign("go")
        assert await stream.read(MB) == b"onetwo"
        await here.until(lambda: old not in here.pids(), "the old one to end")


async def test_a_revision_that_does_not_start_gets_nothing_and_is_tried_again(tmp_path: Path) -> None:
    async with world(tmp_path, service(env={"COLOUR": "red"})) as here:
        old = await here.get("/pid")
        here.sign("broken")
        apply(here, service(env={"COLOUR": "blue"}))
        await here.until(lambda: here.status()["reason"], "a start that failed")
        assert await here.get("/pid") == old
        (here.data / "signs" / "broken").unlink()
        await ready(here)
        assert await colour(here) == "blue"


async def test_traffic_is_shared_by_percent_and_a_tag_is_an_address(tmp_path: Path) -> None:
    async with world(tmp_path, service(env={"COLOUR": "red"})) as here:
        blue = service(env={"COLOUR": "blue"})
        split = (target("app-00001", 75), target(None, 25), target("app-00001", tag="old"), target(tag="new"))
        apply(here, replace(blue, traffic=split))
        assert await colour(here) == "red", "the shares hold when all that they name is ready"
        await ready(here)
        counts = Counter([await colour(here) for _ in range(200)])
        assert counts.keys() == {"red", "blue"}
        assert 20 <= counts["blue"] <= 85, "5 sigma round a quarter"
        assert {await colour(here, tag="old") for _ in range(20)} == {"red"}
        assert {await colour(here, tag="new") for _ in range(20)} == {"blue"}
        apply(here, replace(blue, traffic=(target("app-00001", 100),)))
        assert {await colour(here) for _ in range(20)} == {"red"}
        with pytest.raises(NoSuchService, match="no ready revision with the tag new"):
            await here.ask("/pid", tag="new")


async def test_a_revision_without_traffic_comes_back_when_it_is_named(tmp_path: Path) -> None:
    async with world(tmp_path, service(env={"COLOUR": "red"})) as here:
        (_, first) = await here.get("/pid"), here.pids()
        blue = service(env={"COLOUR": "blue"})
        apply(here, blue)
        await ready(here)
        await here.until(lambda: not set(first) & set(here.pids()), "the old one to end")
        apply(here, replace(blue, traffic=(target("app-00001", 100),)))
        assert await colour(here) == "red"


async def test_a_template_may_name_its_revision_and_a_changed_one_must_do_it_anew(tmp_path: Path) -> None:
    async with world(tmp_path, service(revision_name="app-red", env={"COLOUR": "red"})) as here:
        changed = service(revision_name="app-red", env={"COLOUR": "blue"})
        (problem,) = here.activator.missing([changed], lambda _: {"K_SINK": "http://sink"})
        assert (problem.path, problem.text.split()[0]) == ("spec.template.metadata.name", "app-red")
        apply(here, replace(changed, revision_name="app-blue"))
        await ready(here)
        assert '"K_REVISION": "app-blue"' in await here.get("/env")


async def test_traffic_to_a_revision_that_is_not_there_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path, service()) as here:
        wrong = [
            service(traffic=(target("app-00007", 100),)),
            service("other", traffic=(target("other-00002", 100),)),
        ]
        texts = [each.text for each in here.activator.missing(wrong, lambda _: {"K_SINK": "http://sink"})]
        assert texts == [
            "there is no revision app-00007; there are: app-00001",
            "there is no revision other-00002; there are: other-00001",
        ]


async def test_what_a_binding_adds_is_part_of_the_template(tmp_path: Path) -> None:
    async with world(tmp_path, service()) as here:
        assert here.activator.apply([service()], lambda _: {"K_SINK": "http://elsewhere"}) == {
            "Service hadal/app": "revision app-00002"
        }
        await ready(here)
        assert '"K_SINK": "http://elsewhere"' in await here.get("/env")


async def test_services_come_and_go_while_others_serve(tmp_path: Path) -> None:
    async with world(tmp_path, service()) as here:
        stream = await here.ask("/stream")
        (old,) = here.pids()
        apply(here, service("other"))
        assert await here.get("/pid", "other")
        with pytest.raises(NoSuchService):
            await here.ask("/pid")
        here.sign("go")
        assert await stream.read(MB) == b"onetwo"
        await here.until(lambda: not Path(f"/proc/{old}").exists(), "the removed one to end")

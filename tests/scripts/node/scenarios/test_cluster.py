"""What the cluster's adapter says to kubectl, the ingress and the API, with stand-ins for all three."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from scripts.local.http import Request
from scripts.node.scenarios.cluster import Access, Cluster, cluster
from scripts.node.scenarios.objects import IMAGE, service, to_service, trigger
from scripts.node.scenarios.place import PlaceError
from tests.scripts.local.http.wire import serving

pytestmark = pytest.mark.slow

APP = service("app")
AGED = {
    "metadata": {"generation": 2},
    "status": {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]},
}
UNREADY = {
    "metadata": {"generation": 2},
    "status": {"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "Unknown"}]},
}
READY = {
    "metadata": {"generation": 2},
    "status": {"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "True"}]},
}
CHANNEL = "InMemoryChannel.v1.messaging.knative.dev/events-kne-trigger"
ON_A_CHANNEL = {
    "metadata": {"generation": 1},
    "status": {
        "annotations": {
            "knative.dev/channelAPIVersion": "messaging.knative.dev/v1",
            "knative.dev/channelKind": "InMemoryChannel",
            "knative.dev/channelName": "events-kne-trigger",
        }
    },
}
PODS = [
    {"metadata": {"name": "app-1"}},
    {"metadata": {"name": "app-0", "deletionTimestamp": "2026-11-24T00:00:00Z"}},
]


async def says(request: Request) -> None:
    """Answer with what was asked."""
    body = (await request.body(1000)).decode()
    host = (request.header(b"host") or b"").decode()
    said = {"method": request.method.decode(), "host": host, "path": request.target.decode(), "body": body}
    request.reply(202, [(b"content-type", b"application/json")], json.dumps(said).encode())


@asynccontextmanager
async def open_cluster(folder: Path) -> AsyncIterator[Cluster]:
    async with serving(says) as server:
        state = {
            "port": server.port,
            "pods": PODS,
            "services.serving.knative.dev/app": [AGED, {"metadata": {"generation": 2}}, UNREADY, READY],
            "brokers.eventing.knative.dev/events": [ON_A_CHANNEL],
            "brokers.eventing.knative.dev/topic": [READY],
            "triggers.eventing.knative.dev/all": [READY],
            CHANNEL: [AGED, READY],
        }
        (folder / "cluster.json").write_text(json.dumps(state))
        shutil.copy(Path(__file__).with_name("kubectl.py"), folder)
        program = folder / "kubectl"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {folder}/kubectl.py "$@"\n')
        program.chmod(0o700)
        access = Access(str(program), "/etc/admin.conf", f"http://127.0.0.1:{server.port}", "example.org")
        async with cluster(access) as place:
            yield place


def told(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "told.jsonl").read_text().splitlines()]


async def test_objects_are_applied_and_waited_for_until_this_very_text_is_ready(tmp_path: Path) -> None:
    async with open_cluster(tmp_path) as place:
        await place.apply([APP])
    applied = [json.loads(each["text"]) for each in told(tmp_path) if "apply" in each["words"]]
    assert applied[0]["kind"] == "Namespace"
    assert applied[1]["items"] == [APP]
    looks = [each["words"] for each in told(tmp_path) if "services.serving.knative.dev/app" in each["words"]]
    assert len(looks) == 4
    assert looks[0][0] == "--kubeconfig=/etc/admin.conf"


async def test_a_trigger_is_waited_for_until_its_brokers_channel_has_seen_it(tmp_path: Path) -> None:
    async with open_cluster(tmp_path) as place:
        await place.apply([trigger("all", "events", to_service("app", "/"))])
    looks = [each["words"][4] for each in told(tmp_path) if "get" in each["words"]]
    assert looks == [
        "triggers.eventing.knative.dev/all",
        "brokers.eventing.knative.dev/events",
        CHANNEL,
        CHANNEL,
    ]


async def test_a_broker_without_a_channel_has_nothing_more_to_wait_for(tmp_path: Path) -> None:
    async with open_cluster(tmp_path) as place:
        await place.apply([trigger("all", "topic", to_service("app", "/"))])
    looks = [each["words"][4] for each in told(tmp_path) if "get" in each["words"]]
    assert looks == ["triggers.eventing.knative.dev/all", "brokers.eventing.knative.dev/topic"]


async def test_a_request_goes_to_the_ingress_under_the_services_name(tmp_path: Path) -> None:
    async with (
        open_cluster(tmp_path) as place,
        place.request("new-app", "POST", "/who", {}, b"x") as response,
    ):
        answer = (await response.whole()).json()
    assert answer == {
        "method": "POST",
        "host": "new-app.hadal-scenarios.example.org",
        "path": "/who",
        "body": "x",
    }


async def test_an_event_goes_to_the_brokers_ingress_by_way_of_the_api(tmp_path: Path) -> None:
    async with open_cluster(tmp_path) as place:
        assert await place.post_event("events", {"ce-id": "1"}, b"{}") == 202


async def test_pods_that_go_are_not_counted_and_one_without_a_past_has_logs(tmp_path: Path) -> None:
    async with open_cluster(tmp_path) as place:
        assert await place.replicas("app") == 1
        assert (await place.logs("app")).split("\n")[0] == "app-1 wrote this"
        await place.terminate("app")
        await place.delete([APP])
    words = [each["words"] for each in told(tmp_path)]
    assert ["delete", "pod", "--wait=false", "-l", "serving.knative.dev/service=app"] in [
        w[3:] for w in words
    ]
    assert words[-1][1:] == ["delete", "namespace", "hadal-scenarios", "--ignore-not-found", "--wait=false"]


async def test_a_cluster_that_refuses_is_told_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(PlaceError, match=r"kubectl delete namespace .*: no such cluster"):
        program = tmp_path / "kubectl"
        program.write_text("#!/bin/sh\necho no such cluster >&2; exit 1\n")
        program.chmod(0o700)
        async with cluster(Access(str(program), "", "http://127.0.0.1:1", "example.org")):
            raise AssertionError


def test_the_probes_manifest_is_for_an_image_that_stands_alone() -> None:
    (container,) = APP["spec"]["template"]["spec"]["containers"]
    assert container["image"] == IMAGE
    probe = Path(__file__).parents[4] / container["command"][-1]
    modules = {
        line.split()[1].partition(".")[0]
        for line in probe.read_text().splitlines()
        if line.startswith(("import ", "from "))
    }
    assert modules <= set(sys.stdlib_module_names)

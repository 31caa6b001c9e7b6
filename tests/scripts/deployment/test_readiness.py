from __future__ import annotations

from typing import Any

import pytest

from scripts.deployment import readiness
from scripts.deployment.errors import Failed
from scripts.deployment.readiness import failed_revision, patience_s, verdict, wait_until_ready
from tests.scripts.deployment.answering import Answering

SERVICE: dict[str, Any] = {
    "apiVersion": "serving.knative.dev/v1",
    "kind": "Service",
    "metadata": {"name": "app", "namespace": "hadal", "generation": 2},
    "spec": {"template": {"metadata": {}, "spec": {"containers": [{"image": "dev.local/app"}]}}},
}


def with_status(ready: str, *, observed: int = 2, **more: Any) -> dict[str, Any]:
    condition = {"type": "Ready", "status": ready, "reason": "RevisionFailed", "message": "no such image"}
    return {**SERVICE, "status": {"observedGeneration": observed, "conditions": [condition], **more}}


def test_ready_counts_only_of_the_text_that_is_there_now() -> None:
    assert verdict(with_status("True")) == "True"
    assert verdict(with_status("True", observed=1)) == "Unknown"
    assert verdict(with_status("False", observed=1)) == "Unknown"
    assert verdict(with_status("False")) == "False"
    assert verdict({**SERVICE, "status": {}}) == verdict(None) == "Unknown"


def test_a_revision_has_failed_where_its_configuration_says_so_and_another_one_serves() -> None:
    def named(created: str, ready: str, configured: str) -> dict[str, Any]:
        service = with_status("False", latestCreatedRevisionName=created, latestReadyRevisionName=ready)
        service["status"]["conditions"].append({"type": "ConfigurationsReady", "status": configured})
        return service

    assert failed_revision(named("app-00002", "app-00001", "False")) == "app-00002"
    assert failed_revision(named("app-00002", "app-00002", "False")) is None
    assert failed_revision(named("app-00002", "app-00001", "Unknown")) is None
    assert failed_revision(with_status("True")) is None


def test_a_stateful_set_is_ready_when_its_pods_are_of_the_newest_template() -> None:
    one: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "store", "generation": 1},
        "spec": {"replicas": 1},
    }
    ready = {"observedGeneration": 1, "readyReplicas": 1, "updatedReplicas": 1}
    assert verdict({**one, "status": ready}) == "True"
    assert verdict({**one, "status": ready | {"updatedReplicas": 0}}) == "Unknown"
    assert verdict({**one, "status": {"observedGeneration": 1}}) == "Unknown"


@pytest.mark.parametrize(
    ("deadline", "seconds"), [("600s", 660), ("10m", 660), ("1h30m", 5_460), (None, 660), ("soon", 660)]
)
def test_a_service_has_its_progress_deadline_and_a_minute(deadline: str | None, seconds: float) -> None:
    annotations = {} if deadline is None else {readiness.PROGRESS_DEADLINE: deadline}
    template = {"metadata": {"annotations": annotations}, "spec": {}}
    assert patience_s({**SERVICE, "spec": {"template": template}}) == seconds


def test_one_that_stays_false_is_told_with_its_revisions_and_pods_own_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readiness, "FALSE_FOR_S", 0.0)
    monkeypatch.setattr(readiness, "LOOK_EVERY_S", 0.0)
    pod = {
        "metadata": {"name": "app-00002-x", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": [{"name": "user-container"}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}],
            "containerStatuses": [
                {
                    "name": "user-container",
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": {"reason": "Error", "exitCode": 3}},
                }
            ],
        },
    }
    revision = {
        "status": {"conditions": [{"type": "ContainerHealthy", "status": "False", "message": "exit 3"}]}
    }
    cluster = Answering(
        {"words": ["get", "-f"], "out": with_status("False", latestCreatedRevisionName="app-00002")},
        {"words": ["revision.serving.knative.dev", "app-00002"], "out": revision},
        {"words": ["pods", "serving.knative.dev/service=app"], "out": {"items": [pod]}},
        {"words": ["logs", "--previous"], "out": "HADAL_STORE is not set; it is needed\n"},
    ).cluster
    with pytest.raises(Failed) as failure:
        wait_until_ready(cluster, [SERVICE], lambda *_: None)
    assert str(failure.value).splitlines() == [
        "Service/app can't get ready",
        "    Ready is False (RevisionFailed: no such image)",
        "      revision app-00002",
        "      ContainerHealthy is False (exit 3)",
        "    pod app-00002-x",
        "      phase Running",
        "      Ready is False (ContainersNotReady)",
        "      user-container waiting: CrashLoopBackOff",
        "      user-container terminated before: Error, exit status 3",
        "      user-container wrote last before its restart:",
        "        HADAL_STORE is not set; it is needed",
    ]


def test_a_store_whose_pod_is_begun_again_and_again_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readiness, "FALSE_FOR_S", 0.0)
    monkeypatch.setattr(readiness, "LOOK_EVERY_S", 0.0)
    store = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "store", "namespace": "hadal", "generation": 1},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "store"}}},
        "status": {"observedGeneration": 1},
    }
    waiting = {"name": "store", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    pod = {
        "metadata": {"name": "store-0"},
        "spec": {"containers": [{"name": "store"}]},
        "status": {"containerStatuses": [waiting]},
    }
    cluster = Answering(
        {"words": ["get", "-f"], "out": store},
        {"words": ["pods", "app=store"], "out": {"items": [pod]}},
        {"words": ["logs", "store-0", "--previous"], "out": "Read-only file system\n"},
    ).cluster
    with pytest.raises(Failed, match="StatefulSet/store can't get ready") as failure:
        wait_until_ready(cluster, [store], lambda *_: None)
    assert "Read-only file system" in str(failure.value)


def test_one_that_says_nothing_is_given_up_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "READY_WITHIN_S", 0.0)
    broker = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": "default"}}
    with pytest.raises(Failed, match=r"Broker/default isn't ready after \d+ s\n    it isn't there"):
        wait_until_ready(Answering().cluster, [broker], lambda *_: None)

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from scripts.deployment import requirements
from scripts.deployment.errors import NoCluster
from scripts.deployment.requirements import Found, Missing, survey
from tests.scripts.deployment.answering import Answering, Rule


def claim(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": spec,
    }


def storage_class(name: str, *, is_default: bool = False) -> dict[str, Any]:
    annotations = {requirements.DEFAULT_CLASS: "true"} if is_default else {}
    return {"metadata": {"name": name, "annotations": annotations}}


def lacking(check: Any, objects: list[dict[str, Any]], *rules: Rule) -> list[str]:
    found = Found(Answering(*rules).cluster, objects, (), {"Kubernetes": "v1.34.4"})
    missing: Iterator[Missing] = check(found)
    return [each.what for each in missing]


@pytest.mark.parametrize(
    ("spec", "classes", "missing"),
    [
        ({}, [storage_class("fast")], ["a default storage class for PersistentVolumeClaim/data"]),
        ({}, [storage_class("fast", is_default=True)], []),
        ({"storageClassName": "fast"}, [storage_class("fast")], []),
        (
            {"storageClassName": "slow"},
            [storage_class("fast")],
            ["the storage class slow of PersistentVolumeClaim/data"],
        ),
        (
            {"storageClassName": "", "volumeName": "disk"},
            [],
            ["the volume disk of PersistentVolumeClaim/data"],
        ),
    ],
)
def test_a_claim_needs_a_volume_or_a_class_that_makes_one(
    spec: dict[str, Any], classes: list[dict[str, Any]], missing: list[str]
) -> None:
    rule = {"words": ["get", "storageclasses"], "out": {"items": classes}}
    assert lacking(requirements.storage, [claim(**spec)], rule) == missing


def test_a_volume_of_the_overlays_own_is_there() -> None:
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"}, "spec": {}}
    bound = claim(storageClassName="", volumeName="disk")
    assert lacking(requirements.storage, [bound, volume]) == []


def test_a_volume_with_an_earlier_deployments_data_is_named() -> None:
    spec = {"accessModes": ["ReadWriteOnce"]}
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"}, "spec": spec}
    bound = claim(storageClassName="", volumeName="disk")
    for phase, missing in (("Bound", []), ("Released", ["disk"])):
        rule = {"words": ["persistentvolumes"], "out": {"items": [{**volume, "status": {"phase": phase}}]}}
        said = lacking(requirements.storage, [bound, volume], rule)
        assert [each.split()[2] for each in said] == missing


def namespaces(serving: str, eventing: str) -> list[Rule]:
    return [
        {
            "words": ["namespace", f"knative-{part}"],
            "out": {"metadata": {"labels": {"app.kubernetes.io/version": version}}},
        }
        for part, version in (("serving", serving), ("eventing", eventing))
    ]


def test_an_old_knative_is_named_and_one_built_from_source_is_taken() -> None:
    said = lacking(requirements.knative, [], *namespaces("1.9.2", "devel"))
    assert said == ["Knative Serving 1.23 or later (there is 1.9.2)"]
    assert lacking(requirements.knative, [], *namespaces("1.23.0", "v1.24.1")) == []


def test_a_cluster_without_knative_lacks_both_halves() -> None:
    refused = {"words": ["namespace"], "status": 1}
    assert lacking(requirements.knative, [], refused) == [
        "Knative Serving (no namespace knative-serving)",
        "Knative Eventing (no namespace knative-eventing)",
    ]


def test_an_old_kubernetes_is_named() -> None:
    found = Found(Answering().cluster, [], (), {"Kubernetes": "v1.30.1+k3s1"})
    assert [each.what for each in requirements.kubernetes(found)] == [
        "Kubernetes 1.33 or later (there is v1.30.1+k3s1)"
    ]


def test_no_cluster_is_no_list_of_what_it_lacks() -> None:
    refused = {"words": ["version"], "status": 1, "err": "connection refused\n"}
    with pytest.raises(NoCluster, match="no cluster answers: connection refused"):
        survey(Answering(refused).cluster, [], ())

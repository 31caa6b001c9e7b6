from __future__ import annotations

from typing import Any

import pytest

from scripts.deployment.features import needed_features

POD = "kubernetes.podspec-"


def service(**spec: Any) -> dict[str, Any]:
    template = {"spec": {"containers": [{"image": "dev.local/app"}], **spec}}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "app"},
        "spec": {"template": template},
    }


@pytest.mark.parametrize(
    ("spec", "needed"),
    [
        ({}, set()),
        ({"volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "s"}}]}, set()),
        ({"initContainers": [{"image": "dev.local/first"}]}, {f"{POD}init-containers"}),
        ({"nodeSelector": {"a": "b"}, "tolerations": []}, {f"{POD}nodeselector", f"{POD}tolerations"}),
        (
            {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "v", "readOnly": True}}]},
            {f"{POD}persistent-volume-claim"},
        ),
        (
            {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "v"}}]},
            {f"{POD}persistent-volume-claim", f"{POD}persistent-volume-write"},
        ),
        (
            {
                "containers": [
                    {
                        "image": "dev.local/app",
                        "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                    }
                ]
            },
            {f"{POD}fieldref"},
        ),
    ],
)
def test_what_is_off_by_default_is_told_from_the_manifest(spec: dict[str, Any], needed: set[str]) -> None:
    assert needed_features([service(**spec)]) == dict.fromkeys(needed, "Service/app")


def test_a_deployment_s_own_pods_need_none() -> None:
    deployment = service(nodeSelector={"a": "b"}) | {"apiVersion": "apps/v1", "kind": "Deployment"}
    assert needed_features([deployment]) == {}

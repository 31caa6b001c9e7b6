from __future__ import annotations

from typing import Any

import pytest

from scripts.node.admission.kafka import refusal

SINK: dict[str, Any] = {
    "topic": "dead-letters",
    "bootstrapServers": ["kafka:9092"],
    "numPartitions": 3,
    "replicationFactor": 3,
    "contentMode": "binary",
}


def sink(**changes: Any) -> dict[str, Any]:
    spec = {name: value for name, value in (SINK | changes).items() if value is not None}
    return {"apiVersion": "eventing.knative.dev/v1alpha1", "kind": "KafkaSink", "spec": spec}


def test_a_sink_as_documented_may_come_in() -> None:
    assert refusal(sink(auth={"secret": {"ref": {"name": "kafka"}}})) is None


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"topic": None}, "'topic' is a required property"),
        ({"topic": ""}, "spec.topic"),
        ({"numPartitions": 0}, "spec.numPartitions"),
        ({"numPartitions": "3"}, "spec.numPartitions"),
        ({"contentMode": "batched"}, "spec.contentMode"),
        ({"bootstrapServers": []}, "spec.bootstrapServers"),
        ({"partitions": 3}, "'partitions' was unexpected"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], where: str) -> None:
    assert where in (refusal(sink(**changes)) or "")

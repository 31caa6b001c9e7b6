"""The fields of KafkaSource and KafkaSink, whose definitions no package registry has.

What is known here is what Knative documents; a real cluster may refuse what passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema

_TEXT = {"type": "string", "minLength": 1}
_TEXTS = {"type": "array", "items": _TEXT, "minItems": 1}
_COUNT = {"type": "integer", "minimum": 1}
_OBJECT = {"type": "object"}


def _object(properties: Mapping[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": required,
        "additionalProperties": False,
    }


SCHEMAS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("eventing.knative.dev/v1alpha1", "KafkaSink"): _object(
        {
            "topic": _TEXT,
            "bootstrapServers": _TEXTS,
            "numPartitions": _COUNT,
            "replicationFactor": _COUNT,
            "contentMode": {"enum": ["binary", "structured"]},
            "auth": _object({"secret": _object({"ref": _object({"name": _TEXT}, ["name"])}, ["ref"])}, []),
        },
        ["topic", "bootstrapServers"],
    ),
    ("sources.knative.dev/v1", "KafkaSource"): _object(
        {
            "topics": _TEXTS,
            "bootstrapServers": _TEXTS,
            "consumerGroup": _TEXT,
            "consumers": {"type": "integer", "minimum": 0},
            "initialOffset": {"enum": ["earliest", "latest"]},
            "ordering": {"enum": ["ordered", "unordered"]},
            "net": _OBJECT,
            "delivery": _OBJECT,
            "sink": _OBJECT,
            "ceOverrides": _OBJECT,
        },
        ["topics", "bootstrapServers", "sink"],
    ),
}
"""The schema of `spec` by API version and kind."""


def refusal(manifest: Mapping[str, Any]) -> str | None:
    """Why a manifest of such a kind is refused; None if it isn't."""
    schema = SCHEMAS[manifest["apiVersion"], manifest["kind"]]
    errors = sorted(
        jsonschema.Draft202012Validator(schema).iter_errors(manifest.get("spec", {})),
        key=lambda e: e.json_path,
    )
    return "; ".join(f"spec{error.json_path[1:]}: {error.message}" for error in errors) or None

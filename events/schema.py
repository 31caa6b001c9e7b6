"""JSON Schemas (2020-12) of the facts, made of their dataclasses; ``events/schemas`` holds them as files."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from .fact import Fact, field_types, json_kind, optional_fields

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(fact_type: type[Fact]) -> dict[str, Any]:
    """The JSON Schema of a fact's data. Members that it doesn't name are allowed, as decoders ignore them."""
    summary = (fact_type.__doc__ or "").partition("\n")[0]
    head = {"$schema": DIALECT, "$id": f"urn:hadal:{fact_type.TYPE}", "title": fact_type.TYPE}
    return {**head, "description": summary, **_schema(fact_type)}


def _schema(annotation: Any) -> dict[str, Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return {}
    if origin is Annotated:
        rule = arguments[1]
        return {**_schema(arguments[0]), rule.keyword: rule.operand}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(argument) for argument in arguments]}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0])}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _schema(arguments[1])}
    if is_dataclass(annotation):
        return _object(annotation)
    return {"type": json_kind(annotation)}


def _object(record: Any) -> dict[str, Any]:
    optional = optional_fields(record)
    properties = {name: _schema(annotation) for name, annotation in field_types(record).items()}
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}

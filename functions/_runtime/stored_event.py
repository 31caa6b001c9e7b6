"""An event as two columns: its attributes as JSON, its data as the bytes they are."""

from __future__ import annotations

import base64
from typing import Any

import orjson

from events import CloudEvent

_BYTES = "base64"


def to_columns(event: CloudEvent) -> tuple[bytes, bytes | None]:
    """`event` as (attributes, data); nothing of it is lost or rewritten."""
    extensions = {
        name: {_BYTES: base64.b64encode(value).decode()} if isinstance(value, bytes) else value
        for name, value in event.extensions.items()
    }
    attributes = (
        event.id,
        event.source,
        event.type,
        event.subject,
        event.time,
        event.datacontenttype,
        event.dataschema,
        extensions,
    )
    return orjson.dumps(attributes), event.data


def from_columns(attributes: bytes, data: bytes | None) -> CloudEvent:
    """The event of `to_columns`."""
    id_, source, type_, subject, time, datacontenttype, dataschema, extensions = orjson.loads(attributes)
    return CloudEvent(
        id=id_,
        source=source,
        type=type_,
        subject=subject,
        time=time,
        datacontenttype=datacontenttype,
        dataschema=dataschema,
        data=data,
        extensions={name: _value(value) for name, value in extensions.items()},
    )


def _value(value: Any) -> str | int | bool | bytes:
    return base64.b64decode(value[_BYTES]) if isinstance(value, dict) else value

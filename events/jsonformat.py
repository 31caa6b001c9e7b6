"""The JSON event format and its batch format (CloudEvents JSON format 1.0.2)."""

from __future__ import annotations

import binascii
from base64 import b64encode
from collections.abc import Iterable
from typing import Any

import orjson

from . import grammar, jsontext
from .cloudevent import SPEC_VERSION, CloudEvent, canonical
from .errors import InvalidEvent, shown
from .validation import check_data, checked

JSON = "application/json"
_CODECS = {None: "utf-8", "utf-8": "utf-8", "us-ascii": "ascii", "iso-8859-1": "latin-1"}


def from_json(text: bytes) -> CloudEvent:
    """The event that a JSON object spells; InvalidEvent if it breaks the specification."""
    document = jsontext.parse(text)
    if not isinstance(document, dict) or jsontext.is_lossless(text, document):
        return from_dict(document)
    return _event(document, jsontext.members(text).get("data"))


def from_json_batch(text: bytes) -> list[CloudEvent]:
    """The events of a JSON array, which may be empty; InvalidEvent names the place of the first bad one."""
    documents = jsontext.parse(text)
    if not isinstance(documents, list):
        raise InvalidEvent(f"a batch is a JSON array of events; this is {_kind(documents)}")
    lossless = jsontext.is_lossless(text, documents)
    parts = documents if lossless else jsontext.elements(text)
    read = from_dict if lossless else from_json
    events = []
    for index, part in enumerate(parts):
        try:
            events.append(read(part))
        except InvalidEvent as error:
            raise InvalidEvent(f"event {index} of the batch: {error}", error.attribute) from None
    return events


def from_dict(document: Any) -> CloudEvent:
    """The event that a parsed JSON object is; InvalidEvent if it breaks the specification.

    An event with ``data`` but no ``datacontenttype`` gets ``application/json``, which is implied (3.1.2).
    """
    if not isinstance(document, dict):
        raise InvalidEvent(f"an event is a JSON object; this is {_kind(document)}")
    return _event(document, None)


def _event(document: dict[str, Any], data_text: bytes | None) -> CloudEvent:
    """``data_text`` is the member ``data`` as it was sent, where writing it again could differ."""
    attributes = dict(document)
    encoded = attributes.pop("data_base64", None)
    if "data" not in attributes:
        event = checked(attributes, None if encoded is None else _from_base64(encoded))
        check_data(event.data, event.datacontenttype)
        return event
    if encoded is not None:
        raise InvalidEvent("data and data_base64 are both there; an event has one of them or none", "data")
    value = attributes.pop("data")
    declared = attributes.get("datacontenttype")
    if declared is None:
        declared = attributes["datacontenttype"] = JSON
    if not isinstance(declared, str) or grammar.declares_json(declared):
        return checked(attributes, data_text or _dumps(value))
    return checked(attributes, _encoded_text(value, declared))


def _dumps(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        raise InvalidEvent("data is nested too deeply; 254 levels are taken", "data") from None


def _from_base64(value: object) -> bytes:
    if isinstance(value, str):
        try:
            return binascii.a2b_base64(value.encode("ascii"), strict_mode=True)
        except ValueError:  # binascii.Error and UnicodeEncodeError are ValueErrors
            pass
    raise InvalidEvent(f"data_base64 {shown(value)} is not padded Base64 (RFC 4648 section 4)", "data_base64")


def _encoded_text(value: object, datacontenttype: str) -> bytes:
    if not isinstance(value, str):
        raise InvalidEvent(
            f"data is {_kind(value)}, but datacontenttype {shown(datacontenttype)} is not JSON; "
            "send it as a string, or as Base64 in data_base64",
            "data",
        )
    charset = grammar.charset_of(datacontenttype)
    try:
        return value.encode(_CODECS[charset])
    except (KeyError, UnicodeEncodeError):
        raise InvalidEvent(
            f"data can't be encoded as charset {shown(charset)}; send it as Base64 in data_base64", "data"
        ) from None


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def to_json(event: CloudEvent) -> bytes:
    """The event as a JSON object. The event is known to be valid (see ``CloudEvent``)."""
    return orjson.dumps(_document(event))


def to_json_batch(events: Iterable[CloudEvent]) -> bytes:
    """The events as a JSON array."""
    return orjson.dumps([_document(event) for event in events])


def _document(event: CloudEvent) -> dict[str, Any]:
    document: dict[str, Any] = {
        "specversion": SPEC_VERSION,
        "id": event.id,
        "source": event.source,
        "type": event.type,
    }
    if event.subject is not None:
        document["subject"] = event.subject
    if event.time is not None:
        document["time"] = event.time
    if event.datacontenttype is not None:
        document["datacontenttype"] = event.datacontenttype
    if event.dataschema is not None:
        document["dataschema"] = event.dataschema
    for name, value in event.extensions.items():
        document[name] = canonical(value) if isinstance(value, bytes) else value
    if event.data is not None:
        _add_data(document, event.data, event.datacontenttype)
    return document


def _add_data(document: dict[str, Any], data: bytes, datacontenttype: str | None) -> None:
    if datacontenttype is not None and grammar.declares_json(datacontenttype):
        document["data"] = orjson.Fragment(data)
        return
    text = None if datacontenttype is None else _decoded_text(data, datacontenttype)
    if text is None:
        document["data_base64"] = b64encode(data).decode("ascii")
    else:
        document["data"] = text


def _decoded_text(data: bytes, datacontenttype: str) -> str | None:
    """The text of a textual media type, or None where the data is better carried as bytes."""
    essence = grammar.media_type_essence(datacontenttype)
    codec = _CODECS.get(grammar.charset_of(datacontenttype))
    if codec is None or not (essence.startswith("text/") or essence.endswith(("/xml", "+xml"))):
        return None
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        return None

"""The JSON event format and its batch format (CloudEvents JSON format 1.0.2)."""

from __future__ import annotations

import binascii
import re
from base64 import b64encode
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import orjson

from . import grammar, jsontext
from .cloudevent import SPEC_VERSION, CloudEvent, assembled, canonical
from .errors import InvalidEvent, shown
from .validation import check_data, check_recurrent, checked

JSON = "application/json"
_CHARACTER = r"[ !#-\[\]-~]"  # what stands for itself in a JSON string: all printable ASCII but " and \
_EXTENSION = f'"[a-z0-9]+":"{_CHARACTER}*"'
_PLAIN_HEAD_BYTES = 4_096
_PLAIN_HEAD = (
    rf'{{"specversion":"1\.0","id":"({_CHARACTER}+)","source":"({_CHARACTER}+)","type":"({_CHARACTER}+)"'
    rf'(?:,"subject":"({_CHARACTER}+)")?+(?:,"time":"({grammar.ORDINARY_TIMESTAMP})")?+'
    rf'(?:,"datacontenttype":"({_CHARACTER}+)")?+(?:,"dataschema":"({_CHARACTER}+)")?+'
    rf',(?:({_EXTENSION}(?:,{_EXTENSION})*),)?"data":'
)
"""An event as ``to_json`` writes it, as far as its data."""
_CODECS = {None: "utf-8", "utf-8": "utf-8", "us-ascii": "ascii", "iso-8859-1": "latin-1"}


def from_json(text: bytes) -> CloudEvent:
    """The event that a JSON object spells; InvalidEvent if it breaks the specification."""
    return _plain_event(text) or _any_event(text)


@cache
def _plain_head() -> Callable[[str], re.Match[str] | None]:
    return re.compile(_PLAIN_HEAD).match  # when first asked for: a function's start would wait for it


def _plain_event(text: bytes) -> CloudEvent | None:
    """The event of a text that is spelt as ``to_json`` spells most, if it is valid; None: it has to be read.

    A head that matches, before data that is JSON, makes a text that is.
    """
    head = _plain_head()(text[:_PLAIN_HEAD_BYTES].decode("latin-1"))
    if head is None or text[-1:] != b"}":
        return None
    event_id, source, event_type, subject, time, datacontenttype, dataschema, members = head.groups()
    data = text[head.end() : -1]
    try:
        orjson.loads(data)
        extensions = orjson.loads(f"{{{members or ''}}}")
        check_recurrent((tuple(extensions), source, event_type, datacontenttype, dataschema))
    except (orjson.JSONDecodeError, InvalidEvent):
        return None
    if members and members.count('"') != 4 * len(extensions):  # a name stands twice
        return None
    if datacontenttype is None:
        datacontenttype = JSON
    elif not grammar.declares_json(datacontenttype):
        return None
    return assembled(
        event_id, source, event_type, subject, time, datacontenttype, dataschema, data, extensions
    )


def _any_event(text: bytes) -> CloudEvent:
    document = jsontext.parse(text)
    if not isinstance(document, dict):
        raise _not_an_object(document)
    data_text = written = None
    try:
        if "data" in document:
            data_text = orjson.dumps(document["data"])
            document["data"] = orjson.Fragment(data_text)
        written = orjson.dumps(document)
    except TypeError:  # nested deeper than orjson writes
        pass
    if not jsontext.is_lossless(text, written):
        data_text = jsontext.members(text).get("data")
    return _event(document, data_text)


def from_dict(document: Any) -> CloudEvent:
    """The event that a parsed JSON object is; InvalidEvent if it breaks the specification."""
    if not isinstance(document, dict):
        raise _not_an_object(document)
    try:
        data_text = orjson.dumps(document["data"]) if "data" in document else None
    except TypeError:
        raise InvalidEvent("data is not JSON of at most 254 levels", "data") from None
    return _event(dict(document), data_text)


def from_json_batch(text: bytes) -> list[CloudEvent]:
    """The events of a JSON array, which may be empty; InvalidEvent names the place of the first bad one."""
    documents = jsontext.parse(text)
    if not isinstance(documents, list):
        raise InvalidEvent(f"a batch is a JSON array of events; this is {_kind(documents)}")
    lossless = jsontext.is_lossless(text, jsontext.written(documents))
    events = []
    for index, part in enumerate(documents if lossless else jsontext.elements(text)):
        try:
            events.append(from_dict(part) if lossless else from_json(part))
        except InvalidEvent as error:
            raise InvalidEvent(f"event {index} of the batch: {error}", error.attribute) from None
    return events


def _event(document: dict[str, Any], data_text: bytes | None) -> CloudEvent:
    """The event of a JSON object, which is used up, and of the text of its member ``data``."""
    document.pop("data", None)
    encoded = document.pop("data_base64", None)  # null: unset, as the specification's own JSON Schema has it
    if data_text is None:
        data = None if encoded is None else _from_base64(encoded)
        event = checked(document, data)
        check_data(data, event.datacontenttype)
        return event
    if encoded is not None:
        raise InvalidEvent("data and data_base64 are both there; an event has one of them or none", "data")
    declared = document.get("datacontenttype")
    if declared is None:
        document["datacontenttype"] = JSON  # implied (section 3.1.2); other modes have to say it
    elif declared != JSON and isinstance(declared, str) and not grammar.declares_json(declared):
        data_text = _encoded_text(data_text, declared)
    return checked(document, data_text)


def _not_an_object(value: object) -> InvalidEvent:
    return InvalidEvent(f"an event is a JSON object; this is {_kind(value)}")


def _from_base64(value: object) -> bytes:
    if isinstance(value, str):
        try:
            return binascii.a2b_base64(value.encode("ascii"), strict_mode=True)
        except ValueError:  # binascii.Error and UnicodeEncodeError are ValueErrors
            pass
    raise InvalidEvent(f"data_base64 {shown(value)} is not padded Base64 (RFC 4648 section 4)", "data_base64")


def _encoded_text(data_text: bytes, datacontenttype: str) -> bytes:
    """The bytes of data that is text: the JSON string's characters in the charset of its media type."""
    value = orjson.loads(data_text)
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
    return orjson.dumps(_document(event), canonical)


def to_json_batch(events: Iterable[CloudEvent]) -> bytes:
    """The events as a JSON array."""
    return orjson.dumps([_document(event) for event in events], canonical)


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
    document.update(event.extensions)
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

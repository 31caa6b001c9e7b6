"""Whether an event keeps the CloudEvents 1.0.2 core specification, each refusal with its reason.

The rules are the specification's own: required attributes and non-empty values ("Context Attributes"), value
types ("Type System"), names ("Naming Conventions"). Decoders go through ``checked``; whoever makes an event
by hand calls ``validate``.
"""

from __future__ import annotations

from typing import Any

from . import grammar, jsontext
from .cloudevent import SPEC_VERSION, CloudEvent, assembled
from .errors import InvalidEvent, shown
from .grammar import is_ordinary_timestamp
from .remembered import remembered

REQUIRED = ("id", "source", "type")
OPTIONAL = ("subject", "time", "datacontenttype", "dataschema")
CORE_NAMES = frozenset({"specversion", *REQUIRED, *OPTIONAL})
RECURRENT = ("source", "type", "datacontenttype", "dataschema")
"""The attributes whose values are few, and the same in many events."""
_INTEGERS = range(-(2**31), 2**31)


def validate(event: CloudEvent) -> None:
    """Raise InvalidEvent, which names the attribute, unless the event keeps the whole specification."""
    for name in event.extensions:
        check_extension_name(name)
    if event.data is not None and not isinstance(event.data, bytes):
        raise InvalidEvent(f"data is a {type(event.data).__name__}; it must be bytes or None", "data")
    core = {name: getattr(event, name) for name in (*REQUIRED, *OPTIONAL)}
    checked({"specversion": SPEC_VERSION, **core, **event.extensions}, event.data)
    check_data(event.data, event.datacontenttype)


def check_data(data: bytes | None, datacontenttype: str | None) -> None:
    """Raise InvalidEvent where data is declared to be JSON (JSON format 3.1.1) and isn't."""
    if data is not None and datacontenttype is not None and grammar.declares_json(datacontenttype):
        jsontext.parse(data, "data")


def checked(attributes: dict[str, Any], data: bytes | None) -> CloudEvent:
    """The event with these attributes (by name, ``specversion`` among them; None is unset) and this data.

    Raises InvalidEvent, which names the attribute, unless they keep the specification. Data isn't looked at.

    Nearly all events have only strings, and what recurs in them was valid before. Those take a fifth of the
    time; whatever isn't plainly valid is looked at one by one.
    """
    extensions = attributes.copy()
    take = extensions.pop
    try:
        version, event_id, source, event_type = take("specversion"), take("id"), take("source"), take("type")
        subject, time = take("subject", None), take("time", None)
        datacontenttype, dataschema = take("datacontenttype", None), take("dataschema", None)
        own = event_id + "".join(extensions.values()) + ("" if subject is None else subject)
        if (
            version == SPEC_VERSION
            and event_id
            and subject != ""
            and (time is None or is_ordinary_timestamp(time))
            and own.isprintable()
        ):
            check_recurrent((tuple(extensions), source, event_type, datacontenttype, dataschema))
            return assembled(
                event_id, source, event_type, subject, time, datacontenttype, dataschema, data, extensions
            )
    except (KeyError, TypeError, InvalidEvent):  # one is missing, is no string, or isn't valid
        pass
    return _event(_checked_one_by_one(attributes), data)


@remembered
def check_recurrent(texts: tuple[tuple[str, ...], str, str, str | None, str | None]) -> None:
    """Raise InvalidEvent unless extensions may have these names and ``RECURRENT`` these values."""
    extensions, *values = texts
    for name in extensions:
        check_extension_name(name)
    for name, value in zip(RECURRENT, values, strict=True):
        if value is not None or name in REQUIRED:
            check_core_value(name, value)


def may_name_an_extension(name: str) -> bool:
    """Whether an attribute beside the core ones may have this name."""
    return grammar.is_name(name) and name != "data" and name not in CORE_NAMES


def _checked_one_by_one(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes that are set; InvalidEvent about the first that breaks the specification."""
    check_version(attributes.get("specversion"))
    for name in REQUIRED:
        if attributes.get(name) is None:
            raise InvalidEvent(f"{name} is missing; every event has a non-empty {name}", name)
    for name, value in attributes.items():
        if name not in CORE_NAMES:
            check_extension_name(name)
            if value is not None:
                check_extension_value(name, value)
        elif value is not None:
            check_core_value(name, value)
    return {name: value for name, value in attributes.items() if value is not None}


def _event(attributes: dict[str, Any], data: bytes | None) -> CloudEvent:
    get = attributes.get
    return CloudEvent(
        attributes["id"],
        attributes["source"],
        attributes["type"],
        get("subject"),
        get("time"),
        get("datacontenttype"),
        get("dataschema"),
        data,
        {name: value for name, value in attributes.items() if name not in CORE_NAMES},
    )


def check_version(version: object) -> None:
    """Raise InvalidEvent unless it is the version of the specification that is read here."""
    if version != SPEC_VERSION:
        found = "is missing" if version is None else f"is {shown(version)}"
        raise InvalidEvent(f'specversion {found}; it must be "{SPEC_VERSION}"', "specversion")


def check_core_value(name: str, value: object) -> None:
    """Raise InvalidEvent unless the core attribute ``name`` may have this value, which is set."""
    if not isinstance(value, str):
        raise InvalidEvent(f"{name} is {shown(value)}; it must be a string", name)
    if not value:
        raise InvalidEvent(f"{name} is empty; it must have at least one character", name)
    _check_string(name, value)
    if name in _GRAMMARS:
        holds, wanted = _GRAMMARS[name]
        if not holds(value):
            raise InvalidEvent(f"{name} {shown(value)} is not {wanted}", name)


_GRAMMARS = {
    "source": (grammar.is_uri_reference, "a URI-reference (RFC 3986 section 4.1)"),
    "time": (grammar.is_timestamp, "an RFC 3339 timestamp such as 2018-04-05T17:31:00Z"),
    "datacontenttype": (grammar.is_media_type, "a media type (RFC 2046) such as application/json"),
    "dataschema": (grammar.is_absolute_uri, "an absolute URI (RFC 3986 4.3: a scheme, no fragment)"),
}


def _check_string(name: str, value: str) -> None:
    if not grammar.is_string(value):
        raise InvalidEvent(
            f"{name} {shown(value)} has a character that a CloudEvents String may not have "
            "(a control character, a lone surrogate or a Unicode noncharacter)",
            name,
        )


def check_extension(name: str, value: object) -> None:
    """Raise InvalidEvent unless it may be an extension."""
    check_extension_name(name)
    check_extension_value(name, value)


def check_extension_name(name: str) -> None:
    """Raise InvalidEvent unless an attribute beside the core ones may have this name."""
    if not grammar.is_name(name):
        raise InvalidEvent(f"{shown(name)} can't name an attribute; a name has only a-z and 0-9", name)
    if not may_name_an_extension(name):
        raise InvalidEvent(f"{name} has its own place in an event; it can't be an extension", name)


def check_extension_value(name: str, value: object) -> None:
    """Raise InvalidEvent unless the value is of the type system: String, Integer, Boolean or Binary."""
    if isinstance(value, str):
        _check_string(name, value)
    elif isinstance(value, int):
        if value not in _INTEGERS:
            raise InvalidEvent(f"{name} is {shown(value)}; an Integer has 32 bits, with its sign", name)
    elif not isinstance(value, bytes):
        raise InvalidEvent(
            f"{name} is {shown(value)}; an extension is a string, boolean or whole number", name
        )

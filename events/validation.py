"""Whether an event keeps the CloudEvents 1.0.2 core specification, each refusal with its reason.

The rules are the specification's own: required attributes and non-empty values ("Context Attributes"), value
types ("Type System"), names ("Naming Conventions"). Decoders go through ``checked``; whoever makes an event
by hand calls ``validate``.
"""

from __future__ import annotations

from collections.abc import Mapping

from . import grammar, jsontext
from .cloudevent import SPEC_VERSION, CloudEvent, ExtensionValue
from .errors import InvalidEvent, shown

CORE_NAMES = frozenset(
    {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"}
)
_INTEGERS = range(-(2**31), 2**31)


def validate(event: CloudEvent) -> None:
    """Raise InvalidEvent, which names the attribute, unless the event keeps the whole specification."""
    core = {name: getattr(event, name) for name in CORE_NAMES - {"specversion"}}
    for name in event.extensions:
        check_extension_name(name)
    if event.data is not None and not isinstance(event.data, bytes):
        raise InvalidEvent(f"data is a {type(event.data).__name__}; it must be bytes or None", "data")
    checked({"specversion": SPEC_VERSION, **core, **event.extensions}, event.data)
    check_data(event.data, event.datacontenttype)


def checked(attributes: Mapping[str, object], data: bytes | None) -> CloudEvent:
    """The event with these attributes (by name, ``specversion`` among them; None is unset) and this data.

    Raises InvalidEvent, which names the attribute, unless they keep the specification. Data isn't looked at.
    """
    if attributes.get("specversion") != SPEC_VERSION:
        raise _wrong_version(attributes)
    core: dict[str, str] = {}
    extensions: dict[str, ExtensionValue] = {}
    for name, value in attributes.items():
        if value is None:
            if name not in CORE_NAMES:
                check_extension_name(name)
        elif name in CORE_NAMES:
            core[name] = _core_value(name, value)
        else:
            extensions[name] = check_extension(name, value)
    event = CloudEvent(
        _required(core, "id"),
        _required(core, "source"),
        _required(core, "type"),
        core.get("subject"),
        core.get("time"),
        core.get("datacontenttype"),
        core.get("dataschema"),
        data,
        extensions,
    )
    _check_grammars(event)
    return event


def _wrong_version(attributes: Mapping[str, object]) -> InvalidEvent:
    version = attributes.get("specversion")
    found = "is missing" if version is None else f"is {shown(version)}"
    return InvalidEvent(f'specversion {found}; it must be "{SPEC_VERSION}"', "specversion")


def _required(core: Mapping[str, str], name: str) -> str:
    if name not in core:
        raise InvalidEvent(f"{name} is missing; every event has a non-empty {name}", name)
    return core[name]


def _core_value(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidEvent(f"{name} is {shown(value)}; it must be a string", name)
    if not value:
        raise InvalidEvent(f"{name} is empty; it must have at least one character", name)
    if not grammar.is_string(value):
        raise _forbidden_character(name, value)
    return value


def _forbidden_character(name: str, value: str) -> InvalidEvent:
    return InvalidEvent(
        f"{name} {shown(value)} has a character that a CloudEvents String may not have "
        "(a control character, a lone surrogate or a Unicode noncharacter)",
        name,
    )


def _check_grammars(event: CloudEvent) -> None:
    if not grammar.is_uri_reference(event.source):
        raise InvalidEvent(f"source {shown(event.source)} is not a URI-reference (RFC 3986)", "source")
    if event.time is not None and not grammar.is_timestamp(event.time):
        raise InvalidEvent(
            f"time {shown(event.time)} is not an RFC 3339 timestamp such as 2018-04-05T17:31:00Z", "time"
        )
    if event.datacontenttype is not None and not grammar.is_media_type(event.datacontenttype):
        raise InvalidEvent(
            f"datacontenttype {shown(event.datacontenttype)} is not a media type (RFC 2046)",
            "datacontenttype",
        )
    if event.dataschema is not None and not grammar.is_absolute_uri(event.dataschema):
        raise InvalidEvent(
            f"dataschema {shown(event.dataschema)} is not an absolute URI (RFC 3986 4.3; no fragment)",
            "dataschema",
        )


def check_extension(name: str, value: object) -> ExtensionValue:
    """The value, if it and the name may be an extension's; else InvalidEvent."""
    check_extension_name(name)
    if isinstance(value, str):
        if not grammar.is_string(value):
            raise _forbidden_character(name, value)
        return value
    if isinstance(value, int):
        if value not in _INTEGERS:
            raise InvalidEvent(f"{name} is {shown(value)}; an Integer has 32 bits, with its sign", name)
        return value
    if isinstance(value, bytes):
        return value
    raise InvalidEvent(f"{name} is {shown(value)}; an extension is a string, boolean or whole number", name)


def check_extension_name(name: str) -> None:
    """Raise InvalidEvent unless an attribute beside the core ones may have this name."""
    if not grammar.is_name(name):
        raise InvalidEvent(f"{shown(name)} can't name an attribute; a name has only a-z and 0-9", name)
    if name == "data" or name in CORE_NAMES:
        raise InvalidEvent(f"{name} has its own place in an event; it can't be an extension", name)


def check_data(data: bytes | None, datacontenttype: str | None) -> None:
    """Raise InvalidEvent where data is declared to be JSON (JSON format 3.1.1) and isn't."""
    if data is not None and datacontenttype is not None and grammar.declares_json(datacontenttype):
        jsontext.parse(data, "data")

"""The grammars that attribute values follow, each a predicate over text.

Sources: CloudEvents 1.0.2 core, "Type System" and "Naming Conventions"; RFC 3339 sections 5.6 and 5.7;
RFC 3986 appendix A; RFC 2045 section 5.1 and RFC 2046 (media types). The patterns spell out ASCII ranges,
because Python's own classes of digits and letters take in other scripts. Nearly all are compiled when first
asked for, as a function's start would wait for them; ``re`` keeps what it has compiled.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import AddressValueError, IPv6Address

from .remembered import remembered

_NAME = r"[a-z0-9]+"

# U+FDD0..U+FDEF and the last two code points of each plane are Unicode's noncharacters.
_PLANE_ENDS = "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))
_DISALLOWED = f"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_PLANE_ENDS}]"

_TIMESTAMP = (
    r"([0-9]{4})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"[Tt]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]|60)(?:\.[0-9]+)?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)

# What nearly all timestamps are: on a day that its month has in every year, without a leap second.
ORDINARY_TIMESTAMP = (
    r"[0-9]{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
is_ordinary_timestamp = re.compile(ORDINARY_TIMESTAMP).fullmatch

_UNRESERVED_SUB = r"A-Za-z0-9\-._~!$&'()*+,;="
_ESCAPE = r"%[0-9A-Fa-f]{2}"
_PCHAR = rf"(?:[{_UNRESERVED_SUB}:@]|{_ESCAPE})"
_SEGMENTS = rf"(?:/{_PCHAR}*)*"
_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]*:"
_AUTHORITY = (
    rf"//(?:(?:[{_UNRESERVED_SUB}:]|{_ESCAPE})*@)?"
    rf"(?:\[(?:(?P<ipv6>[0-9A-Fa-f:.]+)|[vV][0-9A-Fa-f]+\.[{_UNRESERVED_SUB}:]+)\]|(?:[{_UNRESERVED_SUB}]|{_ESCAPE})*)"
    rf"(?::[0-9]*)?{_SEGMENTS}"
)
_ABSOLUTE_PATH = rf"/(?:{_PCHAR}+{_SEGMENTS})?"
_ROOTLESS_PATH = rf"{_PCHAR}+{_SEGMENTS}"
_PATH_WITHOUT_COLON = rf"(?:[{_UNRESERVED_SUB}@]|{_ESCAPE})+{_SEGMENTS}"
_QUERY = rf"(?:\?(?:{_PCHAR}|[/?])*)?"
_FRAGMENT = rf"(?:#(?:{_PCHAR}|[/?])*)?"
_ABSOLUTE_URI = rf"{_SCHEME}(?:{_AUTHORITY}|{_ABSOLUTE_PATH}|{_ROOTLESS_PATH}|){_QUERY}"
_URI = _ABSOLUTE_URI + _FRAGMENT
_RELATIVE_REFERENCE = rf"(?:{_AUTHORITY}|{_ABSOLUTE_PATH}|{_PATH_WITHOUT_COLON}|){_QUERY}{_FRAGMENT}"

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 (a grammar's token, not a secret)
_QUOTED = r'"(?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t\x20-\x7e])*"'
_MEDIA_TYPE = rf"({_TOKEN}/{_TOKEN})(?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|{_QUOTED}))*"
_CHARSET = rf';[ \t]*charset="?({_TOKEN})"?'


@remembered
def is_name(text: str) -> bool:
    """Whether it may name an attribute: lower-case ASCII letters and digits, at least one.

    The specification's 20 characters are a SHOULD; longer names are taken.
    """
    return re.fullmatch(_NAME, text) is not None


def is_string(text: str) -> bool:
    """Whether it is a CloudEvents String: no control characters, no surrogates, no Unicode noncharacters."""
    # Everything that the type forbids is unprintable, so the cheap test answers for nearly every value.
    return text.isprintable() or re.search(_DISALLOWED, text) is None


def is_timestamp(text: str) -> bool:
    """Whether it is an RFC 3339 date-time, the day within its month and second 60 only where one can be.

    A leap second can only be the last second, in UTC, of a month (RFC 3339 section 5.7).
    """
    if is_ordinary_timestamp(text):
        return True
    match = re.fullmatch(_TIMESTAMP, text)
    if match is None:
        return False
    return _is_calendar_day(match) and (match[6] != "60" or _ends_a_utc_month(match))


def _is_calendar_day(match: re.Match[str]) -> bool:
    # 400 years later is the same calendar; year 0000 is in the grammar but not in Python's calendar.
    return int(match[3]) <= monthrange(int(match[1]) + 400, int(match[2]))[1]


def _ends_a_utc_month(match: re.Match[str]) -> bool:
    offset = timedelta(hours=int(match[8] or 0), minutes=int(match[9] or 0)) * (-1 if match[7] == "-" else 1)
    year, month, day, hour, minute = (int(match[group]) for group in range(1, 6))
    instant = datetime(2000 + year % 400, month, day, hour, minute, tzinfo=timezone(offset)).astimezone(UTC)
    return (instant.hour, instant.minute) == (23, 59) and (instant + timedelta(minutes=1)).day == 1


@remembered
def is_absolute_uri(text: str) -> bool:
    """Whether it is an absolute URI, which has a scheme and no fragment (RFC 3986 section 4.3)."""
    match = re.fullmatch(_ABSOLUTE_URI, text)
    return match is not None and _has_valid_ipv6(match)


@remembered
def is_uri_reference(text: str) -> bool:
    """Whether it is a URI or a relative reference (RFC 3986 section 4.1)."""
    match = re.fullmatch(_RELATIVE_REFERENCE, text) or re.fullmatch(_URI, text)
    return match is not None and _has_valid_ipv6(match)


def _has_valid_ipv6(match: re.Match[str]) -> bool:
    if match["ipv6"] is None:
        return True
    try:
        IPv6Address(match["ipv6"])
    except AddressValueError:
        return False
    return True


@remembered
def is_media_type(text: str) -> bool:
    """Whether it is ``type/subtype`` with optional parameters (RFC 2045 5.1, RFC 9110 8.3.1)."""
    return re.fullmatch(_MEDIA_TYPE, text) is not None


def media_type_essence(text: str) -> str:
    """``type/subtype`` of a media type in lower case, without its parameters."""
    return text.partition(";")[0].strip(" \t").lower()


def charset_of(text: str) -> str | None:
    """The charset parameter of a media type in lower case, or None."""
    match = re.search(_CHARSET, text, re.IGNORECASE)
    return match[1].lower() if match else None


@remembered
def declares_json(text: str) -> bool:
    """Whether a media type has the form ``*/json`` or ``*/*+json`` (CloudEvents JSON format 3.1.1)."""
    subtype = media_type_essence(text).partition("/")[2]
    return subtype == "json" or subtype.endswith("+json")

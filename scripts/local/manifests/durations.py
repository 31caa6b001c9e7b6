"""The two notations of a length of time in Knative's manifests."""

from __future__ import annotations

import re

_GO_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_GO_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")
_ISO = re.compile(
    r"P(?:(?P<w>\d+(?:[.,]\d+)?)W)?(?:(?P<d>\d+(?:[.,]\d+)?)D)?"
    r"(?:T(?=\d)(?:(?P<h>\d+(?:[.,]\d+)?)H)?(?:(?P<m>\d+(?:[.,]\d+)?)M)?(?:(?P<s>\d+(?:[.,]\d+)?)S)?)?"
)
_ISO_UNITS_S = {"w": 604_800.0, "d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


def go_duration_s(text: str) -> float:
    """Seconds of Go's `time.ParseDuration` form: `90s`, `1h15m`, `0`. `ValueError` for anything else."""
    if text in ("0", "+0", "-0"):
        return 0.0
    sign, rest = (-1.0, text[1:]) if text[:1] == "-" else (1.0, text.removeprefix("+"))
    parts = _GO_PART.findall(rest)
    if not parts or "".join(number + unit for number, unit in parts) != rest:
        raise ValueError(f"{text!r} is no duration; write it as 90s, 15m or 1h30m")
    return sign * sum(float(number) * _GO_UNITS_S[unit] for number, unit in parts)


def iso_duration_s(text: str) -> float:
    """Seconds of an ISO 8601 duration: `PT0.2S`, `PT5M`, `P1D`. `ValueError` for anything else.

    Years and months have no fixed length and are refused.
    """
    match = _ISO.fullmatch(text)
    parts = {unit: number for unit, number in match.groupdict().items() if number} if match else {}
    if not parts:
        raise ValueError(f"{text!r} is no ISO 8601 duration; write it as PT0.2S, PT5M or P1D")
    return sum(float(number.replace(",", ".")) * _ISO_UNITS_S[unit] for unit, number in parts.items())

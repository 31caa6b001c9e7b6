"""Who gets which share of a Service's requests: everything to the newest revision, or a canary.

A canary is the newest revision with a share, and an address of its own by its tag; the revision that had the
requests before keeps the rest, by its name, until the canary is promoted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .objects import Manifest

TAG = "canary"
ALL = 100
Targets = list[dict[str, Any]]
NEWEST: Targets = [{"latestRevision": True, "percent": ALL}]


def targets(live: Manifest | None, *, is_changed: bool, percent: int) -> Targets:
    """`spec.traffic` of a Service whose newest revision shall have `percent` of the requests.

    `live` is the Service as it is now, None for a new one; `is_changed` is whether applying it makes a new
    revision.
    """
    before = stable(live)
    if percent == ALL or before is None or not (is_changed or has_canary(live)):
        return NEWEST
    return [
        {"revisionName": before, "latestRevision": False, "percent": ALL - percent},
        {"latestRevision": True, "percent": percent, "tag": TAG},
    ]


def has_canary(live: Manifest | None) -> bool:
    """Whether a canary is under way."""
    return any(each.get("tag") == TAG for each in _traffic(live, "spec"))


def stable(live: Manifest | None) -> str | None:
    """The revision that has the requests and is no canary; None where none has any."""
    serving = [
        each
        for each in _traffic(live, "status")
        if each.get("tag") != TAG and each.get("percent") and each.get("revisionName")
    ]
    most = max(serving, key=lambda each: int(each["percent"]), default=None)
    return None if most is None else str(most["revisionName"])


def with_traffic(manifest: Manifest, wanted: Targets) -> dict[str, Any]:
    """The Service with these targets."""
    return {**manifest, "spec": {**manifest["spec"], "traffic": wanted}}


def _traffic(live: Manifest | None, part: str) -> Sequence[Mapping[str, Any]]:
    targets: Sequence[Mapping[str, Any]] = ((live or {}).get(part) or {}).get("traffic") or ()
    return targets

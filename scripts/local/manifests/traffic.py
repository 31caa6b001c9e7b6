"""A Service's `traffic`, who gets which share of the requests, checked as Knative does (route_validation)."""

from __future__ import annotations

import re

from .fields import Fields
from .model import TrafficTarget

_TAG = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_REVISION = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


def read_traffic(spec: Fields) -> tuple[TrafficTarget, ...]:
    """The shares, which make up 100 %; empty where the manifest leaves it to Knative."""
    targets = [_target(fields) for fields in spec.items("traffic")]
    total = sum(target.percent for target in targets)
    if targets and total != 100:
        spec.fault("traffic", f"the shares make {total} %, and must make 100")
    tags = [target.tag for target in targets if target.tag]
    for tag in sorted({tag for tag in tags if tags.count(tag) > 1}):
        spec.fault("traffic", f"the tag {tag!r} stands twice")
    return tuple(targets)


def read_revision_name(metadata: Fields, service: str) -> str | None:
    """The name that a template gives its revision."""
    name = metadata.text("name") or None
    if name is not None and not (name.startswith(f"{service}-") and _REVISION.fullmatch(name)):
        metadata.fault("name", f"{name!r} must be a DNS label that begins with {service}-")
    return name


def _target(fields: Fields) -> TrafficTarget:
    name = fields.text("revisionName") or None
    latest = fields.boolean("latestRevision", default=name is None)
    if latest and name is not None:
        fields.fault("latestRevision", "must not be true where revisionName stands")
    if not latest and name is None:
        fields.fault("latestRevision", "must be true, or a revisionName stand beside it")
    if name is not None and not _REVISION.fullmatch(name):
        fields.fault("revisionName", f"{name!r} is no name of a revision")
    tag = fields.text("tag") or None
    if tag is not None and not _TAG.fullmatch(tag):
        fields.fault("tag", f"{tag!r} is no DNS label (RFC 1035): it becomes part of a host")
    target = TrafficTarget(fields.where, name, fields.integer("percent", 0, 0, 100) or 0, tag)
    fields.finish()
    return target

"""What every object has: a name, a namespace, labels and annotations."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .fields import Fields
from .model import SourceLocation

_LABEL_1123 = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True)
class Metadata:
    """An object's name and what is attached to it."""

    name: str
    namespace: str
    where: SourceLocation
    labels: dict[str, str]
    annotations: Fields


def read_metadata(manifest: Fields, *, dns_label: bool = False) -> Metadata:
    """Read `metadata`. `dns_label`: the name becomes part of a host, so it is a label of RFC 1035."""
    manifest.ignore("apiVersion", "kind")
    fields = manifest.fields("metadata")
    name = fields.required("name")
    if dns_label and name and not _LABEL_1035.fullmatch(name):
        fields.fault(
            "name",
            f"{name!r} is no DNS label (RFC 1035): a-z, 0-9 and -, a letter first, at most 63 characters",
        )
    elif name and not _SUBDOMAIN.fullmatch(name):
        fields.fault("name", f"{name!r} is no DNS name (RFC 1123): a-z, 0-9, - and ., at most 253 characters")
    namespace = fields.text("namespace", "default")
    if not _LABEL_1123.fullmatch(namespace):
        fields.fault("namespace", f"{namespace!r} is no DNS label (RFC 1123): a-z, 0-9 and -")
    labels = fields.text_map("labels")
    annotations = fields.fields("annotations")
    fields.finish()
    return Metadata(name, namespace, manifest.where, labels, annotations)

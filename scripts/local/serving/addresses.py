"""The names that Services are reached under: their own, and one for each tag of their traffic."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from scripts.local.manifests.model import Service


class Address(NamedTuple):
    """A Service, and the tag where it is reached by one."""

    service: str
    tag: str | None = None


def labels_of(services: Iterable[Service]) -> dict[tuple[str, str], Address]:
    """By the first two labels of the host: `<name>.<namespace>`, and `<tag>-<name>.<namespace>`.

    A Service whose own name is that of another's tag keeps it.
    """
    services = list(services)
    found = {
        (f"{target.tag}-{service.name}", service.namespace): Address(service.name, target.tag)
        for service in services
        for target in service.traffic
        if target.tag
    }
    return found | {(service.name, service.namespace): Address(service.name) for service in services}

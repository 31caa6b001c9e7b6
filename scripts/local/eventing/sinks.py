"""Where a `Destination` of a manifest leads, and what a SinkBinding tells a Service of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urljoin, urlsplit

from scripts.local.manifests.model import Broker, Destination, Manifests, Service, SinkBinding

from .classes import CLASSES

CLUSTER_SUFFIX = ".svc.cluster.local"
INGRESS_HOSTS = frozenset(klass.ingress_host for klass in CLASSES.values())


@dataclass(frozen=True, slots=True)
class Sink:
    """An address that events are sent to.

    Attributes:
        url: as functions and dead letters are told it.
        kind: a Service of the manifests, a Broker of theirs, or any other HTTP server.
        namespace, name: of the Service or Broker.
        host, port, target, tls: of the HTTP request.
    """

    url: str
    kind: Literal["service", "broker", "server"]
    namespace: str
    name: str
    host: str
    port: int
    target: bytes
    tls: bool = False


class SinkError(ValueError):
    """A destination that leads nowhere; the text says why and what would."""


class Sinks:
    """The destinations that the manifests know."""

    def __init__(self, manifests: Manifests) -> None:
        self._services = {(service.namespace, service.name): service for service in manifests.services}
        self._brokers = {(broker.namespace, broker.name): broker for broker in manifests.brokers}

    def resolve(self, destination: Destination, namespace: str) -> Sink:
        """The address of a destination that stands in an object of `namespace`. `SinkError`."""
        if destination.kind is None:
            if destination.uri is None:
                raise SinkError("neither ref nor uri stands here; one of them is needed")
            return self._of_url(destination.uri)
        owner = (destination.namespace or namespace, destination.name)
        known: Mapping[tuple[str, str], Broker | Service]
        known = self._services if destination.kind == "Service" else self._brokers
        found = known.get(owner)
        if found is None:
            names = ", ".join(f"{place}/{name}" for place, name in sorted(known)) or "none"
            raise SinkError(f"there is no {destination.kind} {owner[0]}/{owner[1]}; there are: {names}")
        url = url_of(found)
        return self._of_url(urljoin(url + "/", destination.uri) if destination.uri else url)

    def _of_url(self, url: str) -> Sink:
        try:
            parts = urlsplit(url)
            tls = parts.scheme == "https"
            host, port = (parts.hostname or "").lower(), parts.port or (443 if tls else 80)
        except ValueError:
            raise SinkError(f"{url!r} is no URL; write http://host:port/path") from None
        if parts.scheme not in ("http", "https") or not host:
            raise SinkError(f"{url!r} can't be sent to; write http://host:port/path or https://…")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not target.isascii() or any(character.isspace() for character in target):
            raise SinkError(f"{url!r} has characters that a URL percent-encodes")
        kind, namespace, name = self._owner(url, host, parts.path)
        return Sink(url, kind, namespace, name, host, port, target.encode(), tls)

    def _owner(
        self, url: str, host: str, path: str
    ) -> tuple[Literal["service", "broker", "server"], str, str]:
        if host in INGRESS_HOSTS:
            namespace, _, name = path.strip("/").partition("/")
            if (namespace, name) not in self._brokers:
                raise SinkError(
                    f"{url!r} names no Broker of the manifests; its path is /<namespace>/<broker>"
                )
            return "broker", namespace, name
        if not host.endswith(CLUSTER_SUFFIX):
            return "server", "", ""
        name, _, namespace = host.removesuffix(CLUSTER_SUFFIX).partition(".")
        if (namespace, name) not in self._services:
            raise SinkError(f"{url!r} names no Service of the manifests")
        return "service", namespace, name


def url_of(owner: Broker | Service) -> str:
    """The address of a Service or of a Broker's ingress, inside."""
    if isinstance(owner, Service):
        return f"http://{owner.host}"
    return f"http://{CLASSES[owner.klass].ingress_host}/{owner.namespace}/{owner.name}"


def sink_environment(service: Service, bindings: Iterable[SinkBinding], sinks: Sinks) -> dict[str, str]:
    """`K_SINK` and `K_CE_OVERRIDES` as the SinkBindings put them into a Service; nothing where none binds it.

    Where several bind it the last one counts, as the last of two variables of a name does. `SinkError`.
    """
    environment = {}
    for binding in bindings:
        if binding.binds(service):
            overrides = {"extensions": dict(binding.ce_overrides)} if binding.ce_overrides else None
            environment["K_SINK"] = sinks.resolve(binding.sink, binding.namespace).url
            environment["K_CE_OVERRIDES"] = json.dumps(overrides) if overrides else ""
    return environment

"""The two doors: one outside, for clients; one inside, for the functions themselves and for events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable

from scripts.local.http import Request
from scripts.local.manifests.model import Service

from .activator import Activator
from .addresses import Address, labels_of
from .proxy import forward, refuse

DEFAULT_SERVICE = "gateway"
LOOPBACK = frozenset((b"127.0.0.1", b"localhost", b"[::1]"))
HTTP = b"http://"

Handler = Callable[[Request], Awaitable[None] | None]


class Outer:
    """Serves what isn't cluster-local: by host (`<name>.<namespace>.<any domain>`), else the gateway."""

    def __init__(self, services: Iterable[Service], activator: Activator) -> None:
        self._activator = activator
        self.apply(services)

    def apply(self, services: Iterable[Service]) -> None:
        """Serve these from now on."""
        services = list(services)
        inside = {service.name for service in services if service.cluster_local}
        self._known: dict[tuple[bytes, bytes], Address | None] = {
            (name.encode(), namespace.encode()): None if address.service in inside else address
            for (name, namespace), address in labels_of(services).items()
        }
        default = Address(DEFAULT_SERVICE)
        self._default = default if default in self._known.values() else None

    def __call__(self, request: Request) -> Awaitable[None] | None:
        """Hand a request on, or answer 404."""
        host, target = _address(request)
        name, _, rest = host.partition(b".")
        address = self._known.get((name, rest.partition(b".")[0]), self._default)
        if address is None:
            refuse(request, 404, "no Service is reachable from outside under this host")
            return None
        return forward(request, self._activator, address, target, edge=True)


class Inner:
    """An HTTP proxy for the names inside, and for nothing else; and the Brokers' ingress."""

    def __init__(
        self,
        services: Collection[Service],
        activator: Activator,
        ingress: Handler,
        ingress_hosts: Iterable[str],
    ) -> None:
        self._activator = activator
        self._ingress = ingress
        self._brokers = LOOPBACK.union(*(_forms(host) for host in ingress_hosts))
        self.apply(services)

    def apply(self, services: Collection[Service]) -> None:
        """Serve these from now on."""
        hosts = {
            f"{name}.{namespace}.svc.cluster.local": address
            for (name, namespace), address in labels_of(services).items()
        }
        self._names = sorted(hosts)
        self._services = {form: address for host, address in hosts.items() for form in _forms(host)}

    def __call__(self, request: Request) -> Awaitable[None] | None:
        """Hand a request on, or answer 502."""
        host, target = _address(request)
        address = self._services.get(host)
        if address is not None:
            return forward(request, self._activator, address, target, edge=False)
        if host in self._brokers:
            request.target = target
            return self._ingress(request)
        name = host.decode("latin-1")
        refuse(request, 502, f"{name} is no name inside; there are {', '.join(self._names)}")
        return None


def _forms(host: str) -> frozenset[bytes]:
    """A name inside, and the shorter forms that a Pod's resolver completes."""
    labels = host.split(".")
    return frozenset(".".join(labels[:count]).encode() for count in (2, 3, len(labels)))


def _address(request: Request) -> tuple[bytes, bytes]:
    """The host that a request is for, in lower case and without a port, and the path it wants there.

    An absolute target goes before the Host field (RFC 9112 section 3.2.2).
    """
    target = request.target
    if target[:7].lower() == HTTP:
        authority, slash, path = target[7:].partition(b"/")
        query = b""
        if not slash and b"?" in authority:
            authority, _, query = authority.partition(b"?")
            query = b"?" + query
        host, target = authority.rpartition(b"@")[2], b"/" + path + query
    else:
        host = request.header(b"host") or b""
    return _without_port(host.lower()), target


def _without_port(host: bytes) -> bytes:
    if host.startswith(b"["):
        return host.partition(b"]")[0] + b"]"
    return host.partition(b":")[0].removesuffix(b".")

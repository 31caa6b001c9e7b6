"""The two doors of a cluster's ingress, found by its own objects and reached through the API server.

The Service `gateway` names the outer one, which clients come in by, and the inner one, by which functions
reach each other. `kubectl port-forward` leads to them from wherever the API server can be reached; requests
go by the Host header, as they do behind a real address.
"""

from __future__ import annotations

import http.client
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .cluster import Cluster
from .errors import Failed

ANSWERED_WITHIN_S = 300.0
_HOST = re.compile(r"([a-z0-9-]+)\.([a-z0-9-]+)\.svc(?:\.|$)")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of a Service."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Its body; an empty object where it is none of JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    def __str__(self) -> str:
        return f"{self.status} {self.body[:300].decode('utf-8', 'replace')}"


@dataclass(frozen=True, slots=True)
class Door:
    """An address, and the name that a Service is asked for there."""

    address: str
    port: int
    host: str

    def ask(
        self, method: str, path: str, body: object | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """What is answered; status 0 where nothing is."""
        sent = {"Host": self.host, "Content-Type": "application/json", **(headers or {})}
        connection = http.client.HTTPConnection(self.address, self.port, timeout=ANSWERED_WITHIN_S)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            response = connection.getresponse()
            return Answer(response.status, response.read())
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, f"no answer: {error}".encode())
        finally:
            connection.close()


@contextmanager
def outer_door(cluster: Cluster, namespace: str, ingress: str | None) -> Iterator[Door]:
    """The front door, at `ingress` (`http://address:port`) or wherever the cluster's ingress is. `Failed`."""
    service = cluster.read("get", _KSVC, "gateway", "-n", namespace, "-o", "json") or {}
    host = urlsplit(service.get("status", {}).get("url", "")).hostname
    if not host:
        raise Failed("the Service gateway has no address")
    if ingress:
        parts = urlsplit(ingress)
        yield Door(parts.hostname or "", parts.port or 80, host)
        return
    with _forwarded(cluster, *_balancer(cluster, namespace, "publicLoadBalancer")) as port:
        yield Door("127.0.0.1", port, host)


@contextmanager
def inner_door(cluster: Cluster, namespace: str, service: str) -> Iterator[Door]:
    """A function that can't be reached from outside. `Failed`."""
    with _forwarded(cluster, *_balancer(cluster, namespace, "privateLoadBalancer")) as port:
        yield Door("127.0.0.1", port, f"{service}.{namespace}.svc.cluster.local")


_KSVC, _INGRESS = "services.serving.knative.dev", "ingresses.networking.internal.knative.dev"


def _balancer(cluster: Cluster, namespace: str, which: str) -> tuple[str, str]:
    """The name and the namespace of the Kubernetes Service that is one of the ingress's doors."""
    ingress = cluster.read("get", _INGRESS, "gateway", "-n", namespace, "-o", "json") or {}
    points = ingress.get("status", {}).get(which, {}).get("ingress") or [{}]
    found = _HOST.match(points[0].get("domainInternal", ""))
    if not found:
        raise Failed(f"the ingress of gateway names no {which}; give the front door's address with --ingress")
    return found[1], found[2]


@contextmanager
def _forwarded(cluster: Cluster, name: str, namespace: str) -> Iterator[int]:
    """A port of this machine's loopback that leads to port 80 of a Kubernetes Service."""
    words = ("port-forward", "-n", namespace, f"service/{name}", ":80", "--address=127.0.0.1")
    process = subprocess.Popen(
        [*cluster.tools.kubectl, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None  # noqa: S101  it is a pipe
        said = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
        if not said:
            raise Failed(f"kubectl port-forward to {namespace}/{name} didn't start; try it by hand")
        yield int(said[1])
    finally:
        process.terminate()
        process.wait()

"""A server elsewhere in the place of a Service, as an ExternalName Service of Kubernetes is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from scripts.local.http import Client, ClientResponse
from scripts.local.http.head import Header

OURS = (b"host", b"authorization")
"""What a foreign server isn't sent: the name inside, and a token that is valid inside."""


@dataclass(frozen=True, slots=True)
class External:
    """An `http://` or `https://` address; paths are appended to its own."""

    url: str

    async def request(
        self,
        client: Client,
        method: bytes,
        target: bytes,
        headers: Iterable[Header],
        body: bytes | AsyncIterator[bytes],
        *,
        timeout_s: float | None,
    ) -> ClientResponse:
        """As `Client.request`, to this server."""
        parts = urlsplit(self.url)
        tls = parts.scheme == "https"
        fields = [field for field in headers if field[0] not in OURS]
        fields.append((b"host", parts.netloc.rpartition("@")[2].encode()))
        return await client.request(
            method,
            parts.hostname or "",
            parts.port or (443 if tls else 80),
            parts.path.rstrip("/").encode() + target,
            fields,
            body,
            timeout_s=timeout_s,
            tls=tls,
        )

    def status(self, name: str) -> dict[str, Any]:
        """Its row of the Services' status."""
        return {"name": name, "state": "external", "replicas": [], "url": self.url}

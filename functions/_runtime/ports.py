"""What handlers need of the world, in words of the domain. Adapters stand in `adapters/`.

Nothing here asks more of a store than the atomicity of a single document (or row set of one append), so that
SQLite, PostgreSQL and MongoDB all stand behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from events import CloudEvent


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """The present moment, in UTC."""
        ...


class Ids(Protocol):
    """New names for things."""

    def new(self, prefix: str) -> str:
        """A name never given before, `<prefix>_<32 hex digits>`; later ones sort after earlier ones."""
        ...


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event where it stands: `version` counts from 1 in its stream, `position` grows over the store."""

    stream: str
    version: int
    position: int
    event: CloudEvent


class EventStore(Protocol):
    """Streams of facts, and the outbox that is written with them.

    What `append` returned from is durable. The events of one append stand together or not at all, and each is
    in the outbox until `mark_published`.
    """

    async def append(self, stream: str, events: Sequence[CloudEvent], expected_version: int) -> int:
        """Add `events` behind version `expected_version` (0: the stream is new); return the new version.

        Twice: the second time is a `VersionConflict`. At most 1,000 events, and 16 MB, are sure to be taken
        at once.

        Raises:
            VersionConflict: the stream isn't at `expected_version`.
            PayloadTooLarge: there are too many events, or too large ones.
            Unavailable: the store can't be written now. Nothing was written, unless its answers were lost on
                the way several times; the next `read` tells, and the same append again is a conflict then.
        """
        ...

    async def read(self, stream: str, after_version: int = 0) -> list[Recorded]:
        """The stream's events behind `after_version`, in order; none if there is no such stream."""
        ...

    async def read_all(self, after_position: int, limit: int) -> list[Recorded]:
        """At most `limit` events of all streams behind `after_position`, in the order of position."""
        ...

    async def unpublished(self, limit: int) -> list[Recorded]:
        """The oldest events that are still in the outbox, in the order of position."""
        ...

    async def mark_published(self, events: Sequence[Recorded]) -> None:
        """Take `events` out of the outbox. Twice is harmless."""
        ...


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON object under a key, with the version that the next writer must name."""

    key: str
    version: int
    body: Mapping[str, Any]


class Documents(Protocol):
    """A collection of JSON documents with a few declared indexes."""

    async def get(self, key: str) -> Document | None:
        """The document, or None."""
        ...

    async def put(self, key: str, body: Mapping[str, Any], if_version: int | None) -> int:
        """Write the document if it is at `if_version`; return its new version.

        `if_version` 0: there must be none yet; None: whatever it is at.

        Raises:
            VersionConflict: it isn't at `if_version`.
            PayloadTooLarge: the body is over what the store takes, 16 MB at least.
            Unavailable: the store can't be written now. Nothing was written, unless its answers were lost on
                the way several times; the next `get` tells.
        """
        ...

    async def find(
        self, index: str, value: str, *, limit: int, after: str | None = None, descending: bool = False
    ) -> list[Document]:
        """Documents whose field `index` (declared with the collection) is `value`, by key.

        `after` is the key of the last document of the page before.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove the document. Twice is harmless."""
        ...


class Publisher(Protocol):
    """The way to the broker."""

    async def publish(self, event: CloudEvent) -> None:
        """Return when the broker has stored the event.

        Raises:
            Unprocessable: the broker refuses it for good.
            Unavailable: it hasn't; it may be tried again, consumers deduplicate by (source, id).
        """
        ...


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, by a verified token; nothing else in a request says who someone is."""

    subject: str
    tenant: str
    roles: frozenset[str]
    token: str

    def __repr__(self) -> str:
        return f"Principal({self.subject!r} of {self.tenant!r}, roles {sorted(self.roles)})"


class Identity(Protocol):
    """Tells who is behind a request."""

    async def authenticate(self, authorization: str | None) -> Principal:
        """Verify the `Authorization` header's bearer token.

        Raises:
            Unauthorized: none, or not a good one.
            Unavailable: the keys to verify it with can't be had now.
        """
        ...


class ServiceTokens(Protocol):
    """A function's own identity, for calls that it makes for itself."""

    async def token(self, tenant: str) -> str:
        """An access token for this function in `tenant`.

        Raises:
            Unavailable: `auth` is away.
        """
        ...

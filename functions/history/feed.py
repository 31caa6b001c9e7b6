"""All of chat's events from the start, as `chat` tells them to a function with a token of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from events import CloudEvent
from events.jsonformat import from_json
from functions._runtime.errors import BadGateway, Unavailable
from functions._runtime.outbound import HttpClient
from functions._runtime.ports import ServiceTokens

PAGE = 500
PAGE_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class ChatFeed:
    """Asks `GET /v1/events`; the feed is the same for every tenant's token of a function."""

    http: HttpClient
    url: str
    tokens: ServiceTokens
    tenant: str

    async def after(self, position: int) -> tuple[Sequence[CloudEvent], int]:
        """The next events behind `position` and the position of the last of them; none at the end."""
        answer = await self.http.request(
            "GET",
            f"{self.url}/v1/events?after={position}&limit={PAGE}",
            headers={"authorization": f"Bearer {await self.tokens.token(self.tenant)}"},
            timeout_s=PAGE_WITHIN_S,
        )
        if answer.status != 200:
            raise Unavailable(f"chat answered {answer.status} where its feed was asked for.")
        body = answer.json()
        try:
            return [from_json(orjson.dumps(event)) for event in body["events"]], int(body["last"])
        except (KeyError, TypeError, ValueError):
            raise BadGateway("chat answered with something that isn't its feed.") from None

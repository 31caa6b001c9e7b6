"""`Conversations` as the function `chat` tells them to a function with a token of its own."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from functions._runtime.errors import BadGateway, Unavailable
from functions._runtime.outbound import HttpClient
from functions._runtime.ports import ServiceTokens
from functions.summarize.handler import Context, Turn

CONTEXT_WITHIN_S = 15.0


@dataclass(frozen=True, slots=True)
class ChatService:
    """Asks `GET /v1/conversations/{id}/context`."""

    http: HttpClient
    url: str
    tokens: ServiceTokens

    async def context(self, tenant: str, conversation_id: str) -> Context | None:
        """What there is to condense; see the port."""
        token = await self.tokens.token(tenant)
        path = f"/v1/conversations/{quote(conversation_id, safe='')}/context?tenant={quote(tenant, safe='')}"
        answer = await self.http.request(
            "GET",
            self.url + path,
            headers={"authorization": f"Bearer {token}"},
            timeout_s=CONTEXT_WITHIN_S,
        )
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise Unavailable(f"chat answered {answer.status} where a conversation's context was asked for.")
        body = answer.json()
        try:
            return Context(
                body["summary"], [Turn(turn["version"], turn["messages"]) for turn in body["turns"]]
            )
        except (KeyError, TypeError):
            raise BadGateway("chat answered with something that isn't a conversation's context.") from None

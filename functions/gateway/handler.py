"""Consumes requests from outside, emits them to the function that answers: mistakes are cheapest here.

A caller is known by a credential only: no header that came says inside who someone is. A request goes on
with a short-lived token in the place of its credential, and with no other header than those named here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from functions._runtime.errors import BadRequest, NotFound, Unavailable
from functions._runtime.http import Handler, Request, Response, Route
from functions.gateway.chat_request import ID, checked
from functions.gateway.credentials import Credentials
from functions.gateway.models import Models
from functions.gateway.upstream import RETRY_AFTER_S, Upstream

JSON = "application/json"
_POSITION = re.compile(r"[0-9]{1,18}", re.ASCII)
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Gateway:
    """The front door."""

    credentials: Credentials
    models: Models
    inference: Upstream
    chat: Upstream
    history: Upstream
    auth: Upstream

    def routes(self) -> list[Route]:
        """The whole surface."""
        write, read, account = self._to(self.chat), self.read, self._to(self.auth)
        one, items = "/v1/conversations/{id}", "/v1/conversations/{id}/items"
        return [
            Route("POST", "/v1/chat/completions", self.complete, ends_with_client=True),
            Route("GET", "/v1/models", self.models.list, ends_with_client=True),
            Route("GET", "/v1/models/{name}", self.models.retrieve, ends_with_client=True),
            Route("GET", "/v1/models/{owner}/{name}", self.models.retrieve, ends_with_client=True),
            Route("POST", "/v1/conversations", write),
            Route("POST", one, write),
            Route("DELETE", one, write),
            Route("GET", "/v1/conversations", self._to(self.history)),
            Route("GET", one, read),
            Route("GET", items, read),
            Route("GET", items + "/{item_id}", read),
            Route("POST", "/v1/accounts", account),
            Route("GET", "/v1/accounts", account),
            Route("POST", "/v1/api_keys", account),
            Route("GET", "/v1/api_keys", account),
            Route("DELETE", "/v1/api_keys/{id}", account),
            Route("POST", "/v1/signing_keys/rotate", account),
            Route("GET", "/.well-known/jwks.json", self.key_set),
        ]

    async def complete(self, request: Request) -> Response:
        """`POST /v1/chat/completions`: in a stored conversation at `chat`, else at the model service."""
        token = await self.credentials.token(request.headers.get("authorization"))
        chat_request = checked(request.json_object())
        await self.models.check(chat_request.model)
        if chat_request.conversation is not None:
            return await self.chat.response("POST", request.path, _headers(request, token), request.body)
        # The token stays inside: any OpenAI-compatible server may stand in the model service's place.
        headers = {"content-type": JSON, "accept": request.headers.get("accept", "*/*")}
        return await self.inference.response("POST", request.path, headers, request.body)

    async def read(self, request: Request) -> Response:
        """A read of one conversation, at the position that its writer has reached."""
        headers = await self._known(request)
        path = _path(request)
        if "hadal-position" not in headers:
            headers["hadal-position"] = await self._position(request.path_params["id"], headers)
        return await self.history.response("GET", path, headers)

    async def key_set(self, request: Request) -> Response:
        """The keys that tokens are verified with; they are for everyone."""
        return await self.auth.response("GET", request.path, {"accept": JSON})

    def _to(self, upstream: Upstream) -> Handler:
        """A handler that passes requests of a known caller to `upstream`."""

        async def passed(request: Request) -> Response:
            headers = await self._known(request)
            if request.body:
                request.json_object()
            method = "GET" if request.method == "HEAD" else request.method
            return await upstream.response(method, _path(request), headers, request.body or None)

        return passed

    async def _known(self, request: Request) -> dict[str, str]:
        token = await self.credentials.token(request.headers.get("authorization"))
        return _headers(request, token)

    async def _position(self, conversation: str, headers: Mapping[str, str]) -> str:
        async with self.chat.ask("HEAD", f"/v1/conversations/{conversation}", headers) as answer:
            position = answer.headers.get("hadal-position", "")
        if answer.status == 404:
            raise NotFound("There is no such conversation.")
        if answer.status != 200 or not _POSITION.fullmatch(position):
            raise Unavailable("The conversation can't be read now; try again.", retry_after_s=RETRY_AFTER_S)
        return position


def _headers(request: Request, token: str) -> dict[str, str]:
    """What goes inside: the caller's token, and the few headers that mean something there."""
    headers = {"authorization": f"Bearer {token}", "accept": request.headers.get("accept", "*/*")}
    if request.body:
        headers["content-type"] = JSON
    for name, form in (("hadal-position", _POSITION), ("idempotency-key", _IDEMPOTENCY_KEY)):
        value = request.headers.get(name)
        if value is None:
            continue
        if not form.fullmatch(value):
            raise BadRequest(f"The header {name} has a value that can't be.", param=name)
        headers[name] = value
    return headers


def _path(request: Request) -> str:
    """The path and query inside. An id that no thing of ours can have is absent without a look."""
    if not all(ID.fullmatch(part) for part in request.path_params.values()):
        raise NotFound("There is nothing with this id.")
    return f"{request.path}?{urlencode(request.query)}" if request.query else request.path

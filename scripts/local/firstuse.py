"""What the runner asks of the functions: the first API key, another one, a rebuild, the model's name.

The functions are known by the Services of the manifests and by docs/contracts.md, not by their code.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

from .datafolder import DataFolder
from .http import HttpError
from .http.head import Header
from .serving import Activator

AUTH, HISTORY, INFERENCE = "auth", "history", "inference"
BOOTSTRAP_SECRET = ("hadal-bootstrap", "token")
CLIENT_SECRETS = "hadal-service-clients"
TENANT = "default"
MARK = "bootstrapped"
ANSWER_BYTES = 1_048_576
ASKED_FOR_S = 120.0
NAMESPACE = "hadal"

JSON = (b"content-type", b"application/json")
FORM = (b"content-type", b"application/x-www-form-urlencoded")


class Refused(Exception):
    """A function answered with an error; the text names it."""


class FirstUse:
    """Calls to the functions, each with the secret that it takes."""

    def __init__(self, activator: Activator, data: DataFolder, store_mark: str = "") -> None:
        self._activator = activator
        self._data = data
        self._mark = data.path / f"{MARK}{store_mark}"

    async def first_key(self) -> str | None:
        """The first admin's API key, made once in a store's life; None afterwards."""
        if self._mark.exists():
            return None
        status, answer = await self._call(AUTH, b"/bootstrap", [self._bootstrap_token()], b"")
        if status not in (201, 409):
            raise Refused(f"auth answered {status} to POST /bootstrap; its log says more")
        self._mark.touch()
        return str(answer["api_key"]) if status == 201 else None

    async def another_key(self, name: str) -> dict[str, Any]:
        """Another admin key."""
        body = json.dumps({"name": name, "role": "admin"}).encode()
        status, answer = await self._call(AUTH, b"/v1/api_keys", [self._bootstrap_token(), JSON], body)
        if status != 201:
            raise Refused(f"auth answered {status}: {answer.get('detail', 'its log says more')}")
        return {"api_key": answer["api_key"], "id": answer.get("id"), "name": name}

    async def rebuild(self) -> AsyncIterator[str]:
        """Have history build its read models anew; yields its answer as it comes."""
        headers = [await self._service_token(HISTORY), _host(HISTORY)]
        response = await self._activator.request(HISTORY, b"POST", b"/v1/rebuild", headers)
        try:
            if response.status >= 300:
                await response.read(ANSWER_BYTES)
                raise Refused(f"history answered {response.status} to POST /v1/rebuild; its log says more")
            async for piece in response.stream():
                yield piece.decode("utf-8", "replace")
        finally:
            response.close()

    async def model(self) -> str:
        """The id of the first model that is served."""
        status, answer = await self._call(INFERENCE, b"/v1/models", [], None)
        if status != 200 or not answer.get("data"):
            raise Refused(f"the model service answered {status} to GET /v1/models; its log says more")
        return str(answer["data"][0]["id"])

    def _bootstrap_token(self) -> Header:
        return (b"authorization", f"Bearer {self._data.secret(*BOOTSTRAP_SECRET)}".encode())

    async def _service_token(self, client: str) -> Header:
        form = {
            "grant_type": "client_credentials",
            "client_id": client,
            "client_secret": self._data.secret(CLIENT_SECRETS, client),
            "tenant": TENANT,
        }
        status, answer = await self._call(AUTH, b"/token", [FORM], urlencode(form).encode())
        if status != 200:
            raise Refused(f"auth answered {status} to POST /token; its log says more")
        return (b"authorization", f"Bearer {answer['access_token']}".encode())

    async def _call(
        self, service: str, target: bytes, headers: list[Header], body: bytes | None
    ) -> tuple[int, dict[str, Any]]:
        """GET, or POST where there is a body; the answer's JSON object."""
        method = b"GET" if body is None else b"POST"
        headers = [*headers, _host(service)]
        try:
            response = await self._activator.request(
                service, method, target, headers, body or b"", timeout_s=ASKED_FOR_S
            )
            answer = json.loads(await response.read(ANSWER_BYTES))
        except HttpError as error:
            raise Refused(f"{service} didn't answer: {error}") from None
        except ValueError:
            answer = {}
        return response.status, answer if isinstance(answer, dict) else {}


def _host(service: str) -> Header:
    return (b"host", f"{service}.{NAMESPACE}.svc.cluster.local".encode())

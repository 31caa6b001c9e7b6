"""The first API key, and a try of the whole through the front door, as a client would.

The functions are known by docs/contracts.md, not by their code.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from .cluster import Cluster
from .credentials import BOOTSTRAP, Credentials
from .doors import Answer, Door, inner_door, outer_door
from .errors import Failed

KNOWN_WITHIN_S = 120.0
"""How long an ingress may take to know a route that is ready, and a function to come from zero."""
TRY_AGAIN_S = 0.5
NOT_YET = (0, 404, 502, 503, 504)
BUSY = (503,)
"""Such as history, while a read model isn't yet where the reader has been."""
KEY_LIVES_S = 900
QUESTION = "What is the capital of France?"
Told = Callable[[str], None]


class FirstUse:
    """What is asked of a deployment once its functions are ready."""

    def __init__(
        self, cluster: Cluster, namespace: str, credentials: Credentials, ingress: str | None
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._credentials = credentials
        self._ingress = ingress

    def first_key(self) -> str | None:
        """The first admin's API key, made once in a store's life; None afterwards. `Failed`."""
        with inner_door(self._cluster, self._namespace, "auth") as auth:
            answer = _until_there(auth, "POST", "/bootstrap", {}, self._bootstrap())
        if answer.status not in (201, 409):
            raise Failed(f"auth answered {answer} to POST /bootstrap")
        return str(answer.json()["api_key"]) if answer.status == 201 else None

    def another_key(self, name: str, **more: int) -> dict[str, Any]:
        """Another admin's key, for instance when the first is lost: `api_key`, `id`. `Failed`."""
        with inner_door(self._cluster, self._namespace, "auth") as auth:
            wish = {"name": name, "role": "admin", **more}
            answer = _until_there(auth, "POST", "/v1/api_keys", wish, self._bootstrap())
        if answer.status != 201:
            raise Failed(f"auth made no API key: {answer}")
        return dict(answer.json())

    def smoke_test(self, told: Told) -> None:
        """With a key of its own: a completion, a conversation's turn, its reading. `Failed`."""
        made = self.another_key("smoke test", expires_in_s=KEY_LIVES_S)
        with outer_door(self._cluster, self._namespace, self._ingress) as front:
            client = _Client(front, {"Authorization": f"Bearer {made['api_key']}"}, told)
            try:
                client.go_through()
            finally:
                front.ask("DELETE", f"/v1/api_keys/{made.get('id')}", headers=client.headers)

    def _bootstrap(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._credentials.value(*BOOTSTRAP)}"}


class _Client:
    """One that has a key."""

    def __init__(self, front: Door, headers: dict[str, str], told: Told) -> None:
        self.headers = headers
        self._front = front
        self._told = told

    def go_through(self) -> None:
        """Each step as a client takes it."""
        _until_there(self._front, "GET", "/v1/models", None, self.headers)
        model = self._step("GET", "/v1/models", None, "the models")["data"][0]["id"]
        question = {
            "model": model,
            "messages": [{"role": "user", "content": QUESTION}],
            "max_tokens": 16,
            "temperature": 0,
        }
        answer = self._step("POST", _CHAT, question, "a chat completion")
        self._told(f"{model}: {answer['choices'][0]['message']['content']!r}")
        conversation = self._step("POST", "/v1/conversations", {}, "a conversation")["id"]
        turn = {**question, "conversation": conversation}
        self._step("POST", _CHAT, turn, "a conversation's turn")
        items = self._step("GET", f"/v1/conversations/{conversation}/items", None, "reading it back")["data"]
        if len(items) < 2:
            raise Failed(f"the conversation has {len(items)} items after a turn; history's log says more")
        self._step("DELETE", f"/v1/conversations/{conversation}", None, "deleting it")

    def _step(self, method: str, path: str, body: object, what: str) -> dict[str, Any]:
        began_s = time.monotonic()
        answer = _until(self._front, BUSY, method, path, body, self.headers)
        if not 200 <= answer.status < 300:
            raise Failed(f"smoke test, {what}: {method} {path} was answered {answer}")
        self._told(f"{what} ({time.monotonic() - began_s:.1f} s)")
        return dict(answer.json())


_CHAT = "/v1/chat/completions"


def _until_there(door: Door, method: str, path: str, body: object, headers: dict[str, str]) -> Answer:
    """An answer of the function itself, once the ingress knows the way to it."""
    return _until(door, NOT_YET, method, path, body, headers)


def _until(
    door: Door, passing: Sequence[int], method: str, path: str, body: object, headers: dict[str, str]
) -> Answer:
    """The first answer whose status isn't one that passes, or the last one in time."""
    ends_at_s = time.monotonic() + KNOWN_WITHIN_S
    while True:
        answer = door.ask(method, path, body, headers)
        if answer.status not in passing or time.monotonic() > ends_at_s:
            return answer
        time.sleep(TRY_AGAIN_S)

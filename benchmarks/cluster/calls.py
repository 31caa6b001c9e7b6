"""Calls to a front door, timed to their first token and to their end."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds from before the connection was made."""

    first_token_s: float
    whole_s: float


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """Where calls go: an address, and the host name that is asked for there (empty: the address's own)."""

    address: str
    api_key: str
    host: str = ""

    def models(self) -> list[str]:
        """The names of the models."""
        return [model["id"] for model in self._json("GET", "/v1/models")["data"]]

    def conversation(self) -> str:
        """A new conversation."""
        return str(self._json("POST", "/v1/conversations", {})["id"])

    def chat(self, model: str, **more: Any) -> Took:
        """One streamed answer."""
        messages = [{"role": "user", "content": "How deep is the hadal zone?"}]
        body = {"model": model, "messages": messages, "stream": True, "max_tokens": 4, **more}
        began_s = time.perf_counter()
        connection, answer = self._ask("POST", "/v1/chat/completions", body)
        first_s = 0.0
        for line in answer:
            if not first_s and b'"content":"' in line.replace(b" ", b""):
                first_s = time.perf_counter() - began_s
            if b'"error"' in line:
                raise RuntimeError(line.decode())
        connection.close()
        if not first_s:
            raise RuntimeError("a stream without a token")
        return Took(first_s, time.perf_counter() - began_s)

    def _json(self, method: str, path: str, body: object = None) -> Any:
        connection, answer = self._ask(method, path, body)
        said = json.load(answer)
        connection.close()
        return said

    def _ask(
        self, method: str, path: str, body: object
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        at = urlsplit(self.address)
        connection = http.client.HTTPConnection(at.hostname or "", at.port or 80, timeout=TIMEOUT_S)
        headers = {"authorization": f"Bearer {self.api_key}", "content-type": "application/json"}
        if self.host:
            headers["host"] = self.host
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.read()[:300]!r}")
        return connection, answer

"""The function of every scenario: it does what path, query, headers and environment tell it, and remembers.

It stands alone (the standard library and uvicorn), so that an image of it is this file. `GET` unless said:

/who                 which process and revision this is, and the most requests that it had at once
/env?name=…          its variables
/headers             the request's header fields
/sleep?s=…           /who, later
/stream?s=…&every=…  lines until then, the last one `end`
/crash               the process ends in the middle of the request
/ready               503 where UNREADY is set
/call?url=…          what a GET of a URL answers to this process
/events/LABEL (POST) an event: remembered, and answered as the query says, else its extension `answer`
/record              the events so far

CRASH set: it ends before it listens.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

PROCESS = uuid.uuid4().hex
CALL_TIMEOUT_S = 10.0
TEXT, JSON = "text/plain", "application/json"
RECORD: list[dict[str, Any]] = []
NOW = {"at_once": 0, "most_at_once": 0}


class Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers = [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]]
        self._query: dict[str, list[str]] = parse_qs(scope["query_string"].decode())
        self._receive = receive
        self._send = send

    def said(self, name: str, default: str = "") -> str:
        """What the query says."""
        return (self.all_said(name) or [default])[0]

    def all_said(self, name: str) -> list[str]:
        """All that the query says under a name."""
        return self._query.get(name, [])

    async def body(self) -> bytes:
        """The request's body."""
        body, more = b"", True
        while more:
            message = await self._receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        return body

    async def begin(self, status: int, headers: dict[str, str]) -> None:
        """Begin an answer."""
        fields = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": fields})

    async def piece(self, text: str, *, more: bool = True) -> None:
        """Send a part of it."""
        await self._send({"type": "http.response.body", "body": text.encode(), "more_body": more})

    async def answer(self, status: int, text: str = "", kind: str = TEXT) -> None:
        """Answer whole."""
        headers = {"content-length": str(len(text.encode()))} | ({"content-type": kind} if text else {})
        await self.begin(status, headers)
        await self.piece(text, more=False)

    async def answer_json(self, value: object) -> None:
        """Answer with JSON."""
        await self.answer(200, json.dumps(value), JSON)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI 3."""
    if scope["type"] != "http":
        return
    name, _, label = scope["path"].strip("/").partition("/")
    exchange = Exchange(scope, receive, send)
    NOW["at_once"] += 1
    NOW["most_at_once"] = max(NOW.values())
    try:
        if name == "events":
            await take_event(exchange, label)
        elif name in PATHS:
            await PATHS[name](exchange)
        else:
            await exchange.answer(404, f"there are {', '.join(PATHS)}\n")
    finally:
        NOW["at_once"] -= 1


async def who(exchange: Exchange) -> None:
    """Which process this is."""
    revision = os.environ.get("K_REVISION", "")
    await exchange.answer_json(
        {"process": PROCESS, "revision": revision, "most_at_once": NOW["most_at_once"]}
    )


async def env(exchange: Exchange) -> None:
    """Its variables."""
    await exchange.answer_json({name: os.environ.get(name) for name in exchange.all_said("name")})


async def headers(exchange: Exchange) -> None:
    """What came with the request."""
    await exchange.answer_json(exchange.headers)


async def sleep(exchange: Exchange) -> None:
    """Take its time."""
    await asyncio.sleep(float(exchange.said("s", "1")))
    await who(exchange)


async def stream(exchange: Exchange) -> None:
    """Answer piece by piece."""
    until = time.monotonic() + float(exchange.said("s", "1"))
    await exchange.begin(200, {"content-type": "text/event-stream"})
    while time.monotonic() < until:
        await exchange.piece(f"{os.environ.get('K_REVISION', '')}\n")
        await asyncio.sleep(float(exchange.said("every", "0.2")))
    await exchange.piece("end\n", more=False)


async def crash(exchange: Exchange) -> None:
    """End at once."""
    sys.stderr.write("told to crash\n")
    os._exit(3)


async def ready(exchange: Exchange) -> None:
    """What its readiness probe is answered."""
    await exchange.answer(503 if os.environ.get("UNREADY") else 200)


async def call(exchange: Exchange) -> None:
    """Ask another, as a function does."""
    await exchange.answer_json({"status": await asyncio.to_thread(_get, exchange.said("url"))})


def _get(url: str) -> int | None:
    try:
        with urllib.request.urlopen(url, timeout=CALL_TIMEOUT_S) as answer:  # noqa: S310  the scenario's own URL
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


async def record(exchange: Exchange) -> None:
    """What events it got, oldest first."""
    await exchange.answer_json(RECORD)


async def take_event(exchange: Exchange, label: str) -> None:
    """Remember an event, and answer it as told."""
    at_s, fields = time.monotonic(), dict(exchange.headers)
    body = (await exchange.body()).decode("utf-8", "replace")
    said = exchange.said("answer") or fields.get("ce-answer", "204")
    RECORD.append({"label": label, "at_s": at_s, "headers": fields, "body": body, "answer": said})
    match said.partition(":"):
        case "event", _, kind:
            await _reply(exchange, fields, kind)
        case "text", _, _:
            await exchange.answer(200, "taken")
        case "json", _, _:
            await exchange.answer(200, '{"taken": true}', JSON)
        case "big", _, size:
            await exchange.answer(503, "x" * int(size))
        case "sleep", _, seconds:
            await asyncio.sleep(float(seconds))
            await exchange.answer(204)
        case status, _, text:
            await exchange.answer(int(status), text)


async def _reply(exchange: Exchange, event: dict[str, str], kind: str) -> None:
    """Answer with an event of another type; the `answer` that it carries is for who gets it."""
    identity = {
        "ce-specversion": "1.0",
        "ce-id": f"{event['ce-id']}-r",
        "ce-source": "/probe",
        "ce-type": kind,
    }
    await exchange.begin(200, {**identity, "content-type": JSON})
    await exchange.piece('{"is": "a reply"}', more=False)


PATHS: dict[str, Callable[[Exchange], Awaitable[None]]] = {
    "who": who,
    "env": env,
    "headers": headers,
    "sleep": sleep,
    "stream": stream,
    "crash": crash,
    "ready": ready,
    "call": call,
    "record": record,
}


def main() -> None:
    """Serve until SIGTERM, and then finish what is being answered."""
    import uvicorn

    if os.environ.get("CRASH"):
        sys.exit("told to crash at the start")
    host = os.environ.get("HOST", "0.0.0.0")  # noqa: S104  in a container; the runner says 127.0.0.1
    uvicorn.run(app, host=host, port=int(os.environ.get("PORT", "8080")), log_level="warning")


if __name__ == "__main__":
    main()

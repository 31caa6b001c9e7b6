"""The model service as functions use it: chat completions of TGI's (and so OpenAI's) HTTP contract.

Behind it may stand TGI, vLLM, SGLang or `inference-svc`; nothing beyond `/v1/chat/completions` and `/info`
is asked.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson

from functions._runtime.errors import (
    BadGateway,
    BadRequest,
    NotFound,
    PayloadTooLarge,
    Problem,
    TooManyRequests,
    Unavailable,
    Unprocessable,
)
from functions._runtime.outbound import HttpClient, StreamedAnswer
from functions._runtime.sse import EventParser

INFO_TIMEOUT_S = 5.0
ERROR_LIMIT_BYTES = 64 * 1024
_DONE = b"[DONE]"
_MESSAGE_CHARACTERS = 500
_REFUSALS: dict[int, type[Problem]] = {
    400: BadRequest,
    404: NotFound,
    413: PayloadTooLarge,
    422: Unprocessable,
    429: TooManyRequests,
}


@dataclass(frozen=True, slots=True)
class Chunk:
    """One event of a stream: the `chat.completion.chunk`, and an event with the same data to pass on."""

    data: Mapping[str, Any]
    raw: bytes


@dataclass(frozen=True, slots=True)
class ModelClient:
    """The model service at `url`.

    What it refuses is raised as the problem with its status (400, 404, 413, 422, 429); that it can't be
    reached, hangs or is overloaded as `Unavailable`; that it fails or answers nonsense as `BadGateway`.

    Attributes:
        window_tokens_without_info: how long prompt and answer may be where the server has no `/info`.
        first_byte_s: how long an answer's head may take.
        gap_s: how long a stream may pause.
        whole_s: how long an answer that isn't streamed may take.
    """

    http: HttpClient
    url: str
    window_tokens_without_info: int = 8192
    first_byte_s: float = 120.0
    gap_s: float = 60.0
    whole_s: float = 300.0

    async def window_tokens(self) -> int:
        """How long prompt and answer together may be."""
        answer = await self.http.request("GET", f"{self.url}/info", timeout_s=INFO_TIMEOUT_S)
        if answer.status in (404, 405):
            return self.window_tokens_without_info
        if answer.status != 200:
            raise _problem(answer.status, answer.body)
        info = answer.json()
        window = info.get("max_total_tokens") if isinstance(info, dict) else None
        return window if isinstance(window, int) and window > 0 else self.window_tokens_without_info

    async def chat(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The whole `chat.completion` for `body`."""
        answer = await self.http.request(
            "POST",
            f"{self.url}/v1/chat/completions",
            headers={"content-type": "application/json"},
            body=orjson.dumps({**body, "stream": False}),
            timeout_s=self.whole_s,
        )
        if answer.status != 200:
            raise _problem(answer.status, answer.body)
        completion = answer.json()
        if not isinstance(completion, dict) or not completion.get("choices"):
            raise BadGateway("The model service answered with something that isn't a chat completion.")
        return completion

    async def stream_chat(self, body: Mapping[str, Any]) -> AsyncGenerator[Chunk, None]:
        """The chunks of the answer, up to its proper end: `[DONE]`, or a clean end behind a finish_reason.

        Closing the iterator closes the connection, which is how a server learns that nobody listens.
        """
        async with self.http.stream(
            "POST",
            f"{self.url}/v1/chat/completions",
            headers={"content-type": "application/json", "accept": "text/event-stream"},
            body=orjson.dumps({**body, "stream": True}),
            first_byte_s=self.first_byte_s,
            gap_s=self.gap_s,
        ) as answer:
            if answer.status != 200:
                raise _problem(answer.status, await answer.read(ERROR_LIMIT_BYTES))
            async with aclosing(_chunks(answer)) as chunks:
                async for chunk in chunks:
                    yield chunk


async def _chunks(answer: StreamedAnswer) -> AsyncGenerator[Chunk, None]:
    parser = EventParser()
    has_finished = False
    async with aclosing(answer.chunks()) as pieces:
        async for piece in pieces:
            for data in parser.feed(piece):
                if data == _DONE:
                    return
                chunk = _chunk(data)
                has_finished = has_finished or _finishes(chunk.data)
                yield chunk
    if not has_finished:
        raise BadGateway("The model service ended its answer in the middle.", code="model_broke_off")


def _chunk(data: bytes) -> Chunk:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise BadGateway("The model service sent something that isn't a chat completion chunk.")
    if "error" in document:
        raise BadGateway("The model service ended its answer with an error.", code="model_failed")
    return Chunk(document, b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n")


def _finishes(chunk: Mapping[str, Any]) -> bool:
    choices = chunk.get("choices")
    return isinstance(choices, list) and any(
        isinstance(choice, dict) and choice.get("finish_reason") for choice in choices
    )


def _problem(status: int, body: bytes) -> Problem:
    kind = _REFUSALS.get(status)
    if kind is not None:
        message = _message(body) or f"The model service refused the request ({status})."
        return kind(message, code="model_refused")
    if status == 503:
        return Unavailable("The model service isn't ready.", retry_after_s=1, code="model_unavailable")
    return BadGateway(f"The model service failed ({status}).", code="model_failed")


def _message(body: bytes) -> str | None:
    """Why the server refused: `{"error": text}` is TGI's form, `{"error": {"message": text}}` OpenAI's."""
    try:
        error = orjson.loads(body)["error"]
        text = error["message"] if isinstance(error, dict) else error
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return text[:_MESSAGE_CHARACTERS] if isinstance(text, str) else None

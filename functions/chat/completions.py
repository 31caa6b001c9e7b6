"""A recorded answer in the form of OpenAI's chat completions, and the frames of a stream.

Sources: OpenAI's API reference, "The chat completion object" and "… chunk object"; server-sent events.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson

from events.chat import TurnCompleted
from functions._runtime.errors import Problem
from functions.chat.context import message

DONE = b"data: [DONE]\n\n"


def completion(fact: TurnCompleted, time: str) -> dict[str, Any]:
    """The `chat.completion` that a turn was answered with; `time` is when it was recorded (RFC 3339)."""
    choice = {"index": 0, "message": message(fact.items[0]), "finish_reason": fact.finish_reason}
    return {**_head(fact, time, "chat.completion"), "choices": [choice], "usage": _usage(fact)}


def stream(fact: TurnCompleted, time: str, *, include_usage: bool) -> Iterator[bytes]:
    """The same answer as a stream's frames: the whole message in one chunk."""
    head = _head(fact, time, "chat.completion.chunk")
    delta = message(fact.items[0])
    calls = delta.get("tool_calls")
    if calls:
        delta["tool_calls"] = [{"index": index, **call} for index, call in enumerate(calls)]
    yield frame({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    yield frame({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": fact.finish_reason}]})
    if include_usage:
        yield frame({**head, "choices": [], "usage": _usage(fact)})
    yield DONE


def frame(value: Any) -> bytes:
    """One server-sent event with `value` as JSON."""
    return b"data: " + orjson.dumps(value) + b"\n\n"


def error_frame(problem: Problem) -> bytes:
    """How a stream ends that can't go on: OpenAI's error object, and no `[DONE]` behind it."""
    kind = "server_error" if problem.status >= 500 else "invalid_request_error"
    error = {"message": problem.message, "type": kind, "param": problem.param, "code": problem.code}
    return frame({"error": error})


def _head(fact: TurnCompleted, time: str, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{fact.turn_id}",
        "object": kind,
        "created": int(datetime.fromisoformat(time).timestamp()),
        "model": fact.model,
    }


def _usage(fact: TurnCompleted) -> dict[str, int]:
    prompt, completed = fact.usage.prompt_tokens, fact.usage.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": completed, "total_tokens": prompt + completed}

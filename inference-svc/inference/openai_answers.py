"""The OpenAI routes' answers, in the form that TGI 3 gives them."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from inference.engine.port import FinishReason
from inference.generation import AlternativeToken, GeneratedToken

Json = dict[str, Any]
_OPENAI_REASONS = {
    FinishReason.LENGTH: "length",
    FinishReason.EOS_TOKEN: "stop",
    FinishReason.STOP_SEQUENCE: "stop",
}


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read (of them found in the cache) and generated (of them reasoning); usages add up."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )

    def json(self) -> Json:
        """OpenAI's `usage`."""
        total = self.prompt_tokens + self.completion_tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": total,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
        }


@dataclass(frozen=True, slots=True)
class AnswerFrame:
    """What all parts of one answer have in common. `kind` is `chat.completion` or `text_completion`."""

    kind: str
    model: str
    system_fingerprint: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def json(self, choices: list[Json], usage: Usage | None, *, chunk: bool) -> Json:
        """The answer, or one chunk of it, around its choices."""
        chat = self.kind == "chat.completion"
        return {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{self.id}",
            "object": f"{self.kind}.chunk" if chat and chunk else self.kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.system_fingerprint,
            "choices": choices,
            "usage": usage.json() if usage else None,
        }


def finish_reason(token: GeneratedToken) -> str | None:
    """OpenAI's word for why the generation ended with this token; None where it goes on."""
    if token.end is None:
        return None
    reason = _OPENAI_REASONS[token.end.finish_reason]
    return "tool_calls" if token.end.called and reason == "stop" else reason


def chat_choice(index: int, tokens: list[GeneratedToken], *, logprobs: bool) -> Json:
    """A choice of a whole chat answer."""
    last = tokens[-1]
    calls = _calls(tokens)
    message: Json = {
        "role": "assistant",
        "content": _text(tokens, reasoning=False) or (None if calls else ""),
    }
    if any(token.reasoning for token in tokens):
        message["reasoning_content"] = _text(tokens, reasoning=True)
    if calls:
        message["tool_calls"] = [
            {name: value for name, value in call.items() if name != "index"} for call in calls
        ]
    return {
        "index": index,
        "message": message,
        "logprobs": _logprobs(tokens) if logprobs else None,
        "finish_reason": finish_reason(last),
    }


def chat_chunk_choice(index: int, tokens: list[GeneratedToken], *, first: bool, logprobs: bool) -> Json:
    """The choice of one chunk: what these tokens have released, of one part, and what they call."""
    part = "reasoning_content" if tokens[-1].reasoning else "content"
    text, calls = "".join(token.released for token in tokens), _calls(tokens)
    delta: Json = {"role": "assistant"} if first else {}
    if text or not calls:
        delta[part] = text
    if calls:
        delta["tool_calls"] = calls
    return {
        "index": index,
        "delta": delta,
        "logprobs": _logprobs(tokens) if logprobs else None,
        "finish_reason": finish_reason(tokens[-1]),
    }


def completion_choice(index: int, text: str, reason: str | None) -> Json:
    """A choice of `/v1/completions`, whole or as a chunk."""
    return {"index": index, "text": text, "logprobs": None, "finish_reason": reason}


def _calls(tokens: list[GeneratedToken]) -> list[Json]:
    """OpenAI's `tool_calls` of a chunk; `id`, `type` and `name` are in those that begin with these tokens."""
    calls: dict[int, Json] = {}
    for piece in (piece for token in tokens for piece in token.calls):
        call = calls.setdefault(piece.index, {"index": piece.index, "function": {"arguments": ""}})
        if piece.id is not None:
            call |= {"id": piece.id, "type": "function"}
            call["function"]["name"] = piece.name
        call["function"]["arguments"] += piece.arguments
    return list(calls.values())


def _text(tokens: list[GeneratedToken], *, reasoning: bool) -> str:
    return "".join(token.released for token in tokens if token.reasoning == reasoning)


def _logprobs(tokens: list[GeneratedToken]) -> Json:
    return {"content": [_logprob(token) for token in tokens if not (token.special or token.reasoning)]}


def _logprob(token: GeneratedToken) -> Json:
    return {**_token(token), "top_logprobs": [_token(other) for other in token.top]}


def _token(token: GeneratedToken | AlternativeToken) -> Json:
    return {"token": token.text, "logprob": token.logprob, "bytes": list(token.text.encode())}

"""The beginning of an answer, given by the caller, that the model goes on with.

The last message is the assistant's own, as in TGI, and may say `prefix: true`, as in DeepSeek's beta form. It
may break off inside its reasoning: behind an opening `<think>`, or with a `reasoning_content` alone. Source:
DeepSeek's API reference, "Chat Prefix Completion".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference.reasoning import CLOSING, OPENING


@dataclass(frozen=True, slots=True)
class Continuation:
    """What was thought so far (None: the template knows what to do about it) and what was said."""

    reasoning: str | None
    content: str

    @classmethod
    def of(cls, messages: Sequence[Mapping[str, Any]]) -> Continuation | None:
        """That of a chat; None where the model begins a message of its own."""
        last = messages[-1] if messages else {}
        if last.get("role") != "assistant" or last.get("tool_calls"):
            return None
        content = last.get("content") or ""
        before, mark, thought = content.rpartition(OPENING)
        if mark and not before.strip() and CLOSING not in thought:
            return cls(thought, "")
        if last.get("prefix") and last.get("reasoning_content"):
            return cls(last["reasoning_content"], content)
        return cls(None, content) if content else None

    @staticmethod
    def without_empty(messages: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """The messages but for a last one that says `prefix` and nothing else: it asks for an answer."""
        last = messages[-1] if messages else {}
        said = last.get("content") or last.get("reasoning_content") or last.get("tool_calls")
        return messages[:-1] if last.get("prefix") and not said else messages

    @property
    def is_thinking(self) -> bool:
        """Whether the next token belongs to the reasoning."""
        return self.reasoning is not None and not self.content

    def after(self, prompt: str) -> str:
        """A prompt that asks for a new message, and this beginning of it; the template may have opened it."""
        for mark in (CLOSING, OPENING):
            if prompt.rstrip().endswith(mark):
                prompt = prompt.rstrip().removesuffix(mark)
        thought = (self.reasoning or "").lstrip("\n")
        begun = f"{prompt}{OPENING}\n{thought}"
        return f"{begun}\n{CLOSING}\n\n{self.content}" if self.content else begun

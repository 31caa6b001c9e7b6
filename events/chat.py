"""The facts of a conversation: what its event stream is made of.

``chat`` emits all but one, in order of ``sequence`` within a conversation, as many times as its outbox needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .fact import Count, Fact, Identifier, Timestamp

CHAT = "/hadal/chat"
SUMMARIZE = "/hadal/summarize"


@dataclass(frozen=True, slots=True)
class Item:
    """One message of a conversation, as OpenAI's chat messages have it.

    ``content`` is text, a list of content parts, or None where the message only calls tools.
    """

    id: Identifier
    role: Identifier
    content: str | tuple[Mapping[str, Any], ...] | None
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: tuple[Mapping[str, Any], ...] | None = None
    reasoning_content: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a turn used, in the model's tokens."""

    prompt_tokens: Count
    completion_tokens: Count


@dataclass(frozen=True, slots=True)
class ConversationStarted:
    """Someone started a conversation, perhaps with first messages.

    Emitted by ``chat``. Twice is harmless: it is the first of its stream, known by ``sequence``.
    """

    TYPE: ClassVar[str] = "dev.hadal.chat.conversation_started.v1"
    SOURCE: ClassVar[str] = CHAT
    conversation_id: Identifier
    owner: Identifier
    metadata: Mapping[str, str]
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class ConversationUpdated:
    """The metadata of a conversation was replaced.

    Emitted by ``chat``. Twice is harmless: it carries the whole new metadata.
    """

    TYPE: ClassVar[str] = "dev.hadal.chat.conversation_updated.v1"
    SOURCE: ClassVar[str] = CHAT
    conversation_id: Identifier
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ConversationDeleted:
    """A conversation was deleted; nothing of it is shown to anyone from here on.

    Emitted by ``chat``. Twice is harmless: a deleted conversation stays deleted.
    """

    TYPE: ClassVar[str] = "dev.hadal.chat.conversation_deleted.v1"
    SOURCE: ClassVar[str] = CHAT
    conversation_id: Identifier


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """A user's messages were recorded, and the model was asked to answer before ``deadline``.

    Emitted by ``chat``. Twice is harmless: a turn is known by ``turn_id``.
    """

    TYPE: ClassVar[str] = "dev.hadal.chat.turn_started.v1"
    SOURCE: ClassVar[str] = CHAT
    conversation_id: Identifier
    turn_id: Identifier
    model: str
    items: tuple[Item, ...]
    deadline: Timestamp


@dataclass(frozen=True, slots=True)
class TurnCompleted:
    """The model's answer was recorded whole.

    Emitted by ``chat``, with the extension ``summarydue: "true"`` where the conversation has grown long.
    Twice is harmless: a turn ends once.
    """

    TYPE: ClassVar[str] = "dev.hadal.chat.turn_completed.v1"
    SOURCE: ClassVar[str] = CHAT
    conversation_id: Identifier
    turn_id: Identifier
    model: str
    items: tuple[Item, ...]
    finish_reason: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class TurnCancelled:
    """The client left, or stopped the answer; ``items`` is the part that was produced.

    Emitted by ``chat``. Twice is harmless: a turn ends once. ``usage`` is None where the model didn't say.
    """

    TYPE: ClassVar[str] = "dev.hadal.chat.turn_cancelled.v1"
    SOURCE: ClassVar[str] = CHAT
    conversation_id: Identifier
    turn_id: Identifier
    model: str
    items: tuple[Item, ...]
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class TurnFailed:
    """The model didn't answer; ``reason`` is a short code such as ``upstream_unavailable``.

    Emitted by ``chat``. Twice is harmless: a turn ends once.
    """

    TYPE: ClassVar[str] = "dev.hadal.chat.turn_failed.v1"
    SOURCE: ClassVar[str] = CHAT
    conversation_id: Identifier
    turn_id: Identifier
    reason: Identifier


@dataclass(frozen=True, slots=True)
class TurnExpired:
    """A turn was left open past its deadline and was closed by the clock.

    Emitted by ``chat``. Twice is harmless: a turn ends once.
    """

    TYPE: ClassVar[str] = "dev.hadal.chat.turn_expired.v1"
    SOURCE: ClassVar[str] = CHAT
    conversation_id: Identifier
    turn_id: Identifier


@dataclass(frozen=True, slots=True)
class SummaryAdopted:
    """From here on ``summary`` stands for everything up to version ``through_version`` of the stream.

    Emitted by ``chat``. Twice is harmless: a summary replaces only one that reaches less far.
    """

    TYPE: ClassVar[str] = "dev.hadal.chat.summary_adopted.v1"
    SOURCE: ClassVar[str] = CHAT
    conversation_id: Identifier
    summary: str
    through_version: Count


@dataclass(frozen=True, slots=True)
class ConversationSummarized:
    """A model condensed a conversation up to version ``through_version`` of its stream.

    Emitted by ``summarize``. Twice is harmless: ``chat`` adopts a summary only if it reaches further than the
    one it has.
    """

    TYPE: ClassVar[str] = "dev.hadal.chat.conversation_summarized.v1"
    SOURCE: ClassVar[str] = SUMMARIZE
    conversation_id: Identifier
    summary: str
    through_version: Count
    model: str


FACTS: tuple[type[Fact], ...] = (
    ConversationStarted,
    ConversationUpdated,
    ConversationDeleted,
    TurnStarted,
    TurnCompleted,
    TurnCancelled,
    TurnFailed,
    TurnExpired,
    SummaryAdopted,
    ConversationSummarized,
)


def samples() -> tuple[Fact, ...]:
    """One of each fact, from the life of one conversation."""
    conversation, turn, model = "conv_01hv3m8k2q", "turn_01hv3m9c7d", "smollm2-135m"
    question = Item(id="msg_01hv3m9c7e", role="user", content="How deep is the hadal zone?")
    answer = Item(id="msg_01hv3m9f0a", role="assistant", content="From about 6,000 to 11,000 metres.")
    usage = Usage(prompt_tokens=31, completion_tokens=12)
    return (
        ConversationStarted(conversation, "acct_01hv3kzq4t", {"topic": "the deep sea"}, ()),
        ConversationUpdated(conversation, {"topic": "trenches"}),
        ConversationDeleted(conversation),
        TurnStarted(conversation, turn, model, (question,), "2026-01-15T09:30:00Z"),
        TurnCompleted(conversation, turn, model, (answer,), "stop", usage),
        TurnCancelled(conversation, turn, model, (), None),
        TurnFailed(conversation, turn, "upstream_unavailable"),
        TurnExpired(conversation, turn),
        SummaryAdopted(conversation, "They speak of the depth of the hadal zone.", 6),
        ConversationSummarized(conversation, "They speak of the depth of the hadal zone.", 6, model),
    )

"""The engine's port: token ids go in, token ids come out, one event at a time.

Text, stop strings, chat templates and HTTP are not the engine's business. An engine may serve one request
after the other or many in one batch; callers can't tell.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from inference.engine.step_counts import StepCounts

if TYPE_CHECKING:
    from llguidance import LLMatcher


class FinishReason(StrEnum):
    """Why a generation ended, in TGI's words."""

    LENGTH = "length"
    EOS_TOKEN = "eos_token"  # noqa: S105 (a reason's name, not a credential)
    STOP_SEQUENCE = "stop_sequence"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen; greedy unless `do_sample`. The neutral values stand here as defaults."""

    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Hold:
    """What a token is held to: by a grammar's matcher, after these drafts.

    `vocabulary_tokens` are the tokens that the matcher knows. At least one of them can come next.
    """

    matcher: LLMatcher
    vocabulary_tokens: int
    drafts: tuple[int, ...]


class Constraint(Protocol):
    """What the next token of one answer may be."""

    def hold(self, drafts: tuple[int, ...]) -> Hold | None:
        """What holds the token after the drafts; None: nothing."""
        ...

    def take(self, token_id: int) -> None:
        """Go on after this token."""
        ...


class Grammar(Protocol):
    """What an answer must look like, ready to use for any number of requests."""

    def start(self) -> Constraint:
        """A constraint at its beginning."""
        ...


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A checked request: the prompt and the new tokens together fit into the engine's context.

    `adapter` is one of the engine's, or None for the model as it is.
    """

    prompt_ids: tuple[int, ...]
    max_new_tokens: int
    sampling: Sampling = Sampling()
    top_n_tokens: int = 0
    prefill_logprobs: bool = False
    grammar: Grammar | None = None
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token id and its natural-log probability under the model's own, unfiltered distribution."""

    id: int
    logprob: float


@dataclass(frozen=True, slots=True)
class Scheduled:
    """The request has left the queue. First event of every generation, once.

    `cached_tokens`: of the prompt, those that an earlier request has computed.
    """

    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Prefilled:
    """One log probability a prompt token (none for the first); only where they were asked for."""

    logprobs: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token. The last one names the reason; an end-of-sequence token is itself an event.

    `speculated`: it was guessed, and verified in the step of the token before it.
    """

    id: int
    logprob: float
    top: tuple[TokenLogprob, ...] = ()
    finish_reason: FinishReason | None = None
    speculated: bool = False


EngineEvent = Scheduled | Prefilled | Token


@dataclass(frozen=True, slots=True)
class EngineDescription:
    """What is loaded, for `/info` and the line printed at start.

    `cache_bytes` are those of all blocks, in use or not; where transformers serves, of the longest request.
    `speculate`: how many tokens of an answer are guessed in a step at most.
    `adapters` are the names that requests may choose, whose matrices take `adapter_bytes`.
    """

    engine: str
    dtype: str
    device: str
    context_tokens: int
    dtype_reason: str
    weight_bytes: int = 0
    cache_bytes: int = 0
    speculate: int = 0
    adapters: frozenset[str] = frozenset()
    adapter_bytes: int = 0


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """How many requests generate now, and how many wait for their turn.

    `step_s`: since when the present step is being computed, in seconds; 0 between steps.
    `cache_used_bytes`: of the blocks that requests hold; what is only remembered isn't counted.
    `granted_tokens`: what the prompts and answers of those that generate may come to.
    `alive`: false where the engine has failed for good.
    """

    running: int
    waiting: int
    step_s: float = 0.0
    cache_used_bytes: int = 0
    granted_tokens: int = 0
    alive: bool = True


class Engine(Protocol):
    """Generates tokens for one or many requests at once."""

    @property
    def description(self) -> EngineDescription:
        """What is loaded and how."""
        ...

    def generate(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent, None]:
        """Yield the events of one generation; closing the generator cancels it within one step.

        Raises:
            GenerationFailedError: the model could not compute this request; others are not affected.
        """
        ...

    @property
    def steps(self) -> StepCounts:
        """What its steps took so far."""
        ...

    def load(self) -> EngineLoad:
        """Tell how busy the engine is at this moment."""
        ...

    def close(self) -> None:
        """Stop, and wait for the running step; called once, when nothing generates any more."""
        ...

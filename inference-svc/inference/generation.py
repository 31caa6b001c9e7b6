"""One generation: the engine's tokens become text, stop sequences end it, and its times are kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from inference.detokenizer import Detokenizer
from inference.engine.port import Engine, FinishReason, GenerationRequest, Prefilled, Scheduled, Token
from inference.errors import IncompleteGenerationError
from inference.reasoning import ReasoningSplit
from inference.stopping import StopSequences
from inference.tokenizer import TextTokenizer
from inference.tool_calls import CallPiece, ToolCallReader

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class AlternativeToken:
    """One of the most likely tokens at a place."""

    id: int
    text: str
    logprob: float
    special: bool


@dataclass(frozen=True, slots=True)
class End:
    """How a generation ended. `text` includes the stop sequence that ended it, `visible_text` doesn't.

    `called`: whether it called a tool.
    """

    finish_reason: FinishReason
    text: str
    visible_text: str
    generated_tokens: int
    called: bool = False


@dataclass(frozen=True, slots=True)
class GeneratedToken:
    """A token with the text that it completes.

    `text` is the token's own contribution; `released` is what may be shown of the answer by now, with
    possible beginnings of a stop sequence held back; it belongs to the `reasoning` or to the answer. `calls`
    are what is known by now of calls of tools; their text isn't released. The last token carries the `end`.
    """

    id: int
    text: str
    logprob: float
    special: bool
    released: str
    top: tuple[AlternativeToken, ...] = ()
    end: End | None = None
    reasoning: bool = False
    calls: tuple[CallPiece, ...] = ()


@dataclass(slots=True)
class Timings:
    """Moments of one request on a monotonic clock, in seconds."""

    arrived_s: float
    queued_s: float = 0.0
    started_s: float = 0.0
    ended_s: float = 0.0

    @property
    def total_s(self) -> float:
        """From arrival to the last token."""
        return self.ended_s - self.arrived_s

    @property
    def validation_s(self) -> float:
        """Reading, checking, tokenizing."""
        return self.queued_s - self.arrived_s

    @property
    def queue_s(self) -> float:
        """Waiting for the engine."""
        return self.started_s - self.queued_s

    @property
    def inference_s(self) -> float:
        """From leaving the queue to the last token."""
        return self.ended_s - self.started_s


@dataclass(slots=True)
class Generation:
    """One request on its way through the engine. `tokens` is iterated once.

    `reasoning` tells what is thought from what is said, and `tools` what is called, where that is wanted.
    `cached_tokens` are those of the prompt that an earlier request had computed.
    `skipped` has, of each step of the engine, how many tokens it made beside its first one.
    `on_end` is told once, when the last token has come; not for a generation that was given up or failed.
    """

    engine: Engine
    tokenizer: TextTokenizer
    request: GenerationRequest
    stop: tuple[str, ...]
    timings: Timings
    clock: Clock
    on_end: Callable[[Generation, End], None]
    prefill_logprobs: tuple[float | None, ...] = ()
    cached_tokens: int = 0
    skipped: list[int] = field(default_factory=list)
    reasoning: ReasoningSplit | None = None
    tools: ToolCallReader | None = None

    @property
    def prompt_tokens(self) -> int:
        """How many tokens the model read."""
        return len(self.request.prompt_ids)

    async def tokens(self) -> AsyncGenerator[GeneratedToken, None]:
        """Yield the tokens; closing the generator cancels the engine's work.

        Raises:
            GenerationFailedError: the engine gave up.
            IncompleteGenerationError: the engine's stream ended too early.
        """
        text_of = _TextOfTokens(self.tokenizer, self.stop, self.reasoning, self.tools)
        self.timings.queued_s = self.clock()
        async with aclosing(self.engine.generate(self.request)) as events:
            async for event in events:
                match event:
                    case Scheduled():
                        self.timings.started_s = self.clock()
                        self.cached_tokens = event.cached_tokens
                    case Prefilled():
                        self.prefill_logprobs = event.logprobs
                    case Token():
                        if event.speculated:
                            self.skipped[-1] += 1
                        else:
                            self.skipped.append(0)
                        token = text_of.take(event)
                        if token.end:
                            self._finish(token.end)
                        yield token
                        if token.end:
                            return
        raise IncompleteGenerationError("Incomplete generation")

    async def complete(self) -> list[GeneratedToken]:
        """Run to the end and return every token; the last one carries the end."""
        async with aclosing(self.tokens()) as tokens:
            return [token async for token in tokens]

    def _finish(self, end: End) -> None:
        self.timings.ended_s = self.clock()
        self.on_end(self, end)


class _TextOfTokens:
    """Gives each token its text, and knows when the text has ended."""

    def __init__(
        self,
        tokenizer: TextTokenizer,
        stop: tuple[str, ...],
        reasoning: ReasoningSplit | None,
        tools: ToolCallReader | None,
    ) -> None:
        self._tokenizer = tokenizer
        self._detokenizer = Detokenizer(tokenizer)
        self._stops = StopSequences(stop)
        self._reasoning = reasoning
        self._tools = tools
        self._marks = {tokenizer.token_id(mark) for mark in tools.marks} if tools else set()
        self._visible: list[str] = []
        self._count = 0

    def take(self, token: Token) -> GeneratedToken:
        self._count += 1
        split = self._reasoning
        inside, mark = (split.inside, split.is_mark(token.id)) if split else (False, False)
        special = mark or self._tokenizer.is_special(token.id)
        text = self._text(token, mark)
        release = self._stops.push(text)
        reason = FinishReason.STOP_SEQUENCE if release.matched else token.finish_reason
        released = release.text
        if (reason or mark) and not release.matched:
            released += self._stops.flush()
        if split:
            released = split.show(released)
            if mark:
                split.turn()
        calls: tuple[CallPiece, ...] = ()
        if self._tools and (reason or not inside):
            released, calls, reason = self._read_calls(self._tools, released, reason, inside)
        self._visible.append(released)
        return GeneratedToken(
            id=token.id,
            text=self._tokenizer.token_text(token.id) if special else text,
            logprob=token.logprob,
            special=special,
            released=released,
            top=tuple(self._alternative(other.id, other.logprob) for other in token.top),
            end=self._end(reason, release.matched) if reason else None,
            reasoning=inside,
            calls=calls,
        )

    def _text(self, token: Token, mark: bool) -> str:
        """What the token completes; of a special one that marks a call, its name too."""
        text = self._detokenizer.flush() if mark else self._detokenizer.push(token.id)
        if token.finish_reason:
            text += self._detokenizer.flush()
        if token.id in self._marks and self._tokenizer.is_special(token.id):
            text += self._tokenizer.token_text(token.id)
        return text

    @staticmethod
    def _read_calls(
        tools: ToolCallReader, released: str, reason: FinishReason | None, inside: bool
    ) -> tuple[str, tuple[CallPiece, ...], FinishReason | None]:
        """What is content and what calls a tool; an answer that has all the calls it may have ends."""
        reading = tools.push("" if inside else released, last=reason is not None)
        if reason is None and tools.is_done:
            reason = FinishReason.STOP_SEQUENCE
        return released if inside else reading.content, tuple(reading.calls), reason

    def _end(self, reason: FinishReason, matched: str | None) -> End:
        visible = "".join(self._visible)
        called = self._tools is not None and self._tools.called
        return End(reason, visible + (matched or ""), visible, self._count, called)

    def _alternative(self, token_id: int, logprob: float) -> AlternativeToken:
        special = self._tokenizer.is_special(token_id)
        return AlternativeToken(token_id, self._tokenizer.token_text(token_id), logprob, special)

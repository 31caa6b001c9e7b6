"""Answers held to a JSON schema, a regular expression or a grammar: llguidance masks the tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from inference.engine.port import Constraint, Grammar

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from torch import Tensor

_LONGEST_REASON = 200


class GrammarKind(StrEnum):
    """What a grammar is written in."""

    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    LARK = "lark"


@dataclass(frozen=True, slots=True)
class GrammarSource:
    """What a whole answer looks like.

    A JSON schema as JSON text, a regular expression of Rust's crate regex, or a grammar in llguidance's Lark.
    """

    kind: GrammarKind
    text: str


class GrammarCompiler:
    """Compiles grammars for one tokenizer; safe to use from several threads."""

    def __init__(self, tokenizer_json: str, eos_token_ids: Iterable[int]) -> None:
        self._tokenizer_json = tokenizer_json
        self._eos_token_ids = sorted(eos_token_ids)

    def compile(self, source: GrammarSource) -> CompiledGrammar:
        """Milliseconds for most grammars, a second for the largest: call it off the event loop.

        Raises:
            ValueError: not a grammar, or one that uses what isn't supported; the text says what, in one line.
        """
        from llguidance import LLMatcher

        if source.kind is GrammarKind.REGEX:
            grammar = LLMatcher.grammar_from_regex(source.text)
        elif source.kind is GrammarKind.LARK:
            grammar = LLMatcher.grammar_from_lark(source.text)
        else:
            # As `json.dumps` writes it: small models never stop where they may write any number of blanks.
            grammar = LLMatcher.grammar_from_json_schema(
                source.text,
                overrides={"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "},
            )
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise ValueError(" ".join(matcher.get_error().split())[:_LONGEST_REASON])
        return CompiledGrammar(matcher)

    @cached_property
    def _tokenizer(self) -> LLTokenizer:
        """A third of a second for 50,000 tokens, so not before the first grammar."""
        from llguidance import LLTokenizer

        return LLTokenizer(self._tokenizer_json, eos_token=self._eos_token_ids or None)


@dataclass(frozen=True, slots=True)
class CompiledGrammar:
    """`port.Grammar` over llguidance."""

    matcher: LLMatcher

    def start(self) -> GrammarState:
        """A state of its own for one answer."""
        return GrammarState(self.matcher.deep_copy())


@dataclass(frozen=True, slots=True)
class GrammarState:
    """`port.Constraint` over llguidance."""

    matcher: LLMatcher

    def forbid(self, scores: Tensor) -> Tensor:
        """Scores of [vocabulary] with -inf for every token that can't come next.

        Where the grammar has ended, or has grown beyond llguidance's limits, only an end of sequence can.
        """
        import numpy as np
        import torch

        bits = np.frombuffer(self.matcher.compute_bitmask(), dtype=np.uint8)
        allowed = torch.zeros(len(scores), dtype=torch.bool)
        known = torch.from_numpy(np.unpackbits(bits, bitorder="little")[: len(scores)])
        allowed[: len(known)] = known.bool()
        return scores.masked_fill(~allowed.to(scores.device), -torch.inf)

    def take(self, token_id: int) -> None:
        """Go on after a token that `forbid` left."""
        self.matcher.consume_token(token_id)


@dataclass(frozen=True, slots=True)
class GrammarAfter:
    """`port.Grammar` that begins behind a token: what comes before it, such as reasoning, is free."""

    grammar: Grammar
    token_id: int

    def start(self) -> StateAfter:
        """A state of its own for one answer."""
        return StateAfter(self.grammar.start(), self.token_id)


@dataclass(slots=True)
class StateAfter:
    """`port.Constraint` that waits for a token."""

    constraint: Constraint
    token_id: int
    reached: bool = False

    def forbid(self, scores: Tensor) -> Tensor:
        """All of them stay until the token has come."""
        return self.constraint.forbid(scores) if self.reached else scores

    def take(self, token_id: int) -> None:
        """Go on."""
        if self.reached:
            self.constraint.take(token_id)
        else:
            self.reached = token_id == self.token_id

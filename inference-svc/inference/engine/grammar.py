"""Answers held to a JSON schema, a regular expression or a grammar: llguidance masks the tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from typing import TYPE_CHECKING

from inference.engine.port import Constraint, Grammar, Hold

if TYPE_CHECKING:
    import numpy as np
    from llguidance import LLExecutor, LLMatcher, LLTokenizer
    from numpy.typing import NDArray
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
        return CompiledGrammar(matcher, self._tokenizer.vocab_size)

    @cached_property
    def _tokenizer(self) -> LLTokenizer:
        """A third of a second for 50,000 tokens, so not before the first grammar."""
        from llguidance import LLTokenizer

        return LLTokenizer(self._tokenizer_json, eos_token=self._eos_token_ids or None)


@dataclass(frozen=True, slots=True)
class CompiledGrammar:
    """`port.Grammar` over llguidance."""

    matcher: LLMatcher
    vocabulary_tokens: int

    def start(self) -> GrammarState:
        """A state of its own for one answer."""
        return GrammarState(self.matcher.deep_copy(), self.vocabulary_tokens)


@dataclass(frozen=True, slots=True)
class GrammarState:
    """`port.Constraint` over llguidance; `vocabulary_tokens` are the tokenizer's."""

    matcher: LLMatcher
    vocabulary_tokens: int

    def hold(self, drafts: tuple[int, ...]) -> Hold:
        """Where the grammar has ended, or has grown beyond llguidance's limits, only an end can come."""
        return Hold(self.matcher, self.vocabulary_tokens, drafts)

    def take(self, token_id: int) -> None:
        """Go on after a token that was allowed."""
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

    def hold(self, drafts: tuple[int, ...]) -> Hold | None:
        """Nothing before the token, be it a draft."""
        if self.reached:
            return self.constraint.hold(drafts)
        if self.token_id in drafts:
            return self.constraint.hold(drafts[drafts.index(self.token_id) + 1 :])
        return None

    def take(self, token_id: int) -> None:
        """Go on."""
        if self.reached:
            self.constraint.take(token_id)
        else:
            self.reached = token_id == self.token_id


def allowed_bits(holds: Sequence[Hold]) -> NDArray[np.int32]:
    """Whether each token can come next, [holds, words] of 32 bits; for all of them in two calls at most.

    The holds of one matcher follow each other, with ever more drafts. Behind a draft that its grammar doesn't
    allow everything is: no answer comes so far.
    """
    from llguidance import numpy as masks

    bits: NDArray[np.int32] = masks.allocate_token_bitmask(len(holds), holds[0].vocabulary_tokens)
    firsts = [row for row, hold in enumerate(holds) if not hold.drafts]
    lasts = [*(first - 1 for first in firsts[1:]), len(holds) - 1]
    alone = [
        (holds[first].matcher, first) for first, last in zip(firsts, lasts, strict=True) if first == last
    ]
    if alone:
        masks.fill_next_token_bitmask_par(_executor(), alone, bits)
    drafted = [
        (holds[first].matcher, first, list(holds[last].drafts))
        for first, last in zip(firsts, lasts, strict=True)
        if first < last
    ]
    if drafted:
        masks.fill_next_token_bitmask_par_with_draft_tokens(_executor(), drafted, bits)
    return bits


def allowed_tokens(holds: Sequence[Hold], scored_tokens: int) -> Tensor:
    """`allowed_bits` as [holds, scored_tokens] booleans. Tokens that the tokenizer doesn't know never are."""
    import numpy as np
    import torch

    vocabulary_tokens = holds[0].vocabulary_tokens
    allowed = torch.zeros(len(holds), scored_tokens, dtype=torch.bool)
    bytes_of_bits = allowed_bits(holds).view(np.uint8)
    known = np.unpackbits(bytes_of_bits, axis=1, bitorder="little", count=vocabulary_tokens)
    allowed[:, :vocabulary_tokens] = torch.from_numpy(known[:, :scored_tokens])
    return allowed


@cache
def _executor() -> LLExecutor:
    """The threads that fill masks, of all engines."""
    from llguidance import LLExecutor

    return LLExecutor()

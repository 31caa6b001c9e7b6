"""Grammars on both engines: random weights, whose answers are noise unless they are held to something."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from inference.engine.grammar import (
    GrammarAfter,
    GrammarCompiler,
    GrammarKind,
    GrammarSource,
    allowed_tokens,
)
from inference.engine.load import load_engine
from inference.engine.options import EngineOptions
from inference.engine.port import Constraint, FinishReason, GenerationRequest, Sampling
from inference.engine.speculation import Speculation
from tests.byte_tokenizer import END, ids_of, make_byte_tokenizer
from tests.engine.batching import Engine
from tests.engine.test_engines import tokens_of

SCHEMA = {
    "type": "object",
    "properties": {"depth": {"type": "integer", "minimum": 0, "maximum": 9}, "dark": {"type": "boolean"}},
    "required": ["depth", "dark"],
    "additionalProperties": False,
}
TOKENIZER = make_byte_tokenizer()
END_ID = TOKENIZER.token_id(END) or 0
COMPILER = GrammarCompiler(TOKENIZER.to_json(), [END_ID])
BOTH = pytest.mark.parametrize("kind", ["auto", "transformers"])


async def answers(folder: Path, kind: str, source: GrammarSource, seeds: int = 5) -> list[str]:
    """Greedy and sampled ones, all at once."""
    grammar = COMPILER.compile(source)
    draws = [Sampling(), *(Sampling(do_sample=True, seed=seed) for seed in range(seeds))]
    requests = [GenerationRequest((5, 6), 60, sampling, grammar=grammar) for sampling in draws]
    options = EngineOptions("float32", engine=kind, eos_token_ids=frozenset({END_ID}))
    engine = await asyncio.to_thread(load_engine, folder, options)
    try:
        streams = await asyncio.gather(*(tokens_of(engine, request) for request in requests))
    finally:
        engine.close()
    assert all(tokens[-1].finish_reason is FinishReason.EOS_TOKEN for tokens in streams)
    return [TOKENIZER.decode([token.id for token in tokens]) for tokens in streams]


@pytest.mark.slow
@BOTH
async def test_answers_follow_a_json_schema(checkpoint: Callable[[str], Path], kind: str) -> None:
    source = GrammarSource(GrammarKind.JSON_SCHEMA, orjson.dumps(SCHEMA).decode())
    for answer in await answers(checkpoint("llama"), kind, source):
        value = orjson.loads(answer)
        assert set(value) == {"depth", "dark"}
        assert 0 <= value["depth"] <= 9
        assert isinstance(value["dark"], bool)


@pytest.mark.slow
@BOTH
async def test_answers_match_a_regular_expression(checkpoint: Callable[[str], Path], kind: str) -> None:
    expression = r"[a-f]{3,8}-[0-9]{2}(é|ü)"
    source = GrammarSource(GrammarKind.REGEX, expression)
    found = await answers(checkpoint("qwen2"), kind, source)
    assert [answer for answer in found if not re.fullmatch(expression, answer)] == []
    assert len(set(found)) > 1, "sampled answers still differ"


def allowed(constraint: Constraint, drafts: tuple[int, ...] = (), scored_tokens: int = 257) -> list[int]:
    """The tokens that can come after the drafts."""
    hold = constraint.hold(drafts)
    if hold is None:
        return list(range(scored_tokens))
    places = [replace(hold, drafts=hold.drafts[:count]) for count in range(len(hold.drafts) + 1)]
    return allowed_tokens(places, scored_tokens)[-1].nonzero().flatten().tolist()


@pytest.mark.slow
def test_scores_of_tokens_beyond_the_tokenizer_are_forbidden() -> None:
    """A model's table is often longer than its tokenizer: padded to a multiple of 64."""
    state = COMPILER.compile(GrammarSource(GrammarKind.REGEX, "ab")).start()
    a, b = ids_of(TOKENIZER, "ab")
    assert allowed(state, scored_tokens=320) == [a]
    state.take(a)
    assert allowed(state, scored_tokens=320) == [b]
    state.take(b)
    assert allowed(state, scored_tokens=320) == [END_ID]


@pytest.mark.slow
def test_a_grammar_behind_a_token_leaves_what_comes_before_free() -> None:
    mark, a, b = ids_of(TOKENIZER, "|ab")
    state = GrammarAfter(COMPILER.compile(GrammarSource(GrammarKind.REGEX, "ab")), mark).start()
    for token_id in (b, a, mark):
        assert len(allowed(state)) == 257
        state.take(token_id)
    assert allowed(state) == [a]
    state.take(a)
    assert allowed(state) == [b]


@pytest.mark.slow
def test_a_draft_is_held_to_what_may_come_after_the_drafts_before_it() -> None:
    mark, a, b, c = ids_of(TOKENIZER, "|abc")
    compiled = COMPILER.compile(GrammarSource(GrammarKind.REGEX, "abc"))
    state, waiting = compiled.start(), GrammarAfter(compiled, mark).start()
    assert [allowed(state, drafts) for drafts in ((), (a,), (a, b), (a, b, c))] == [[a], [b], [c], [END_ID]]
    assert len(allowed(waiting, (a, c))) == 257
    assert [allowed(waiting, drafts) for drafts in ((c, mark), (c, mark, a))] == [[a], [b]]
    holds = [state.hold(()), state.hold((a,)), compiled.start().hold(())]
    masks = allowed_tokens([hold for hold in holds if hold], 257)
    assert [row.nonzero().flatten().tolist() for row in masks] == [[a], [b], [a]]
    assert allowed(state) == [a], "looking ahead takes nothing"


@pytest.mark.slow
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(do_sample=True, seed=3, temperature=0.3)])
def test_guesses_are_held_to_the_grammar_and_change_nothing(sampling: Sampling) -> None:
    mark, first = ids_of(TOKENIZER, "/0")
    grammar = COMPILER.compile(GrammarSource(GrammarKind.REGEX, "([0-3][A-C])+"))
    said: list[list[int]] = []
    steps: list[int] = []
    ticks = itertools.count()
    for most in (0, 4):
        engine = Engine(
            blocks=200, step_tokens=50, speculation=Speculation(most), clock=lambda: float(next(ticks))
        )
        requests = [
            GenerationRequest((mark, first), 60, sampling, grammar=grammar),
            GenerationRequest((mark, first), 60, sampling, grammar=GrammarAfter(grammar, first)),
        ]
        generations = [engine.batcher.add(request) for request in requests]
        engine.run()
        said += [engine.tokens(generation) for generation in generations]
        steps.append(len(engine.model.steps))
    assert said[:2] == said[2:]
    assert re.fullmatch("([0-3][A-C])+", TOKENIZER.decode(said[0]))
    assert steps[1] < steps[0]


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (GrammarKind.REGEX, "(", "unclosed group"),
        (GrammarKind.JSON_SCHEMA, '{"type": "strange"}', "Invalid type: strange"),
        (GrammarKind.JSON_SCHEMA, '{"not": {"type": "string"}}', 'Unimplemented keys: ["not"]'),
    ],
)
def test_what_is_no_grammar_is_refused_in_one_line(kind: GrammarKind, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as refused:
        COMPILER.compile(GrammarSource(kind, text))
    assert "\n" not in str(refused.value)

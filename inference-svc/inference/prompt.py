"""From a text and its parameters to a request that the engine can take."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from inference.answers_together import siblings
from inference.continuation import Continuation
from inference.engine.grammar import CompiledGrammar, GrammarAfter, GrammarCompiler, GrammarSource
from inference.engine.port import GenerationRequest
from inference.errors import TemplateError, ToolError, ValidationError
from inference.limits import Limits
from inference.loaded_model import LoadedModel
from inference.openai_requests import ChatRequest
from inference.parameters import GenerateParameters
from inference.reasoning import ReasoningSplit
from inference.tokenizer import Encoding, TextTokenizer
from inference.tool_calls import ToolCallReader
from inference.tool_formats import ToolFormat

LONG_TEXT_CHARACTERS = 16_384  # tokenized off the event loop: about 5 ms of work and more


async def tokenize(tokenizer: TextTokenizer, text: str, add_special_tokens: bool) -> Encoding:
    """Split a text, without holding up the event loop for a long one."""
    if len(text) < LONG_TEXT_CHARACTERS:
        return tokenizer.encode(text, add_special_tokens)
    return await asyncio.to_thread(tokenizer.encode, text, add_special_tokens)


async def engine_request(
    text: str, parameters: GenerateParameters, model: LoadedModel, add_special_tokens: bool
) -> GenerationRequest:
    """Check a request, tokenize its text and compile its grammar.

    Raises:
        ValidationError: a parameter out of range, an unknown adapter, an empty text, too many tokens, or no
            valid grammar.
    """
    parameters.check(model.limits)
    adapter = parameters.adapter(model.adapters)
    if not text:
        raise ValidationError("`inputs` cannot be empty")
    ids = (await tokenize(model.tokenizer, text, add_special_tokens)).ids
    if parameters.truncate is not None:
        ids = ids[-parameters.truncate :]
    if not ids:
        raise ValidationError("`inputs` has no tokens")
    return GenerationRequest(
        prompt_ids=ids,
        max_new_tokens=_max_new_tokens(len(ids), parameters, model.limits),
        sampling=parameters.sampling(),
        top_n_tokens=parameters.top_n_tokens or 0,
        prefill_logprobs=parameters.decoder_input_details,
        grammar=await _compiled(parameters.grammar, model.grammars),
        adapter=adapter,
    )


@dataclass(frozen=True, slots=True)
class AskedChat:
    """A checked chat: what the engine is asked, and what reads its answer."""

    request: GenerationRequest
    reasoning: ReasoningSplit | None
    tools: ToolCallReader | None


def chat_prompt(chat: ChatRequest, model: LoadedModel) -> str:
    """The prompt that the template makes of a chat.

    Raises:
        TemplateError: there is no template, or it refuses these messages.
        ToolError: it has no place for tools.
    """
    if model.chat_template is None:
        raise TemplateError("this model has no chat template; use /generate or /v1/completions")
    if chat.tools:
        _tool_format(model)
    return model.chat_template.render(chat.messages, chat.tools.tools if chat.tools else (), chat.guideline)


async def chat_requests(chat: ChatRequest, prompt: str, model: LoadedModel) -> list[AskedChat]:
    """The like of `engine_request` for the `n` answers to a chat, whose prompt is that of `chat_prompt`.

    A grammar is for the answer, not for the reasoning.

    Raises:
        ValidationError: as there.
    """
    parameters, asked = chat.parameters, chat.tools
    if asked and asked.forced:
        parameters = replace(parameters, grammar=asked.grammar(_tool_format(model), model.tokenizer.token_id))
    request = await engine_request(prompt, parameters, model, add_special_tokens=False)
    continued = Continuation.of(chat.messages)
    reasoning = ReasoningSplit.after(
        request.prompt_ids, model.tokenizer, continued=continued is not None and continued.is_thinking
    )
    if reasoning and reasoning.inside and request.grammar:
        request = replace(request, grammar=GrammarAfter(request.grammar, reasoning.closing))
    return [
        AskedChat(
            sibling,
            replace(reasoning) if reasoning else None,
            ToolCallReader(_tool_format(model), asked.parameters.keys(), parallel=asked.parallel)
            if asked
            else None,
        )
        for sibling in siblings(request, chat.n)
    ]


def _tool_format(model: LoadedModel) -> ToolFormat:
    form = model.chat_template.tool_format if model.chat_template else None
    if form is None:
        raise ToolError(
            "the model's chat template has no tools, or writes calls in a form that isn't known here"
        )
    return form


async def _compiled(source: GrammarSource | None, grammars: GrammarCompiler) -> CompiledGrammar | None:
    if source is None:
        return None
    try:
        return await asyncio.to_thread(grammars.compile, source)
    except ValueError as error:
        raise ValidationError(f"the grammar can't be compiled: {error}") from error


def _max_new_tokens(input_tokens: int, parameters: GenerateParameters, limits: Limits) -> int:
    granted = parameters.max_new_tokens
    if granted is None:
        granted = max(limits.max_total_tokens - input_tokens, 0)
        if parameters.unasked_new_tokens is not None:
            granted = min(granted, parameters.unasked_new_tokens)
    if input_tokens + granted > limits.max_total_tokens:
        raise ValidationError(
            f"`inputs` tokens + `max_new_tokens` must be <= {limits.max_total_tokens}. "
            f"Given: {input_tokens} `inputs` tokens and {granted} `max_new_tokens`"
        )
    if input_tokens > limits.max_input_tokens:
        raise ValidationError(
            f"`inputs` must have less than {limits.max_input_tokens} tokens. Given: {input_tokens}"
        )
    return granted

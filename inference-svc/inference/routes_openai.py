"""The OpenAI routes in TGI's form: chat completions, completions, models; and `/chat_tokenize`."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass

from aiohttp import web

from inference import __version__
from inference.answer_headers import answer_headers, stream_headers
from inference.answers_together import check_answers, interleaved, siblings, together
from inference.fill_in import fill_in_prompt
from inference.generation import GeneratedToken, Generation
from inference.http import EventStream, event_stream, json_answer, read_fields
from inference.loaded_model import LoadedModel
from inference.openai_answers import (
    AnswerFrame,
    Usage,
    chat_choice,
    chat_chunk_choice,
    completion_choice,
    finish_reason,
)
from inference.openai_requests import ChatRequest, CompletionRequest
from inference.parameters import GenerateParameters
from inference.pool_entry import Entry
from inference.prompt import chat_prompt, chat_requests, engine_request, tokenize
from inference.routes_tgi import encoding_json
from inference.serving import Serving


@dataclass(frozen=True, slots=True)
class OpenAiRoutes:
    """The handlers; `serving` holds the models."""

    serving: Serving

    def routes(self) -> list[web.RouteDef]:
        """What the application mounts."""
        return [
            web.post("/v1/chat/completions", self.chat_completions),
            web.post("/v1/completions", self.completions),
            web.post("/chat_tokenize", self.chat_tokenize),
            web.get("/v1/models", self.models),
            web.get("/v1/models/{name:.+}", self.one_model),
        ]

    async def chat_completions(self, request: web.Request) -> web.StreamResponse:
        """`n` messages of the assistant, whole or streamed side by side."""
        arrived_s = self.serving.clock()
        chat = ChatRequest.of(await read_fields(request))
        check_answers(chat.n, self.serving.model().limits)
        async with self.serving.admit(chat.parameters.model, chat.n) as model:
            prompt = chat_prompt(chat, model)
            generations = [
                self.serving.generation(
                    model, asked.request, chat.parameters.stop, arrived_s, asked.reasoning, asked.tools
                )
                for asked in await chat_requests(chat, prompt, model)
            ]
            frame = _frame("chat.completion", model, chat.parameters)
            if chat.stream:
                headers = stream_headers(model.engine, len(prompt))
                return await self._stream_chat(request, chat, generations, frame, headers)
            answers = await together(generation.complete() for generation in generations)
        choices = [chat_choice(index, tokens, logprobs=chat.logprobs) for index, tokens in enumerate(answers)]
        usage = sum(map(_written, answers), _read(generations))
        headers = answer_headers(generations, usage.prompt_tokens, usage.completion_tokens, len(prompt))
        return json_answer(frame.json(choices, usage, chunk=False), headers=headers)

    async def completions(self, request: web.Request) -> web.StreamResponse:
        """Each prompt continued, or its gap filled, `n` times; choices go prompt by prompt."""
        arrived_s = self.serving.clock()
        completion = CompletionRequest.of(await read_fields(request))
        answers_wanted = len(completion.prompts) * completion.n
        check_answers(answers_wanted, self.serving.model().limits)
        async with self.serving.admit(completion.parameters.model, answers_wanted) as model:
            groups = [
                await self._generations(model, prompt, completion, arrived_s) for prompt in completion.prompts
            ]
            frame = _frame("text_completion", model, completion.parameters)
            characters = sum(map(len, completion.prompts))
            if completion.stream:
                headers = stream_headers(model.engine, characters)
                return await self._stream_completions(request, completion, groups, frame, headers)
            answers = await together(generation.complete() for group in groups for generation in group)
        choices = [
            completion_choice(index, "".join(token.released for token in tokens), finish_reason(tokens[-1]))
            for index, tokens in enumerate(answers)
        ]
        usage = sum([*map(_read, groups), *map(_written, answers)], Usage())
        generations = [generation for group in groups for generation in group]
        headers = answer_headers(generations, usage.prompt_tokens, usage.completion_tokens, characters)
        return json_answer(frame.json(choices, usage, chunk=False), headers=headers)

    async def chat_tokenize(self, request: web.Request) -> web.StreamResponse:
        """The prompt that the template makes of the messages, and its tokens."""
        chat = ChatRequest.of(await read_fields(request))
        async with self.serving.use(chat.parameters.model) as model:
            text = chat_prompt(chat, model)
            encoding = await tokenize(model.tokenizer, text, add_special_tokens=False)
        return json_answer({"tokenize_response": encoding_json(encoding, text), "templated_text": text})

    async def models(self, request: web.Request) -> web.StreamResponse:
        """Every model that a request may choose, loaded or not; the default one first, adapters last."""
        self.serving.model()
        entries = list(self.serving.pool.entries())
        names = [entry.name for entry in entries]
        adapters = [adapter for entry in entries for adapter in entry.source.adapters]
        listed = [_model(self.serving.pool.entry(name), name) for name in (*names, *adapters)]
        return json_answer({"object": "list", "data": listed})

    async def one_model(self, request: web.Request) -> web.StreamResponse:
        """The model of this name."""
        self.serving.model()
        name = request.match_info["name"]
        return json_answer(_model(self.serving.pool.entry(name), name))

    async def _generations(
        self, model: LoadedModel, prompt: str, completion: CompletionRequest, arrived_s: float
    ) -> list[Generation]:
        if completion.suffix:
            prompt = fill_in_prompt(prompt, completion.suffix, model.tokenizer)
        request = await engine_request(prompt, completion.parameters, model, add_special_tokens=True)
        return [
            self.serving.generation(model, sibling, completion.parameters.stop, arrived_s)
            for sibling in siblings(request, completion.n)
        ]

    async def _stream_chat(
        self,
        request: web.Request,
        chat: ChatRequest,
        generations: list[Generation],
        frame: AnswerFrame,
        headers: dict[str, str],
    ) -> web.StreamResponse:
        async with event_stream(request, self.serving.metrics, openai=True, headers=headers) as (
            stream,
            response,
        ):
            written = Usage()
            begun: set[int] = set()
            async with aclosing(interleaved(generations)) as groups:
                async for index, tokens in groups:
                    first = index not in begun
                    begun.add(index)
                    choice = chat_chunk_choice(index, tokens, first=first, logprobs=chat.logprobs)
                    await stream.send(frame.json([choice], None, chunk=True))
                    written += _written(tokens)
            if chat.include_usage:
                await _send_usage(stream, frame, _read(generations) + written)
        return response

    async def _stream_completions(
        self,
        request: web.Request,
        completion: CompletionRequest,
        prompts: list[list[Generation]],
        frame: AnswerFrame,
        headers: dict[str, str],
    ) -> web.StreamResponse:
        async with event_stream(request, self.serving.metrics, openai=True, headers=headers) as (
            stream,
            response,
        ):
            usage = Usage()
            generations = [generation for group in prompts for generation in group]
            async with aclosing(interleaved(generations)) as groups:
                async for index, tokens in groups:
                    text = "".join(token.released for token in tokens)
                    choice = completion_choice(index, text, finish_reason(tokens[-1]))
                    await stream.send(frame.json([choice], None, chunk=True))
                    usage += _written(tokens)
            if completion.include_usage:
                await _send_usage(stream, frame, sum(map(_read, prompts), usage))
        return response


def _model(entry: Entry, name: str) -> dict[str, str | int]:
    """OpenAI's `Model`; of an adapter of this `name` with vLLM's `parent`."""
    told: dict[str, str | int] = {"object": "model", "created": 0, "owned_by": entry.name}
    if name in entry.source.adapters:
        return {"id": name, **told, "parent": entry.name}
    return {"id": entry.name, **told}


def _frame(kind: str, model: LoadedModel, parameters: GenerateParameters) -> AnswerFrame:
    """An adapter is named as the model that answers."""
    name = parameters.adapter(model.adapters) or model.name
    return AnswerFrame(kind, name, f"{__version__}-{model.engine.description.engine}")


def _read(generations: list[Generation]) -> Usage:
    """Of the answers to one prompt: it was read once, and what they found of one another isn't cached."""
    cached = min(generation.cached_tokens for generation in generations)
    return Usage(prompt_tokens=generations[0].prompt_tokens, cached_tokens=cached)


def _written(tokens: list[GeneratedToken]) -> Usage:
    reasoning = sum(token.reasoning for token in tokens)
    return Usage(completion_tokens=len(tokens), reasoning_tokens=reasoning)


async def _send_usage(stream: EventStream, frame: AnswerFrame, usage: Usage) -> None:
    await stream.send(frame.json([], usage, chunk=True))

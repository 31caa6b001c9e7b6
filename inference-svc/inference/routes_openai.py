"""The OpenAI routes in TGI's form: chat completions, completions, models; and `/chat_tokenize`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from aiohttp import web

from inference import __version__
from inference.errors import BatchSizeExceededError
from inference.generation import GeneratedToken, Generation, together
from inference.http import EventStream, event_stream, json_answer, read_fields
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
from inference.prompt import chat_prompt, chat_request, engine_request, tokenize
from inference.routes_tgi import encoding_json
from inference.serving import LoadedModel, Serving


@dataclass(frozen=True, slots=True)
class OpenAiRoutes:
    """The handlers; `serving` holds the model."""

    serving: Serving

    def routes(self) -> list[web.RouteDef]:
        """What the application mounts."""
        return [
            web.post("/v1/chat/completions", self.chat_completions),
            web.post("/v1/completions", self.completions),
            web.post("/chat_tokenize", self.chat_tokenize),
            web.get("/v1/models", self.models),
        ]

    async def chat_completions(self, request: web.Request) -> web.StreamResponse:
        """One assistant message, whole or streamed."""
        self.serving.metrics.request()
        arrived_s = self.serving.clock()
        chat = ChatRequest.of(await read_fields(request))
        with self.serving.admit() as model:
            asked = await chat_request(chat, model)
            generation = self.serving.generation(
                model, asked.request, chat.parameters.stop, arrived_s, asked.reasoning, asked.tools
            )
            frame = _frame("chat.completion", model)
            if chat.stream:
                return await self._stream_chat(request, chat, generation, frame)
            tokens = await generation.complete()
        choice = chat_choice(tokens, logprobs=chat.logprobs)
        return json_answer(frame.json([choice], _read(generation) + _written(tokens), chunk=False))

    async def completions(self, request: web.Request) -> web.StreamResponse:
        """Each prompt continued; several prompts give several choices."""
        self.serving.metrics.request()
        arrived_s = self.serving.clock()
        completion = CompletionRequest.of(await read_fields(request))
        largest = self.serving.model().limits.max_client_batch_size
        if len(completion.prompts) > largest:
            raise BatchSizeExceededError(
                f"Number of prompts exceeds the maximum allowed batch size of {largest}"
            )
        with self.serving.admit(len(completion.prompts)) as model:
            generations = [
                await self._generation(model, prompt, completion.parameters, arrived_s)
                for prompt in completion.prompts
            ]
            frame = _frame("text_completion", model)
            if completion.stream:
                return await self._stream_completions(request, completion, generations, frame)
            answers = await together(generation.complete() for generation in generations)
        choices = [
            completion_choice(index, "".join(token.released for token in tokens), finish_reason(tokens[-1]))
            for index, tokens in enumerate(answers)
        ]
        usages = [*map(_read, generations), *map(_written, answers)]
        return json_answer(frame.json(choices, sum(usages, Usage()), chunk=False))

    async def chat_tokenize(self, request: web.Request) -> web.StreamResponse:
        """The prompt that the template makes of the messages, and its tokens."""
        chat = ChatRequest.of(await read_fields(request))
        model = self.serving.model()
        text = chat_prompt(chat, model)
        encoding = await tokenize(model.tokenizer, text, add_special_tokens=False)
        return json_answer({"tokenize_response": encoding_json(encoding, text), "templated_text": text})

    async def models(self, request: web.Request) -> web.StreamResponse:
        """The one model that is served here."""
        name = self.serving.model().name
        model = {"id": name, "object": "model", "created": 0, "owned_by": name}
        return json_answer({"object": "list", "data": [model]})

    async def _generation(
        self, model: LoadedModel, prompt: str, parameters: GenerateParameters, arrived_s: float
    ) -> Generation:
        request = await engine_request(prompt, parameters, model, add_special_tokens=True)
        return self.serving.generation(model, request, parameters.stop, arrived_s)

    async def _stream_chat(
        self, request: web.Request, chat: ChatRequest, generation: Generation, frame: AnswerFrame
    ) -> web.StreamResponse:
        async with event_stream(request, self.serving.metrics, openai=True, headers={}) as (stream, response):
            written = Usage()
            async with aclosing(_released(generation)) as groups:
                async for tokens in groups:
                    first = not written.completion_tokens
                    choice = chat_chunk_choice(tokens, first=first, logprobs=chat.logprobs)
                    await stream.send(frame.json([choice], None, chunk=True))
                    written += _written(tokens)
            if chat.include_usage:
                await _send_usage(stream, frame, _read(generation) + written)
        return response

    async def _stream_completions(
        self,
        request: web.Request,
        completion: CompletionRequest,
        generations: list[Generation],
        frame: AnswerFrame,
    ) -> web.StreamResponse:
        """Stream the prompts' answers one after the other; each chunk bears its prompt's index."""
        async with event_stream(request, self.serving.metrics, openai=True, headers={}) as (stream, response):
            usage = Usage()
            for index, generation in enumerate(generations):
                async with aclosing(_released(generation)) as groups:
                    async for tokens in groups:
                        text = "".join(token.released for token in tokens)
                        choice = completion_choice(index, text, finish_reason(tokens[-1]))
                        await stream.send(frame.json([choice], None, chunk=True))
                        usage += _written(tokens)
                usage += _read(generation)
            if completion.include_usage:
                await _send_usage(stream, frame, usage)
        return response


def _frame(kind: str, model: LoadedModel) -> AnswerFrame:
    return AnswerFrame(kind, model.name, f"{__version__}-{model.engine.description.engine}")


def _read(generation: Generation) -> Usage:
    return Usage(prompt_tokens=generation.prompt_tokens, cached_tokens=generation.cached_tokens)


def _written(tokens: list[GeneratedToken]) -> Usage:
    reasoning = sum(token.reasoning for token in tokens)
    return Usage(completion_tokens=len(tokens), reasoning_tokens=reasoning)


async def _send_usage(stream: EventStream, frame: AnswerFrame, usage: Usage) -> None:
    await stream.send(frame.json([], usage, chunk=True))


async def _released(generation: Generation) -> AsyncGenerator[list[GeneratedToken], None]:
    """Tokens in groups that bring something: those that show nothing yet wait for the next that does."""
    waiting: list[GeneratedToken] = []
    async with aclosing(generation.tokens()) as tokens:
        async for token in tokens:
            waiting.append(token)
            if token.released or token.calls or token.end:
                yield waiting
                waiting = []

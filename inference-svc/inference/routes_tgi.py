"""TGI's own routes: `/`, `/generate`, `/generate_stream`, `/tokenize`.

Source: TGI 3's OpenAPI document. As documented there, what is wrong with a request before its first token is
an HTTP status also on `/generate_stream`; what goes wrong later is the stream's last event. Where there are
several models, a field `model` chooses; it may name an adapter too, as `adapter_id` does.
"""

from __future__ import annotations

import statistics
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from inference.answer_headers import answer_headers, stream_headers
from inference.answers_together import together
from inference.errors import ValidationError
from inference.generation import AlternativeToken, End, GeneratedToken, Generation
from inference.http import event_stream, json_answer, read_fields
from inference.json_fields import JsonFields
from inference.loaded_model import LoadedModel
from inference.parameters import GenerateParameters
from inference.prompt import engine_request, tokenize
from inference.serving import Serving
from inference.tokenizer import Encoding

Json = dict[str, Any]


def token_json(token: GeneratedToken | AlternativeToken) -> Json:
    """TGI's `Token`."""
    return {"id": token.id, "text": token.text, "logprob": token.logprob, "special": token.special}


def encoding_json(encoding: Encoding, text: str) -> list[Json]:
    """TGI's `TokenizeResponse`."""
    return [
        {"id": token_id, "text": text[start:stop], "start": start, "stop": stop}
        for token_id, (start, stop) in zip(encoding.ids, encoding.offsets, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Answer:
    """One finished generation and what was asked for."""

    generation: Generation
    parameters: GenerateParameters
    tokens: list[GeneratedToken]
    end: End

    @property
    def mean_logprob(self) -> float:
        return statistics.fmean(token.logprob for token in self.tokens)

    def details(self) -> Json:
        """TGI's `Details`, without the other sequences of `best_of`."""
        return {
            "finish_reason": self.end.finish_reason,
            "generated_tokens": self.end.generated_tokens,
            "seed": self.parameters.reported_seed,
            "prefill": self._prefill(),
            "tokens": [token_json(token) for token in self.tokens],
            "top_tokens": self._top_tokens(),
        }

    def _prefill(self) -> list[Json]:
        ids, logprobs = self.generation.request.prompt_ids, self.generation.prefill_logprobs
        text_of = self.generation.tokenizer.token_text
        return [
            {"id": token_id, "text": text_of(token_id), "logprob": logprob}
            for token_id, logprob in zip(ids, logprobs, strict=False)  # empty unless asked for
        ]

    def _top_tokens(self) -> list[list[Json]]:
        if not self.parameters.top_n_tokens:
            return []
        return [[token_json(other) for other in token.top] for token in self.tokens]


@dataclass(frozen=True, slots=True)
class TgiRoutes:
    """The handlers; `serving` holds the models."""

    serving: Serving

    def routes(self) -> list[web.RouteDef]:
        """What the application mounts."""
        return [
            web.post("/", self.compat),
            web.post("/generate", self.generate),
            web.post("/generate_stream", self.generate_stream),
            web.post("/tokenize", self.tokenize),
        ]

    async def compat(self, request: web.Request) -> web.StreamResponse:
        """Stream or not by the field `stream`; the prompt comes back too, unless told otherwise."""
        fields = await read_fields(request)
        parameters = _parameters(fields)
        if parameters.return_full_text is None:
            parameters = replace(parameters, return_full_text=True)
        if fields.flag("stream"):
            return await self._stream(request, fields, parameters)
        return await self._answer(fields, parameters, in_list=True)

    async def generate(self, request: web.Request) -> web.StreamResponse:
        """The whole answer at once."""
        fields = await read_fields(request)
        return await self._answer(fields, _parameters(fields), in_list=False)

    async def generate_stream(self, request: web.Request) -> web.StreamResponse:
        """One event a token; the last one has the whole text."""
        fields = await read_fields(request)
        return await self._stream(request, fields, _parameters(fields))

    async def tokenize(self, request: web.Request) -> web.StreamResponse:
        """The ids of a text, with the characters that each stands for."""
        fields = await read_fields(request)
        text = _inputs(fields)
        add_special_tokens = fields.flag("add_special_tokens", default=True)
        async with self.serving.use(fields.text("model")) as model:
            encoding = await tokenize(model.tokenizer, text, add_special_tokens)
        return json_answer(encoding_json(encoding, text))

    async def _answer(
        self, fields: JsonFields, parameters: GenerateParameters, *, in_list: bool
    ) -> web.StreamResponse:
        arrived_s, inputs = self.serving.clock(), _inputs(fields)
        best_of = min(max(parameters.best_of or 1, 1), self.serving.model().limits.max_best_of)
        async with self.serving.admit(parameters.model, best_of) as model:
            draws = [parameters, *(_with_new_seed(parameters) for _ in range(best_of - 1))]
            answers = await together(self._run(model, fields, inputs, draw, arrived_s) for draw in draws)
        best, *rest = sorted(answers, key=lambda answer: answer.mean_logprob, reverse=True)
        body = _generate_response(best, rest, inputs)
        generation = best.generation
        headers = answer_headers(
            [generation], generation.prompt_tokens, best.end.generated_tokens, len(inputs)
        )
        return json_answer([body] if in_list else body, headers=headers)

    async def _run(
        self,
        model: LoadedModel,
        fields: JsonFields,
        inputs: str,
        parameters: GenerateParameters,
        arrived_s: float,
    ) -> _Answer:
        add_special_tokens = fields.flag("add_special_tokens", default=True)
        request = await engine_request(inputs, parameters, model, add_special_tokens)
        generation = self.serving.generation(model, request, parameters.stop, arrived_s)
        tokens = await generation.complete()
        end = tokens[-1].end
        assert end is not None  # noqa: S101 (what `complete` promises)
        return _Answer(generation, parameters, tokens, end)

    async def _stream(
        self, request: web.Request, fields: JsonFields, parameters: GenerateParameters
    ) -> web.StreamResponse:
        arrived_s, inputs = self.serving.clock(), _inputs(fields)
        if parameters.best_of not in {None, 1}:
            raise ValidationError("`best_of` != 1 is not supported when streaming tokens")
        if parameters.decoder_input_details:
            raise ValidationError("`decoder_input_details` == true is not supported when streaming tokens")
        async with self.serving.admit(parameters.model) as model:
            add_special_tokens = fields.flag("add_special_tokens", default=True)
            checked = await engine_request(inputs, parameters, model, add_special_tokens)
            generation = self.serving.generation(model, checked, parameters.stop, arrived_s)
            headers = stream_headers(model.engine, len(inputs))
            async with event_stream(request, self.serving.metrics, openai=False, headers=headers) as (
                stream,
                response,
            ):
                index = 0
                async with aclosing(generation.tokens()) as tokens:
                    async for token in tokens:
                        index += 1
                        await stream.send(_stream_response(index, token, generation, parameters, inputs))
        return response


def _parameters(fields: JsonFields) -> GenerateParameters:
    return replace(GenerateParameters.of(fields.object("parameters")), model=fields.text("model"))


def _inputs(fields: JsonFields) -> str:
    fields.require("inputs")
    return fields.text("inputs") or ""


def _with_new_seed(parameters: GenerateParameters) -> GenerateParameters:
    fresh = GenerateParameters().drawn_seed
    return replace(parameters, drawn_seed=fresh)


def _full_text(parameters: GenerateParameters, inputs: str, end: End) -> str:
    return inputs + end.text if parameters.return_full_text else end.text


def _generate_response(best: _Answer, rest: list[_Answer], inputs: str) -> Json:
    """TGI's `GenerateResponse`."""
    parameters = best.parameters
    body: Json = {"generated_text": _full_text(parameters, inputs, best.end)}
    if parameters.details or parameters.decoder_input_details:
        body["details"] = best.details()
        if rest:
            body["details"]["best_of_sequences"] = [
                {"generated_text": _full_text(parameters, inputs, answer.end), **answer.details()}
                for answer in rest
            ]
    return body


def _stream_response(
    index: int, token: GeneratedToken, generation: Generation, parameters: GenerateParameters, inputs: str
) -> Json:
    """TGI's `StreamResponse`."""
    body: Json = {"index": index, "token": token_json(token), "generated_text": None, "details": None}
    if parameters.top_n_tokens:
        body["top_tokens"] = [token_json(other) for other in token.top]
    if token.end:
        body["generated_text"] = _full_text(parameters, inputs, token.end)
        if parameters.details:
            body["details"] = {
                "finish_reason": token.end.finish_reason,
                "generated_tokens": token.end.generated_tokens,
                "seed": parameters.reported_seed,
                "input_length": generation.prompt_tokens,
            }
    return body

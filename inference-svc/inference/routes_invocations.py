"""`/invocations`: the one route that SageMaker calls, for requests of every kind.

Source: TGI 3's OpenAPI document (`SagemakerRequest`). What a request is, its own fields tell.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from inference.http import read_fields
from inference.routes_openai import OpenAiRoutes
from inference.routes_tgi import TgiRoutes


@dataclass(frozen=True, slots=True)
class InvocationsRoutes:
    """Hands each request to the handler of its kind."""

    tgi: TgiRoutes
    openai: OpenAiRoutes

    def routes(self) -> list[web.RouteDef]:
        """What the application mounts."""
        return [web.post("/invocations", self.invocations)]

    async def invocations(self, request: web.Request) -> web.StreamResponse:
        """`messages` make a chat, a `prompt` a completion, `inputs` are for TGI's `/`."""
        fields = await read_fields(request)  # the body is kept: the handler reads it again
        if fields.has("messages"):
            return await self.openai.chat_completions(request)
        if fields.has("prompt"):
            return await self.openai.completions(request)
        return await self.tgi.compat(request)

"""The smallest function, for what serving one costs."""

from __future__ import annotations

from dataclasses import dataclass

from functions._runtime.function import Function, Ground, function
from functions._runtime.http import Request, Response, Route


@dataclass(frozen=True, slots=True)
class Settings:
    """It has none."""


async def build(settings: Settings, ground: Ground) -> Function:
    """One route."""

    async def greet(request: Request) -> Response:
        return Response.json({"hello": request.json_object()["name"]})

    return Function(routes=[Route("POST", "/hello", greet)])


hello = function("hello", Settings, build)

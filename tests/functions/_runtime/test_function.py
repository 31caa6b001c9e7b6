from __future__ import annotations

from dataclasses import dataclass

import pytest

from functions._runtime.function import Function, Ground, application, function
from functions._runtime.http import Request, Response, Route
from functions._runtime.problems import problem_json
from functions._runtime.serving import hosting
from functions._runtime.settings import InvalidSettings, at_least, variable
from functions._runtime.testing import FunctionClient


@dataclass(frozen=True, slots=True)
class Settings:
    limit: int = variable("LIMIT", parse=at_least(1))


async def build(settings: Settings, ground: Ground) -> Function:
    async def limit(request: Request) -> Response:
        return Response.json({"limit": settings.limit, "name": ground.name})

    return Function(
        routes=[Route("GET", "/limit", limit)],
        render=lambda problem, request_id: Response.json({"ours": problem.code}, problem.status),
    )


async def test_a_module_that_is_only_imported_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIMIT", raising=False)
    monkeypatch.setenv("FUNCTION_TARGET", "another")
    monkeypatch.setattr(hosting, "_hosted", None)
    target = function("limits", Settings, build)
    assert target.__name__ == "limits"
    with pytest.raises(RuntimeError):
        hosting.hosted()


async def test_the_target_answers_with_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    """The framework's own routes give the request to whatever ASGI application the target returns."""
    monkeypatch.setenv("LIMIT", "3")
    target = function("limits", Settings, build)
    served = await target(None)
    assert await target(None) is served
    async with FunctionClient(served) as client:
        assert (await client.request("GET", "/limit")).json() == {"limit": 3, "name": "limits"}


async def test_a_function_may_have_its_own_form_of_errors() -> None:
    async with FunctionClient(application("limits", Settings, build, {"LIMIT": "1"})) as client:
        answer = await client.request("GET", "/nowhere")
    assert (answer.status, answer.json()) == (404, {"ours": "unknown_path"})


def test_settings_of_ground_and_function_are_reported_together() -> None:
    with pytest.raises(InvalidSettings) as raised:
        application("limits", Settings, build, {"LIMIT": "0", "MAX_BODY_BYTES": "-1"})
    assert raised.value.problems == [
        "MAX_BODY_BYTES is '-1': should be at least 1",
        "LIMIT is '0': should be at least 1",
    ]


def test_what_the_platform_grants_leaves_time_to_close() -> None:
    assert hosting.answering_s(300) == 290
    assert hosting.answering_s(4) == 3


def test_a_problem_that_passes_says_when_to_come_again() -> None:
    from functions._runtime.errors import TooManyRequests, Unavailable

    assert problem_json(Unavailable("not now"), "r").headers == {"retry-after": "1"}
    assert problem_json(TooManyRequests("slow down", retry_after_s=7), "r").headers == {"retry-after": "7"}

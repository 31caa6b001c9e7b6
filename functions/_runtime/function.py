"""How a function is made: its settings, and `build`, which wires it.

`service.py` of a function reads:

    @dataclass(frozen=True, slots=True)
    class Settings:
        store: str = variable("HADAL_STORE", default="memory:", parse=store_url, secret=True)

    async def build(settings: Settings, ground: Ground) -> Function:
        store = await ground.stack.enter_async_context(open_store(settings.store, ground.name))
        return Function(routes=[Route("GET", "/v1/notes/{id}", Read(store.documents("notes")))])

    notes = function("notes", Settings, build)
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, TypeVar, cast

from functions._runtime.clock import SystemClock, SystemIds
from functions._runtime.ground import EventHandler, Function, Ground, GroundSettings, ProblemRenderer
from functions._runtime.identity import published_identity
from functions._runtime.logs import Log
from functions._runtime.metrics import Metrics
from functions._runtime.outbound import HttpClient
from functions._runtime.serving.application import Application
from functions._runtime.serving.lifecycle import Lifecycle
from functions._runtime.settings import InvalidSettings, read

__all__ = ["EventHandler", "Function", "Ground", "ProblemRenderer", "application", "function"]

S = TypeVar("S")
Build = Callable[[S, Ground], Awaitable[Function]]
Target = Callable[[Any], Awaitable[Application]]

_WRONG_SETTINGS = 2


def function(name: str, settings: type[S], build: Build[S]) -> Target:
    """The target that functions-framework serves when it is told `--target <name>`.

    Where a module is loaded for that, the settings are read now, because a wrong one must end the process at
    its start (status 2, one line a variable) and not at its first request. Any other import does nothing.
    """
    from functions_framework import aio

    made: list[Application] = []

    async def target(request: Any) -> Application:
        """Served by the framework's own routes: a response there may be any ASGI application."""
        if not made:
            made.append(application(name, settings, build, os.environ))
        return made[0]

    target.__name__ = target.__qualname__ = name
    if os.environ.get("FUNCTION_TARGET") == name:
        made.append(_composed(name, settings, build))
    return cast("Target", aio.http(cast("Any", target)))


def application(name: str, settings: type[S], build: Build[S], environ: Mapping[str, str]) -> Application:
    """The function as an ASGI application, for a test or another server.

    Raises:
        InvalidSettings: some variables in `environ` are missing or bad.
    """
    ground_settings, own_settings = _settings(settings, environ)
    log = Log(name, ground_settings.log_level)
    metrics = Metrics()

    async def built(stack: AsyncExitStack) -> Function:
        http = HttpClient(environ, stack)
        clock = SystemClock()
        identity = published_identity(http, ground_settings.issuer, ground_settings.audience, clock)
        ground = Ground(name, ground_settings, stack, clock, SystemIds(), http, identity, metrics, log)
        return await build(own_settings, ground)

    return Application(ground_settings, Lifecycle(built, log), metrics, log)


def _composed(name: str, settings: type[S], build: Build[S]) -> Application:
    from functions._runtime.serving.hosting import host

    try:
        made = application(name, settings, build, os.environ)
    except InvalidSettings as wrong:
        lines = "\n".join(f"  {problem}" for problem in wrong.problems)
        sys.stderr.write(f"{name} can't start with these settings:\n{lines}\n")
        sys.exit(_WRONG_SETTINGS)
    host(made)
    return made


def _settings(settings: type[S], environ: Mapping[str, str]) -> tuple[GroundSettings, S]:
    problems: list[str] = []
    found: list[Any] = []
    for each in (GroundSettings, settings):
        try:
            found.append(read(each, environ))
        except InvalidSettings as wrong:
            problems += wrong.problems
    if problems:
        raise InvalidSettings(problems)
    return found[0], found[1]

"""The HTTP application: every route around one `Serving`."""

from __future__ import annotations

from aiohttp import web

from inference.http import error_middleware
from inference.routes_invocations import InvocationsRoutes
from inference.routes_models import ModelsRoutes
from inference.routes_openai import OpenAiRoutes
from inference.routes_operations import OperationsRoutes
from inference.routes_tgi import TgiRoutes
from inference.serving import Serving


def make_app(serving: Serving, payload_limit_bytes: int) -> web.Application:
    """Mount all routes. Run it with `handler_cancellation`: a client that leaves then ends its generation."""
    app = web.Application(
        middlewares=[error_middleware(serving.metrics)], client_max_size=payload_limit_bytes
    )
    tgi, openai = TgiRoutes(serving), OpenAiRoutes(serving)
    for routes in (
        tgi,
        openai,
        InvocationsRoutes(tgi, openai),
        OperationsRoutes(serving),
        ModelsRoutes(serving),
    ):
        app.add_routes(routes.routes())
    return app

"""The operator's routes: `/health` (also as `/`, as in TGI), `/ping`, `/info`, `/metrics`."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from aiohttp import web

from inference import __version__
from inference.http import json_answer
from inference.metrics import CONTENT_TYPE
from inference.routes_models import pool_json
from inference.serving import Serving


@dataclass(frozen=True, slots=True)
class OperationsRoutes:
    """The handlers; `serving` holds the models."""

    serving: Serving

    def routes(self) -> list[web.RouteDef]:
        """What the application mounts."""
        return [
            web.get("/", self.health),
            web.get("/health", self.health),
            web.get("/ping", self.ping),
            web.get("/info", self.info),
            web.get("/metrics", self.metrics),
        ]

    async def health(self, request: web.Request) -> web.StreamResponse:
        """200 while requests are taken, else 503 with the reason."""
        self.serving.model()
        self.serving.check_progress()
        return web.Response()

    async def ping(self, request: web.Request) -> web.StreamResponse:
        """200 while the process answers and its engine moves: what a restart can mend is 503."""
        self.serving.check_progress()
        return web.Response()

    async def info(self, request: web.Request) -> web.StreamResponse:
        """TGI's `Info` of the default model, with the engine's own facts and what memory is used for."""
        model = self.serving.model()
        description = model.engine.description
        return json_answer(
            {
                "model_id": model.name,
                "model_sha": model.revision,
                "model_dtype": description.dtype,
                "model_device_type": description.device,
                "model_pipeline_tag": "text-generation",
                "model_dtype_reason": description.dtype_reason,
                "engine": description.engine,
                "speculate": description.speculate,
                **asdict(model.limits),
                "memory": pool_json(self.serving.pool),
                "validation_workers": 1,
                "router": "hadal-inference",
                "version": __version__,
                "sha": None,
                "docker_label": None,
            }
        )

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """Prometheus text."""
        return web.Response(body=self.serving.metrics.render(), headers={"Content-Type": CONTENT_TYPE})

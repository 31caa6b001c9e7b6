"""The models of this process: which there are, what they take, loading and unloading. `/models` is ours."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from inference.http import event_stream, json_answer, read_fields
from inference.json_fields import JsonFields
from inference.pool import ModelPool
from inference.pool_entry import Entry, Load
from inference.serving import Serving

Json = dict[str, Any]


def entry_json(entry: Entry) -> Json:
    """A model's state, and where it is loaded what its memory is used for."""
    told: Json = {
        "id": entry.name,
        "state": entry.state,
        "pinned": entry.pinned,
        "in_use": entry.in_use,
        "bytes": entry.reserved_bytes,
    }
    if entry.model:
        description = entry.model.engine.description
        told |= {
            "weight_bytes": description.weight_bytes,
            "adapter_bytes": description.adapter_bytes,
            "cache_bytes": description.cache_bytes,
            "cache_used_bytes": entry.model.engine.load().cache_used_bytes,
        }
    if entry.failure:
        told["error"] = entry.failure
    return told


def pool_json(pool: ModelPool) -> Json:
    """What all models together may take and take, and each of them."""
    return {
        "budget_bytes": pool.budget_bytes,
        "reserved_bytes": pool.reserved_bytes,
        "models": [entry_json(entry) for entry in pool.entries()],
    }


@dataclass(frozen=True, slots=True)
class ModelsRoutes:
    """The handlers; `serving` holds the models."""

    serving: Serving

    def routes(self) -> list[web.RouteDef]:
        """What the application mounts; a name may have slashes."""
        return [
            web.get("/models", self.models),
            web.post("/models/{name:.+}/load", self.load),
            web.post("/models/{name:.+}/unload", self.unload),
        ]

    async def models(self, request: web.Request) -> web.StreamResponse:
        """All models with their states and bytes."""
        return json_answer(pool_json(self.serving.pool))

    async def load(self, request: web.Request) -> web.StreamResponse:
        """Load a model, or join its load. The body may say `pinned`, and `stream` for events on the way."""
        fields = await read_fields(request) if request.can_read_body else JsonFields({})
        self.serving.model()  # nothing new while the process starts or drains
        pool, name = self.serving.pool, request.match_info["name"]
        pinned = fields.flag("pinned") if fields.has("pinned") else None
        streamed = fields.flag("stream")
        load = pool.start_load(name, pinned)
        if streamed:
            return await self._stream(request, load, name)
        if load:
            await asyncio.shield(load.task)
        return json_answer(entry_json(pool.entry(name)))

    async def unload(self, request: web.Request) -> web.StreamResponse:
        """Free what a model takes."""
        return json_answer(entry_json(await self.serving.pool.unload(request.match_info["name"])))

    async def _stream(self, request: web.Request, load: Load | None, name: str) -> web.StreamResponse:
        """One event a step; the last one is the model as `GET /models` has it, or an error."""
        async with event_stream(request, self.serving.metrics, openai=False, headers={}) as (
            stream,
            response,
        ):
            if load:
                async for step in load.progress.follow():
                    told = (
                        {"message": step.message}
                        if step.message
                        else {
                            "loaded_bytes": step.loaded_bytes,
                            "total_bytes": step.total_bytes,
                        }
                    )
                    await stream.send({"state": "loading", **told})
                await asyncio.shield(load.task)
            await stream.send(entry_json(self.serving.pool.entry(name)))
        return response

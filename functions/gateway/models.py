"""Which models there are: the model service's list, asked for at most every few seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from functions._runtime.errors import BadGateway, NotFound, Unavailable
from functions._runtime.http import Request, Response
from functions._runtime.ports import Clock
from functions.gateway.credentials import Credentials
from functions.gateway.single_flight import SingleFlight
from functions.gateway.upstream import RETRY_AFTER_S, Upstream

FRESH_S = 5.0
_LONGEST_LIST_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class Models:
    """`/v1/models`, and whether a model is one."""

    credentials: Credentials
    inference: Upstream
    clock: Clock
    _known: Mapping[str, dict[str, Any]] | None = field(default=None, init=False)
    _asked_at_s: float = field(default=0.0, init=False)
    _asking: SingleFlight[Mapping[str, dict[str, Any]]] = field(default_factory=SingleFlight, init=False)

    async def list(self, request: Request) -> Response:
        """The models, as OpenAI lists them."""
        await self.credentials.token(request.headers.get("authorization"))
        return Response.json({"object": "list", "data": list((await self._fresh()).values())})

    async def retrieve(self, request: Request) -> Response:
        """One model; its name may have a slash in it, as those of Hugging Face's hub have."""
        await self.credentials.token(request.headers.get("authorization"))
        name = "/".join(request.path_params.values())
        return Response.json(_found(await self._fresh(), name))

    async def check(self, name: str) -> None:
        """Return if there is a model `name`.

        Where the list can't be had now, the last one decides.

        Raises:
            NotFound: there is none.
            Unavailable, BadGateway: there has been no list yet, and none can be had.
        """
        try:
            known = await self._fresh()
        except (Unavailable, BadGateway):
            if self._known is None:
                raise
            known = self._known
        _found(known, name)

    async def _fresh(self) -> Mapping[str, dict[str, Any]]:
        age_s = self.clock.now().timestamp() - self._asked_at_s
        if self._known is not None and 0 <= age_s < FRESH_S:
            return self._known
        return await self._asking.do("models", self._asked)

    async def _asked(self) -> Mapping[str, dict[str, Any]]:
        asked_at_s = self.clock.now().timestamp()
        self._known = await self._listed()
        self._asked_at_s = asked_at_s
        return self._known

    async def _listed(self) -> Mapping[str, dict[str, Any]]:
        async with self.inference.ask("GET", "/v1/models", {"accept": "application/json"}) as answer:
            body = await answer.read(_LONGEST_LIST_BYTES)
        if answer.status != 200:
            raise Unavailable("The model service isn't ready; try again.", retry_after_s=RETRY_AFTER_S)
        try:
            return {str(entry["id"]): _model(entry) for entry in orjson.loads(body)["data"]}
        except (ValueError, KeyError, TypeError):
            raise BadGateway("The model service's list of models can't be read.") from None


def _model(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry with all the fields that OpenAI's have."""
    return {"created": 0, "owned_by": "hadal", **entry, "object": "model"}


def _found(known: Mapping[str, dict[str, Any]], name: str) -> dict[str, Any]:
    if name not in known:
        message = f"The model {name[:200]!r} does not exist; GET /v1/models lists those that do."
        raise NotFound(message, code="model_not_found", param="model")
    return known[name]

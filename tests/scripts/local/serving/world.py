"""An activator with processes that behave as told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.local.http import ClientResponse
from scripts.local.manifests.model import EnvVar, Service, SourceLocation
from scripts.local.serving import Activator, Image

ROOT = Path(__file__).parents[4]
HERE = SourceLocation("app.yaml", 1)
PATIENCE_S = 10.0
MB = 1_000_000


def service(name: str = "app", env: dict[str, str] | None = None, **fields: Any) -> Service:
    """A Service that runs `app.py`."""
    variables = tuple(EnvVar(key, value, HERE) for key, value in (env or {}).items())
    signs = EnvVar("SIGNS", "$(HADAL_DATA)/signs", HERE)
    return Service(name, "hadal", HERE, "app", ("python", "-S", "app.py"), env=(signs, *variables), **fields)


@dataclass
class World:
    """The activator, and the signs that its processes wait for."""

    activator: Activator
    data: Path

    def sign(self, name: str) -> None:
        """Put up a sign."""
        (self.data / "signs" / name).touch()

    def has(self, pattern: str) -> int:
        """How many signs there are."""
        return len(list((self.data / "signs").glob(pattern)))

    async def get(self, path: str, name: str = "app", **options: Any) -> str:
        """The body of an answer of status 200."""
        response = await self.ask(path, name, **options)
        body = await response.read(MB)
        assert response.status == 200, body
        return body.decode()

    async def ask(self, path: str, name: str = "app", **options: Any) -> ClientResponse:
        """An answer."""
        return await self.activator.request(name, b"GET", path.encode(), [(b"host", b"app")], **options)

    async def json(self, path: str) -> Any:
        """An answer in JSON."""
        return json.loads(await self.get(path))

    def status(self, name: str = "app") -> dict[str, Any]:
        """A Service's row."""
        return next(row for row in self.activator.status() if row["name"] == name)

    def pids(self, name: str = "app") -> list[int]:
        """A Service's processes."""
        return [replica["pid"] for replica in self.status(name)["replicas"]]

    async def until(self, true: Callable[[], object], what: str = "it") -> None:
        """Wait for a condition."""
        async with asyncio.timeout(PATIENCE_S):
            while not true():  # noqa: ASYNC110  other processes make it true
                await asyncio.sleep(0.01)


@asynccontextmanager
async def world(data: Path, *services: Service) -> AsyncIterator[World]:
    """An activator that runs `services`."""
    (data / "logs").mkdir()
    (data / "signs").mkdir()
    activator = Activator(
        services,
        data,
        images={"app": Image(ROOT / ".venv", Path(__file__).parent)},
        proxy="http://127.0.0.1:1",
        bound=lambda service: {"K_SINK": "http://sink"},
        secret=lambda secret, key: f"{secret}/{key}",
    )
    activator.start()
    try:
        yield World(activator, data)
    finally:
        await activator.stop(0.5)

"""The local runner as a `Place`: a process with a data folder and an overlay of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from scripts.local.admin import CommandError, Row, ask
from scripts.local.eventing.classes import CLASSES

from .door import Door
from .objects import IMAGE
from .place import NAMESPACE, Manifest, PlaceError, Response

ROOT = Path(__file__).resolve().parents[3]
FUNCTIONS = "dev.local/hadal-functions"
"""The image whose environment has what the probe needs."""
READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 10.0
GOING = ("stopping", "draining")


class Runner:
    """`Place` over a runner that this process has started."""

    name = "runner"
    broker_classes = frozenset(CLASSES)
    at_once = 8
    patience_s = READY_WITHIN_S

    def __init__(self, folder: Path, outer: Door, inner: Door) -> None:
        self._folder = folder
        self._outer = outer
        self._inner = inner
        self._objects: dict[tuple[str, str], Manifest] = {}
        self._changing = asyncio.Lock()

    async def apply(self, manifests: Sequence[Manifest], *, ready: bool = True) -> None:
        """See `Place.apply`."""
        await self._change(manifests, ())
        for manifest in manifests:
            if ready and manifest["kind"] == "Service":
                await self._until_ready(manifest["metadata"]["name"])

    async def delete(self, manifests: Sequence[Manifest]) -> None:
        """See `Place.delete`."""
        await self._change((), manifests)

    def request(
        self, service: str, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> AbstractAsyncContextManager[Response]:
        """See `Place.request`."""
        return self._outer.request(method, path, headers, body, host=f"{service}.{NAMESPACE}.localhost")

    async def post_event(self, broker: str, headers: Mapping[str, str], body: bytes) -> int:
        """See `Place.post_event`."""
        async with self._inner.request("POST", f"/{NAMESPACE}/{broker}", headers, body) as response:
            return response.status

    async def replicas(self, service: str) -> int:
        """See `Place.replicas`."""
        rows = (await self._status(service))["replicas"]
        return sum(row["state"] not in GOING for row in rows)

    async def terminate(self, service: str) -> None:
        """See `Place.terminate`."""
        for row in (await self._status(service))["replicas"]:
            os.kill(row["pid"], signal.SIGTERM)

    async def logs(self, service: str) -> str:
        """See `Place.logs`."""
        path = self._folder / "data" / "logs" / f"{service}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    async def _change(self, come: Sequence[Manifest], go: Sequence[Manifest]) -> None:
        """Write the overlay anew and have it applied; changes come one after the other."""
        async with self._changing:
            gone = {_key(each) for each in go}
            kept = {key: each for key, each in self._objects.items() if key not in gone}
            objects = kept | {_key(each): each for each in come}
            write_overlay(self._folder / "overlay", list(objects.values()))
            try:
                await asyncio.to_thread(self._ask, "apply")
            except CommandError as error:
                raise PlaceError(str(error)) from None
            self._objects = objects

    async def _until_ready(self, service: str) -> None:
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                while not (await self._status(service))["ready"]:  # noqa: ASYNC110  another process
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise PlaceError(f"{service} was not ready within {READY_WITHIN_S:g} s") from None

    async def _status(self, service: str) -> dict[str, Any]:
        (status,) = await asyncio.to_thread(self._ask, "status")
        rows: dict[str, dict[str, Any]] = {row["name"]: row for row in status["services"]}
        return rows[service]

    def _ask(self, command: str) -> list[Row]:
        return list(ask(self._folder / "data" / "run" / "admin.sock", command))


def write_overlay(folder: Path, objects: Sequence[Manifest]) -> None:
    """An overlay of these objects, with the runner's own environment in the place of the probe's image."""
    folder.mkdir(exist_ok=True)
    (folder / "objects.yaml").write_text(yaml.safe_dump_all([dict(each) for each in objects]))
    image = {"name": IMAGE.rpartition(":")[0], "newName": FUNCTIONS}
    (folder / "kustomization.yaml").write_text(
        yaml.safe_dump({"resources": ["objects.yaml"], "images": [image]})
    )


@asynccontextmanager
async def runner(folder: Path) -> AsyncIterator[Runner]:
    """A runner in `folder`, from its start to its end. `PlaceError`."""
    write_overlay(folder / "overlay", [])
    words = ["--json", "--port", "0", "--data", str(folder / "data"), "--overlay", str(folder / "overlay")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "scripts.local", *words, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None  # noqa: S101  it is a pipe
        line = await asyncio.wait_for(process.stdout.readline(), READY_WITHIN_S)
        if not line:
            raise PlaceError("the runner didn't start; what it said stands above")
        port = (folder / "data" / "run" / "inner-port").read_text()
        outer, inner = Door(json.loads(line)["url"]), Door(f"http://127.0.0.1:{port}")
        try:
            yield Runner(folder, outer, inner)
        finally:
            await asyncio.gather(outer.close(), inner.close())
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            await asyncio.wait_for(process.wait(), STOPPED_WITHIN_S)


def _key(manifest: Manifest) -> tuple[str, str]:
    return str(manifest["kind"]), str(manifest["metadata"]["name"])

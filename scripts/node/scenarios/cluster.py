"""A cluster as a `Place`: kubectl for the objects, the ingress for requests, the API's proxy for events.

It needs a kubeconfig that may make a namespace, kubectl, the address of the ingress (Kourier's, for
instance), and an image of the probe under the name that `objects.IMAGE` says.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from .door import Door
from .objects import CHANNEL
from .place import NAMESPACE, Manifest, PlaceError, Response

READY_WITHIN_S = 120
INGRESS = "/api/v1/namespaces/knative-eventing/services/http:broker-ingress:80/proxy"
"""The Brokers' ingress, which is reached inside only, by way of the API server."""
RESOURCES = {
    "Service": "services.serving.knative.dev",
    "Broker": "brokers.eventing.knative.dev",
    "Trigger": "triggers.eventing.knative.dev",
    "PingSource": "pingsources.sources.knative.dev",
    "SinkBinding": "sinkbindings.sources.knative.dev",
}
OF_SERVICE = "serving.knative.dev/service"
OF_CHANNEL = "knative.dev/channel"
"""How the annotations of a Broker's status begin that name its channel."""


@dataclass(frozen=True, slots=True)
class Access:
    """How a cluster is reached.

    Attributes:
        kubectl: the program.
        kubeconfig: its configuration; empty: kubectl's own default.
        ingress: the address that requests from outside go to, `http://host:port`.
        domain: what follows `NAME.NAMESPACE.` in a Service's host (`config-domain`).
    """

    kubectl: str
    kubeconfig: str
    ingress: str
    domain: str

    def command(self, *words: str) -> list[str]:
        """The program with these words."""
        chosen = [f"--kubeconfig={self.kubeconfig}"] if self.kubeconfig else []
        return [self.kubectl, *chosen, *words]

    async def run(self, *words: str, text: str = "") -> str:
        """What kubectl prints. `PlaceError`."""
        process = await asyncio.create_subprocess_exec(
            *self.command(*words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(text.encode())
        if process.returncode:
            raise PlaceError(f"kubectl {' '.join(words)}: {err.decode().strip()}")
        return out.decode()


class Cluster:
    """`Place` over a cluster with Knative."""

    name = "cluster"
    broker_classes = frozenset((CHANNEL,))
    at_once = 3
    patience_s = 240.0

    def __init__(self, access: Access, outer: Door, api: Door) -> None:
        self._access = access
        self._outer = outer
        self._api = api

    async def apply(self, manifests: Sequence[Manifest], *, ready: bool = True) -> None:
        """See `Place.apply`."""
        await self._access.run("apply", "-f", "-", text=_list(manifests))
        if ready:
            names = [f"{RESOURCES[each['kind']]}/{each['metadata']['name']}" for each in manifests]
            await asyncio.gather(*map(self._until_ready, names))
            brokers = {each["spec"]["broker"] for each in manifests if each["kind"] == "Trigger"}
            await asyncio.gather(*map(self._until_subscribed, brokers))

    async def delete(self, manifests: Sequence[Manifest]) -> None:
        """See `Place.delete`."""
        if manifests:
            words = ("delete", "--ignore-not-found", "--wait=false", "-f", "-")
            await self._access.run(*words, text=_list(manifests))

    def request(
        self, service: str, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> AbstractAsyncContextManager[Response]:
        """See `Place.request`."""
        host = f"{service}.{NAMESPACE}.{self._access.domain}"
        return self._outer.request(method, path, headers, body, host=host)

    async def post_event(self, broker: str, headers: Mapping[str, str], body: bytes) -> int:
        """See `Place.post_event`."""
        async with self._api.request("POST", f"{INGRESS}/{NAMESPACE}/{broker}", headers, body) as response:
            return response.status

    async def replicas(self, service: str) -> int:
        """See `Place.replicas`."""
        return sum("deletionTimestamp" not in pod["metadata"] for pod in await self._pods(service))

    async def terminate(self, service: str) -> None:
        """See `Place.terminate`."""
        await self._run("delete", "pod", "--wait=false", "-l", f"{OF_SERVICE}={service}")

    async def logs(self, service: str) -> str:
        """See `Place.logs`: of this start and of the one before."""
        texts = []
        for pod in await self._pods(service):
            for words in ([], ["--previous"]):
                try:
                    texts.append(
                        await self._run("logs", pod["metadata"]["name"], "-c", "user-container", *words)
                    )
                except PlaceError:
                    continue  # not started yet, or never before
        return "\n".join(texts)

    async def _pods(self, service: str) -> list[Any]:
        said = await self._run("get", "pods", "-o", "json", "-l", f"{OF_SERVICE}={service}")
        found: list[Any] = json.loads(said)["items"]
        return found

    async def _until_ready(self, name: str) -> None:
        """The object is ready, as its controller says of this very text of it."""
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                while not _is_ready(await self._get(name)):  # noqa: ASYNC110
                    await asyncio.sleep(0.5)
        except TimeoutError:
            raise PlaceError(f"{name} was not ready within {READY_WITHIN_S} s") from None

    async def _until_subscribed(self, broker: str) -> None:
        """The Broker's channel, where it has one, knows all of its Triggers, which are ready.

        Knative 1.23 says that a Trigger is ready while the channel's dispatcher still passes over the change:
        it skips a channel whose status is of an older generation, and reports its subscribers all the same.
        An event that comes in between is answered 202, and goes to nobody.
        """
        said = (await self._get(f"{RESOURCES['Broker']}/{broker}"))["status"].get("annotations", {})
        if f"{OF_CHANNEL}Name" in said:
            group, _, version = said[f"{OF_CHANNEL}APIVersion"].partition("/")
            kind, name = said[f"{OF_CHANNEL}Kind"], said[f"{OF_CHANNEL}Name"]
            await self._until_ready(f"{kind}.{version}.{group}/{name}")

    async def _get(self, name: str) -> Any:
        return json.loads(await self._run("get", name, "-o", "json"))

    async def _run(self, *words: str) -> str:
        return await self._access.run("-n", NAMESPACE, *words)


def _is_ready(item: Mapping[str, Any]) -> bool:
    status = item.get("status", {})
    current = status.get("observedGeneration") == item["metadata"]["generation"]
    conditions = {each["type"]: each["status"] for each in status.get("conditions", [])}
    return current and conditions.get("Ready") == "True"


@asynccontextmanager
async def cluster(access: Access) -> AsyncIterator[Cluster]:
    """A cluster with the scenarios' namespace, and the API's proxy while it is used. `PlaceError`."""
    await access.run("delete", "namespace", NAMESPACE, "--ignore-not-found")  # what an earlier run has left
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    await access.run("apply", "-f", "-", text=json.dumps(namespace))
    proxy = await asyncio.create_subprocess_exec(
        *access.command("proxy", "--port=0"), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert proxy.stdout is not None  # noqa: S101  it is a pipe
        said = (await proxy.stdout.readline()).decode()  # Starting to serve on 127.0.0.1:PORT
        if not said:
            raise PlaceError("kubectl proxy didn't start; what it said stands above")
        outer, api = Door(access.ingress), Door(f"http://{said.split()[-1]}")
        try:
            yield Cluster(access, outer, api)
        finally:
            await asyncio.gather(outer.close(), api.close())
    finally:
        if proxy.returncode is None:
            proxy.terminate()
            await proxy.wait()
        await access.run("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")


def _list(manifests: Sequence[Manifest]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})

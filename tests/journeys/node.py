"""Hadal on the node of `scripts/cluster`, as a journey uses it: through Envoy, with a test's own model."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest

from scripts.deployment.cluster import Cluster, Tools
from scripts.deployment.credentials import BOOTSTRAP, Credentials
from scripts.deployment.doors import inner_door
from scripts.node.cluster.place import ADDRESS, DOMAIN, HOST_ADDRESS
from scripts.node.cluster.pods import processes
from tests.journeys.system import ROOT, Door

__all__ = ["HOST_ADDRESS", "Deployed", "hadal"]

NAMESPACE = "hadal"
ASKS_THE_MODEL = ("gateway", "chat", "summarize")
KEPT = "autoscaling.knative.dev/scale-to-zero-pod-retention-period"
SHORTEST = {"stable-window": "6s", "scale-to-zero-grace-period": "6s"}
FUNCTIONS = ("gateway", "auth", "chat", "history", "summarize")


@dataclass
class Deployed(Door):
    """Hadal's functions on the node."""

    url: str
    api_key: str

    def pods(self, *services: str) -> list[Any]:
        """The pods of these Services that aren't on their way out."""
        selector = f"serving.knative.dev/service in ({', '.join(services)})"
        items = json.loads(cluster("kubectl", "get", "pods", "-n", NAMESPACE, "-l", selector, "-o", "json"))
        return [pod for pod in items["items"] if "deletionTimestamp" not in pod["metadata"]]

    def kill(self, service: str) -> None:
        """kill -9 what runs the function, in each of its pods; the sidecar and the pod stay."""
        uids = {pod["metadata"]["uid"] for pod in self.pods(service)}
        for process, uid in processes():
            with suppress(FileNotFoundError, ProcessLookupError):  # ended with the one before
                if uid in uids and "python" in (process / "exe").readlink().name:
                    os.kill(int(process.name), signal.SIGKILL)

    def is_at_zero(self) -> bool:
        """Whether no function runs."""
        return not self.pods(*FUNCTIONS)


@contextmanager
def hadal(model_url: str, **of_chat: str) -> Iterator[Deployed]:
    """Hadal with the model at `model_url`, and these variables more for chat; as it was afterwards."""
    variables = {name: {"INFERENCE_URL": model_url} for name in ASKS_THE_MODEL}
    variables["chat"].update(of_chat)
    try:
        for name, values in variables.items():
            _update(name, *(word for each in values.items() for word in ("--env", "=".join(each))))
        with names_of_the_node():
            yield Deployed(f"http://gateway.{NAMESPACE}.{DOMAIN}", api_key())
    finally:
        for name, values in variables.items():
            _update(name, *(word for key in values for word in ("--env", f"{key}-")))


@contextmanager
def schedule(cron: str) -> Iterator[None]:
    """Let `ticks` come at other times for a while."""
    source = ("pingsource", "ticks", "-n", NAMESPACE)
    before = _read(*source)["spec"]["schedule"]
    _patch(source, {"spec": {"schedule": cron}})
    try:
        yield
    finally:
        _patch(source, {"spec": {"schedule": before}})


@contextmanager
def soon_at_zero() -> Iterator[None]:
    """Knative's waiting times at their shortest: how soon functions end, not how they start."""
    settings = ("configmap", "config-autoscaler", "-n", "knative-serving")
    before = _read(*settings).get("data", {})
    kept = _read("ksvc", "chat", "-n", NAMESPACE)["spec"]["template"]["metadata"]["annotations"][KEPT]
    _patch(settings, {"data": SHORTEST})
    _update("chat", "--annotation", f"{KEPT}=0s")
    try:
        yield
    finally:
        _update("chat", "--annotation", f"{KEPT}={kept}")
        _patch(settings, {"data": {name: before.get(name) for name in SHORTEST}})


@contextmanager
def names_of_the_node() -> Iterator[None]:
    """Names below the node's domain lead to it, as they do where sslip.io can be asked."""
    asked = socket.getaddrinfo

    def getaddrinfo(host: Any, *more: Any, **named: Any) -> Any:
        below = isinstance(host, str) and host.endswith(f".{DOMAIN}")
        return asked(ADDRESS if below else host, *more, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


def api_key() -> str:
    """An admin's key, made with the token that `scripts/deploy` has put into a Secret."""
    command = str(ROOT / "scripts/cluster")
    there = Cluster(Tools((command, "kubectl"), (command, "kn")))
    token = Credentials(there, NAMESPACE, ()).value(*BOOTSTRAP)
    with inner_door(there, NAMESPACE, "auth") as auth:
        wish = {"name": "journeys", "role": "admin"}
        answer = auth.ask("POST", "/v1/api_keys", wish, {"Authorization": f"Bearer {token}"})
    assert answer.status == 201, f"auth answered {answer}"
    return str(answer.json()["api_key"])


def _read(*which: str) -> Any:
    return json.loads(cluster("kubectl", "get", *which, "-o", "json"))


def _patch(which: tuple[str, ...], change: object) -> None:
    cluster("kubectl", "patch", *which, "--type=merge", "-p", json.dumps(change))


def _update(function: str, *changes: str) -> None:
    """Change a Service as `kn` does, and wait for the new revision."""
    cluster("kn", "service", "update", function, "-n", NAMESPACE, *changes)


def cluster(*words: str) -> str:
    """What `scripts/cluster` prints."""
    done = subprocess.run([ROOT / "scripts/cluster", *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"scripts/cluster {' '.join(words)}: {done.stderr}"
    return done.stdout

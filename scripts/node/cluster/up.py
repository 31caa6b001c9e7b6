"""`scripts/cluster up`: from nothing to a node with Knative on it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.node.admission.apiserver import Kubectl
from scripts.node.build import NodeError, build
from scripts.node.programs import PROGRAMS
from scripts.servers.debian import need, program
from scripts.servers.server import ServerFailed

from . import cgroups, dns, objects, sysctls
from .certificates import Authority
from .control_plane import start_control_plane
from .daemons import Daemons
from .down import down
from .envoy import fetch_envoy
from .images import ctr, image_name, import_missing, of_envoy, of_program
from .namespaces import Namespaces, hold
from .place import CERTIFICATES, INGRESS, KUBECONFIG, LOGS, STATE, images_folder
from .worker import start_containerd, start_worker

IN_PODS = (
    "pause",
    "coredns",
    "kourier",
    *(name for name in PROGRAMS if name.startswith(("serving-", "eventing-"))),
)
"""Programs that run as pods, or beside pods."""
PACKAGES = ("containerd", "runc", "containernetworking-plugins", "iptables", "iproute2")
_NEEDED = ("containerd", "runc", "iptables", "ip")
_AVAILABLE_WITHIN_S = 300


def up() -> None:
    """Bring the node up, with a line a step on standard error; what is there already is said.

    Raises:
        NodeError: it can't be; what was started is ended again.
    """
    check_machine()
    with _step("programs"):
        programs, envoy = build(PROGRAMS), fetch_envoy()
    down()  # what an interrupted one has left
    for folder in (STATE, LOGS, CERTIFICATES):
        folder.mkdir(mode=0o700, parents=True)
    try:
        _start(programs, envoy)
    except BaseException:
        _keep_logs()
        down()
        raise


def check_machine() -> None:
    """What must be there before anything is started.

    Raises:
        NodeError: this isn't Linux, or not root, or a program is missing and can't be installed.
    """
    elsewhere = "any cluster with Knative will do: scripts/deploy --context NAME (kind, minikube, …)"
    if not sys.platform.startswith("linux"):
        raise NodeError(f"the node takes Linux's namespaces; {elsewhere}")
    if os.geteuid() != 0:
        raise NodeError(
            f"the node takes root, for its network and containers: sudo scripts/cluster up; or {elsewhere}"
        )
    try:
        for name in _NEEDED:
            need(program(name), name, PACKAGES)
    except ServerFailed as error:
        raise NodeError(str(error)) from None


def _start(programs: Mapping[str, Path], envoy: Path) -> None:
    images = [of_program(programs[name]) for name in IN_PODS]
    gateway = of_envoy(envoy)
    authority = Authority()
    daemons = Daemons()
    with _step("namespaces"):
        cgroups.make()
        sysctls.remember()
        holder, inside = hold(programs["pause"])
        daemons.add("holder", holder)
    with ThreadPoolExecutor() as pool, _step("containerd, the API server, and images"):
        imported = pool.submit(
            _containers, image_name(programs["pause"]), [*images, gateway], inside, daemons
        )
        kubectl = start_control_plane(programs, authority, inside, daemons)
        imported.result()
    with _step("the node, and names"):
        start_worker(programs, authority, inside, daemons)
        _apply(kubectl, dns.objects(programs["coredns"]))
    with _step("Knative"):
        for made in objects.rounds(programs, gateway.name):
            _apply(kubectl, made)
            if any(each["kind"] == "CustomResourceDefinition" for each in made):
                _wait(kubectl, "crd", "Established", "--all")
        _apply(kubectl, objects.image_maps())
    with _step("everything available"):
        _wait(kubectl, "deployment", "Available", "--all", "--all-namespaces")
    print(f"  kubeconfig  {KUBECONFIG}\n  ingress     {INGRESS}", file=sys.stderr)


def _containers(pause: str, images: Sequence[Any], inside: Namespaces, daemons: Daemons) -> None:
    images_folder().mkdir(parents=True, exist_ok=True)
    start_containerd(pause, inside, daemons)
    for left in ctr(inside, "containers", "list", "-q").split():  # of a node that was ended by force
        ctr(inside, "containers", "delete", left)
    import_missing(images, inside)


def _apply(kubectl: Kubectl, made: Sequence[Mapping[str, Any]]) -> None:
    kubectl.apply("-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": made}))


def _wait(kubectl: Kubectl, kind: str, condition: str, *which: str) -> None:
    words = ("wait", kind, f"--for=condition={condition}", f"--timeout={_AVAILABLE_WITHIN_S}s", *which)
    done = kubectl.run(*words, within_s=_AVAILABLE_WITHIN_S + 10)
    if done.returncode:
        pods = kubectl.run("get", "pods", "--all-namespaces").stdout
        raise NodeError(f"not everything is {condition.lower()}: {done.stderr.strip()}\n{pods}")


def _keep_logs() -> None:
    """The logs outlive a node that didn't come up."""
    kept = Path("/tmp") / f"hadal-cluster-{int(time.time())}"  # noqa: S108  root's, made with mode 0700
    kept.mkdir(mode=0o700)
    for log in LOGS.glob("*.log"):
        (kept / log.name).write_bytes(log.read_bytes())
    print(f"  the logs are in {kept}", file=sys.stderr)


@contextmanager
def _step(text: str) -> Iterator[None]:
    print(f"  … {text}", file=sys.stderr, flush=True)
    began_s = time.monotonic()
    yield
    print(f"  ✓ {text} ({time.monotonic() - began_s:.1f} s)", file=sys.stderr, flush=True)

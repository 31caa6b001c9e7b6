"""What can be said to the node: `scripts/cluster up`, `down`, `status`, `logs`, `kubectl`, `kn`, `import`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.node.admission.apiserver import Kubectl
from scripts.node.build import NodeError, build

from .daemons import Daemons, log, remembered
from .down import down
from .images import import_archive
from .namespaces import Namespaces
from .place import INGRESS, KUBECONFIG, LOGS
from .status import parts
from .up import up

COMMANDS = ("up", "down", "status", "logs", "import", "journeys")
PASSED_ON = ("kubectl", "kn")
"""Programs that get what follows them as it is."""
ROOT = Path(__file__).resolve().parents[3]
JOURNEYS = tuple(f"tests/journeys/test_{name}.py" for name in ("chat", "conversations", "node"))
_MIB = 1 << 20


def add_arguments(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The node's commands."""
    commands.add_parser(
        "up",
        help="bring up a node: Kubernetes with Knative, from source (Linux, root)",
        description="The first time, programs are built from source: about half an hour on two cores, 12 GB "
        "of room, and it needs Go. It goes on where it was interrupted.",
    )
    commands.add_parser("down", help="end the node, with all that is kept in it")
    commands.add_parser("status", help="what runs on the node, and the memory that each part takes")
    logs = commands.add_parser("logs", help="what a part of the node wrote; without a name, which there are")
    logs.add_argument("part", nargs="?", help="a program of the node (pods: scripts/cluster kubectl logs)")
    for name in PASSED_ON:
        commands.add_parser(name, help=f"{name} on the node, with whatever follows")
    commands.add_parser("journeys", help="take the tests' journeys through what scripts/deploy put on it")
    bringing = commands.add_parser("import", help="bring an image into the node: an OCI or docker archive")
    bringing.add_argument("archive", type=Path, nargs="+")


def run(arguments: argparse.Namespace) -> int:
    """Do what the command line says; the exit status.

    Raises:
        NodeError: it can't be done.
    """
    match arguments.command:
        case "up":
            return _up()
        case "down":
            began_s = time.monotonic()
            there = down()
            print(f"the node is down ({time.monotonic() - began_s:.1f} s)" if there else "there is no node")
            return 0
        case "status":
            return _status()
        case "logs":
            return _logs(arguments.part)
        case "journeys":
            running()
            words = [ROOT / "scripts" / "test", *(ROOT / path for path in JOURNEYS)]
            return subprocess.run(words, env={**os.environ, "HADAL_NODE": "1"}, check=False).returncode
        case _:
            for archive in arguments.archive:
                import_archive(archive.resolve(), running_namespaces())
            return 0


def pass_on(name: str, words: Sequence[str]) -> int:
    """Become the program `name`, with the node's kubeconfig. `NodeError`."""
    running()
    path = build([name])[name]
    os.execve(path, [name, *words], {**os.environ, "KUBECONFIG": str(KUBECONFIG)})  # noqa: S606


def running() -> Daemons:
    """The node that is up.

    Raises:
        NodeError: there is none.
    """
    if os.geteuid() != 0:
        raise NodeError("only root may use the node: sudo scripts/cluster …")
    daemons = remembered()
    holder = daemons.processes.get("holder")
    if holder is None or not holder.is_alive:
        raise NodeError("there is no node: scripts/cluster up")
    return daemons


def running_namespaces() -> Namespaces:
    """The namespaces of the node that is up. `NodeError`."""
    return Namespaces.of(running().processes["holder"])


def kubectl() -> Kubectl:
    """What asks the node that is up. `NodeError`."""
    running()
    return Kubectl(build(["kubectl"])["kubectl"], KUBECONFIG)


def _up() -> int:
    began_s = time.monotonic()
    holder = remembered().processes.get("holder")
    if holder is not None and holder.is_alive:
        print(f"the node is up: {INGRESS}")
        return 0
    up()
    print(f"the node is up ({time.monotonic() - began_s:.0f} s): {INGRESS}")
    return 0


def _status() -> int:
    total = 0
    for part in parts(running(), kubectl()):
        total += part.memory_bytes
        print(f"{part.memory_bytes / _MIB:7.0f} MiB  {part.name:<70} {part.state}")
    print(f"{total / _MIB:7.0f} MiB  altogether")
    return 0


def _logs(part: str | None) -> int:
    running()
    names = sorted(path.stem for path in LOGS.glob("*.log"))
    if part is None:
        print("\n".join(names))
        return 0
    if part not in names:
        raise NodeError(f"no part is called {part}; there are {', '.join(names)}")
    sys.stdout.write(log(part).read_text(errors="replace"))
    return 0

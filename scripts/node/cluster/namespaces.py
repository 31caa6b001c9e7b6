"""The node's namespaces: network, mounts and processes of its own, held by one process.

Everything of the node runs inside. When the holder is killed the kernel ends all of it at once (it is
process 1 in there), and with it go the mounts, the interfaces and the firewall's rules.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.node.build import NodeError
from scripts.servers.process import Process, start
from scripts.servers.server import Command

from .place import ADDRESS, HOST_ADDRESS, LINK, LOGS, PREFIX

MASKED = tuple(
    map(
        Path,
        (
            "/run/containerd",
            "/run/netns",
            "/var/lib/cni",
            "/var/lib/kubelet",
            "/var/log/containers",
            "/var/log/pods",
        ),
    )
)
"""Folders that containerd, CNI and the kubelet know by name: inside, each is an empty one in memory."""
_HELD_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Namespaces:
    """The node's, by its process 1 as the host numbers it."""

    first: int

    @classmethod
    def of(cls, holder: Process) -> Namespaces:
        """Those that this process holds."""
        return cls(_children(holder.pid)[0])

    def has(self, process: Path) -> bool:
        """Whether a process (its folder in `/proc`) is inside."""
        kind = "ns/pid"
        return (process / kind).readlink() == Path(f"/proc/{self.first}", kind).readlink()

    def command(self, *words: str) -> tuple[str, ...]:
        """`words`, run inside."""
        return ("nsenter", f"--target={self.first}", "--mount", "--net", "--pid", "--", *words)

    def run(self, *words: str) -> None:
        """Run to its end inside.

        Raises:
            NodeError: it failed.
        """
        _run(self.command(*words))


def hold(pause: Path) -> tuple[Process, Namespaces]:
    """Make them: the process that holds them, and they.

    Raises:
        NodeError: this machine doesn't let them be made.
    """
    words = ("--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation=private")
    holder = start(Command(("unshare", *words, str(pause))), LOGS / "holder.log")
    inside = Namespaces(_child(holder))
    inside.run("mount", "--make-rshared", "/")  # volumes are passed on to pods
    for folder in MASKED:
        folder.mkdir(parents=True, exist_ok=True)
        inside.run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(folder))
    _link(inside)
    return holder, inside


def release(holder: Process) -> None:
    """End the node, and return when none of it is left."""
    children = _children(holder.pid)
    holder.stop(signal.SIGKILL)
    ends_at_s = time.monotonic() + _HELD_WITHIN_S
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < ends_at_s:
        time.sleep(0.02)
    for folder in MASKED:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _child(holder: Process) -> int:
    ends_at_s = time.monotonic() + _HELD_WITHIN_S
    while time.monotonic() < ends_at_s and holder.is_alive:
        for child in _children(holder.pid):
            if Path(f"/proc/{child}/ns/net").readlink() != Path("/proc/self/ns/net").readlink():
                return child
        time.sleep(0.02)
    said = (LOGS / "holder.log").read_text(errors="replace").strip()
    raise NodeError(f"the node's namespaces can't be made: {said or 'unshare said nothing'}")


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _link(inside: Namespaces) -> None:
    """A pair of interfaces, one end here and one inside. Nothing is forwarded for the node."""
    _run(("ip", *f"link add {LINK} type veth peer name eth0 netns {inside.first}".split()))
    _run(("ip", *f"addr add {HOST_ADDRESS}/{PREFIX} dev {LINK}".split()))
    _run(("ip", "link", "set", LINK, "up"))
    for words in (
        "link set lo up",
        f"addr add {ADDRESS}/{PREFIX} dev eth0",
        "link set eth0 up",
        f"route add default via {HOST_ADDRESS}",  # Kubernetes looks for its address by the default route
    ):
        inside.run("ip", *words.split())
    for name in ("net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables"):
        inside.run("sh", "-c", f"[ ! -e /proc/sys/{name} ] || echo 1 > /proc/sys/{name}")


def _run(words: Sequence[str]) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        raise NodeError(f"{' '.join(words)}: {done.stderr.strip()}")

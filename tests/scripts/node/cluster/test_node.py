"""What a node leaves behind: nothing. The programs of Kubernetes aren't needed for that."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.node.build import build
from scripts.node.cluster import cgroups, sysctls, worker
from scripts.node.cluster.cli import running
from scripts.node.cluster.daemons import Daemons, remembered
from scripts.node.cluster.down import down
from scripts.node.cluster.images import ctr, image_name, import_missing, of_program
from scripts.node.cluster.namespaces import MASKED, Namespaces, hold
from scripts.node.cluster.place import ADDRESS, CERTIFICATES, LINK, LOGS, STATE
from scripts.node.cluster.up import check_machine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        "CI" not in os.environ
        and (os.geteuid() != 0 or not sys.platform.startswith("linux") or not shutil.which("go")),
        reason="takes root, Linux and Go",
    ),
]


@pytest.fixture(scope="module", autouse=True)
def _machine() -> None:
    holder = remembered().processes.get("holder")
    if holder is not None and holder.is_alive:
        pytest.skip("a node is up on this machine")
    down()
    check_machine()


def of_this_machine() -> dict[str, list[str]]:
    """What a node could leave on it."""
    return {
        "processes": processes(),
        "mounts": Path("/proc/mounts").read_text().splitlines(),
        "interfaces": sorted(folder.name for folder in Path("/sys/class/net").iterdir()),
        "groups": sorted(map(str, Path("/sys/fs/cgroup").glob(f"**/{LINK}"))),
        "firewall": subprocess.run(
            ["iptables-save"], check=True, capture_output=True, text=True
        ).stdout.splitlines(),
        "kernel": [(Path("/proc/sys") / name).read_text() for name in sysctls.CHANGED],
        "folders": [str(folder) for folder in (STATE, *MASKED) if folder.exists()],
    }


def processes() -> list[str]:
    """Those that are in the node's namespaces, or lead there."""
    found = subprocess.run(["ps", "-eo", "args="], check=True, capture_output=True, text=True).stdout
    names = ("nsenter --target=", "unshare --mount", "containerd", "/pause")
    return [line for line in found.splitlines() if line.startswith(names)]


@pytest.fixture
def node() -> Iterator[Namespaces]:
    """Namespaces with containerd in them and a pod's container; what the kubelet would change is changed."""
    programs = build(["pause"])
    for folder in (STATE, LOGS, CERTIFICATES):
        folder.mkdir(mode=0o700, parents=True)
    try:
        daemons = Daemons()
        cgroups.make()
        sysctls.remember()
        holder, inside = hold(programs["pause"])
        daemons.add("holder", holder)
        image = of_program(programs["pause"])
        worker.start_containerd(image_name(programs["pause"]), inside, daemons)
        import_missing([image], inside)
        cgroup = f"/{cgroups.GROUP}/kubepods/one"
        ctr(inside, "run", "--detach", f"--cgroup={cgroup}", image.name, f"test-{uuid.uuid4().hex}")
        yield inside
    finally:
        down()


def test_nothing_is_left_of_a_node(request: pytest.FixtureRequest) -> None:
    before = of_this_machine()
    inside: Namespaces = request.getfixturevalue("node")
    inside.run("iptables", "-t", "nat", "-A", "POSTROUTING", "-j", "MASQUERADE")
    (Path("/proc/sys") / "kernel/panic").write_text("10")
    assert "RUNNING" in ctr(inside, "tasks", "list")
    assert len(processes()) > len(before["processes"])
    assert any(LINK in name for name in of_this_machine()["interfaces"])
    assert of_this_machine()["groups"]
    assert down()
    assert of_this_machine() == before
    assert not down()


def test_what_goes_on_inside_isnt_seen_outside(node: Namespaces) -> None:
    assert not any(LINK in line for line in Path("/proc/mounts").read_text().splitlines())
    seen = subprocess.run(node.command("ip", "-brief", "addr"), check=True, capture_output=True, text=True)
    assert ADDRESS in seen.stdout
    with pytest.raises(ConnectionRefusedError):  # there, and nothing listens
        socket.create_connection((ADDRESS, 80), timeout=10)


def test_the_node_is_found_by_the_next_command(node: Namespaces) -> None:
    assert Namespaces.of(running().processes["holder"]) == node

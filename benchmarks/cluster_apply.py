"""`kn service apply` on the node: all functions from nothing, first to Ready, and one that has changed.

What was deployed by `scripts/deploy` is deleted and made again; stores and Secrets stay.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks._frame import Row, Table
from scripts.deployment.cluster import Cluster, as_list
from scripts.deployment.images import tagged
from scripts.deployment.objects import FUNCTIONS, Manifest, of_phase
from scripts.deployment.own_node import OwnNode, own_tools
from scripts.deployment.phases import Deployer, Wish
from scripts.deployment.place import OVERLAYS
from scripts.deployment.progress import Progress
from scripts.deployment.readiness import wait_until_ready
from tests.journeys.node import FUNCTIONS as NAMES

ALL_BAR_S, CHANGED_BAR_S = 60.0, 10.0
CHANGES = 3


async def main() -> Table:
    """Measure both."""
    cluster = Cluster(own_tools())
    machine = OwnNode()
    rendered = Deployer(cluster, machine, Wish(OVERLAYS / "node"), Progress()).objects
    objects = tagged(rendered, machine.images(cluster))
    services = [each for each in of_phase(objects, FUNCTIONS) if each["metadata"]["name"] in NAMES]
    # With all that they own: a Service that is made again has revisions of the same names.
    cluster.ask("delete", "--cascade=foreground", "--ignore-not-found", "-f", "-", text=as_list(services))
    all_s = _applied_s(cluster, services)
    (history,) = (each for each in services if each["metadata"]["name"] == "history")
    changed_s = [_applied_s(cluster, [_changed(history, number)]) for number in range(CHANGES)]
    _applied_s(cluster, [history])
    return Table(
        f"kn service apply, {len(services)} functions",
        [
            Row("all of them, from nothing to Ready", all_s, "s", ALL_BAR_S),
            Row(f"one that has changed, worst of {CHANGES}", max(changed_s), "s", CHANGED_BAR_S),
        ],
    )


def _applied_s(cluster: Cluster, services: Sequence[Manifest]) -> float:
    began_s = time.monotonic()
    with ThreadPoolExecutor(len(services)) as pool:
        list(pool.map(cluster.apply_service, services))
    wait_until_ready(cluster, services, lambda *_: None)
    return time.monotonic() - began_s


def _changed(service: Manifest, number: int) -> Manifest:
    changed = copy.deepcopy(service)
    (container,) = changed["spec"]["template"]["spec"]["containers"]
    container["env"].append({"name": "CHANGED", "value": str(number)})
    return changed

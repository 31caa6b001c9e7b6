"""Warm, with a model that answers at once: what Knative's own path adds over the local runner.

Calls to the node and to `scripts/run` come by turns, so that both meet the same machine.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from benchmarks._frame import Row, Table
from benchmarks.cluster.calls import FrontDoor
from scripts.node.cluster.place import DOMAIN, HOST_ADDRESS, INGRESS
from tests.journeys import node
from tests.journeys.model_server import MODEL, model_server
from tests.journeys.system import start

CALLS, WARMING_UP = 200, 20
ADDED_BAR_MS = 5.0
"""Of one pass through Knative, which is what a chat takes: its own gate for its data path, there at p95."""

Places = dict[str, FrontDoor]
Milliseconds = list[float]


async def main() -> Table:
    """Measure a stateless call and a stored turn, both streamed."""
    with (
        tempfile.TemporaryDirectory() as folder,
        model_server(HOST_ADDRESS) as model,
        node.hadal(model.url) as deployed,
    ):
        local = start(Path(folder), model.url)
        try:
            there = FrontDoor(INGRESS, deployed.api_key, f"gateway.{node.NAMESPACE}.{DOMAIN}")
            places = {"runner": FrontDoor(local.url, local.api_key), "node": there}
            rows = [
                row
                for name, stored in (("chat", False), ("stored turn", True))
                for row in _rows(name, _measured(places, stored=stored))
            ]
        finally:
            local.stop()
    return Table(f"Warm, {CALLS} calls of each, one after the other, to the end of the stream", rows)


def _measured(places: Places, *, stored: bool) -> dict[str, Milliseconds]:
    took: dict[str, Milliseconds] = {name: [] for name in places}
    conversations = {name: door.conversation() for name, door in places.items()}
    for call in range(WARMING_UP + CALLS):
        for name, door in places.items():
            more = {"conversation": conversations[name]} if stored else {}
            seconds = door.chat(MODEL, **more).whole_s
            if call >= WARMING_UP:
                took[name].append(seconds * 1e3)
    return took


def _rows(name: str, took: dict[str, Milliseconds]) -> list[Row]:
    rows = []
    for quantile, of in (("p50", statistics.median), ("p99", _p99)):
        runner_ms, node_ms = of(took["runner"]), of(took["node"])
        bar_ms = ADDED_BAR_MS if (name, quantile) == ("chat", "p50") else None
        rows += [
            Row(f"{name}: runner, {quantile}", runner_ms, "ms"),
            Row(f"{name}: node, {quantile}", node_ms, "ms"),
            Row(f"{name}: what Knative's path adds, {quantile}", node_ms - runner_ms, "ms", bar_ms),
        ]
    return rows


def _p99(values: Milliseconds) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[-1]

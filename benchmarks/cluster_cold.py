"""On the node, every function at zero and the model warm: the first token of a chat, and of a stored turn.

`scripts/bench cluster_cold [TRIES]` (20). Between tries it waits until no function runs; Knative's waiting
times are at their shortest meanwhile, which changes how soon functions end and not how they start.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

from benchmarks._frame import Row, Table
from benchmarks.cluster.calls import FrontDoor, Took
from scripts.node.cluster.place import DOMAIN, INGRESS
from tests.journeys.node import NAMESPACE, Deployed, api_key, soon_at_zero

TRIES = 20
STATELESS_BAR_S, STORED_BAR_S = 3.5, 6.0
AT_ZERO_WITHIN_S = 240.0


async def main() -> Table:
    """Measure both."""
    tries = int(sys.argv[1]) if len(sys.argv) > 1 else TRIES
    host = f"gateway.{NAMESPACE}.{DOMAIN}"
    door = FrontDoor(INGRESS, api_key(), host)
    deployed = Deployed(f"http://{host}", door.api_key)
    (model, *_) = door.models()
    conversation = door.conversation()
    with soon_at_zero():
        stateless = _tried(deployed, tries, lambda: door.chat(model))
        stored = _tried(deployed, tries, lambda: door.chat(model, conversation=conversation))
    rows = []
    for name, took, bar_s in (("chat", stateless, STATELESS_BAR_S), ("stored turn", stored, STORED_BAR_S)):
        first_s = sorted(each.first_token_s for each in took)
        rows += [
            Row(f"{name}: first token, p50", statistics.median(first_s), "s"),
            Row(f"{name}: first token, p95", _p95(first_s), "s", bar_s),
            Row(f"{name}: first token, worst", first_s[-1], "s"),
        ]
    return Table(f"From zero, {tries} tries of each", rows)


def _tried(deployed: Deployed, tries: int, call: Callable[[], Took]) -> list[Took]:
    took = []
    for _ in range(tries):
        ends_at_s = time.monotonic() + AT_ZERO_WITHIN_S
        while not deployed.is_at_zero():
            if time.monotonic() > ends_at_s:
                raise RuntimeError(f"some function isn't at zero after {AT_ZERO_WITHIN_S:g} s")
            time.sleep(0.5)
        took.append(call())
    return took


def _p95(ordered: list[float]) -> float:
    return statistics.quantiles(ordered, n=20, method="inclusive")[-1] if len(ordered) > 1 else ordered[0]

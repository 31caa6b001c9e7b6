"""`scripts/cluster test`: the scenarios, tried at the runner or at a cluster, and what was seen."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from scripts.node.build import NodeError
from scripts.node.cluster.cli import kubectl
from scripts.node.cluster.place import DOMAIN, INGRESS

from .cluster import Access, cluster
from .local import runner
from .page import write_down
from .place import Place, PlaceError
from .scenario import Observation, Scenario
from .suite import FAILED, chosen, observe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said to `scripts/cluster test`."""
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="default: all")
    parser.add_argument("--local", action="store_true", help="try them on the local runner, not on a cluster")
    parser.add_argument("--kubectl", default="kubectl", metavar="PROGRAM", help="default: kubectl")
    parser.add_argument(
        "--kubeconfig",
        default=os.environ.get("KUBECONFIG", ""),
        metavar="FILE",
        help="default: kubectl's own",
    )
    parser.add_argument(
        "--ingress",
        metavar="URL",
        help="where requests from outside go, http://host:port; default: the node of scripts/cluster up",
    )
    parser.add_argument(
        "--domain", default="example.com", help="of the Services' hosts (default example.com)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Try them; 0 where all was seen that is expected. What was seen is written down.

    Raises:
        NodeError: the place can't be used.
    """
    try:
        return asyncio.run(_run(arguments))
    except PlaceError as error:
        raise NodeError(str(error)) from None


async def _run(arguments: argparse.Namespace) -> int:
    async with _place(arguments) as place:
        scenarios = chosen(arguments.scenarios, place)
        seen = await observe(place, scenarios, lambda *ended: _tell(place.name, *ended))
        wrong = [each for each in scenarios if seen[each.name] != each.expected_at(place.name)]
        write_down(place.name, {name: saw for name, saw in seen.items() if FAILED not in saw})
    print(f"{len(scenarios)} scenarios, {len(wrong)} not as expected")
    return 1 if wrong else 0


@asynccontextmanager
async def _place(arguments: argparse.Namespace) -> AsyncIterator[Place]:
    if arguments.local:
        with tempfile.TemporaryDirectory(prefix="hadal-scenarios-") as made:
            async with runner(Path(made)) as local:
                yield local
        return
    async with cluster(_access(arguments)) as there:
        yield there


def _access(arguments: argparse.Namespace) -> Access:
    if arguments.ingress:
        return Access(arguments.kubectl, arguments.kubeconfig, arguments.ingress, arguments.domain)
    ours = kubectl()
    return Access(str(ours.program), str(ours.kubeconfig), INGRESS, DOMAIN)


def _tell(place: str, scenario: Scenario, seen: Observation, took_s: float) -> None:
    expected = scenario.expected_at(place)
    print(f"{'ok' if seen == expected else 'DIFFERS':<8}  {scenario.slug:<20}  {took_s:5.1f} s", flush=True)
    if seen != expected:
        print(f"          expected {json.dumps(expected)}\n          saw      {json.dumps(seen)}", flush=True)

"""A process that is nothing but the broker, for measuring it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

import uvloop

from scripts.local.eventing import Eventing
from scripts.local.http import serve
from scripts.local.manifests.model import (
    Broker,
    Delivery,
    Destination,
    Filter,
    Manifests,
    SourceLocation,
    Trigger,
)

HERE = SourceLocation("benchmark", 1)


class NoServices:
    """Every subscriber of the benchmark is a plain server."""

    async def request(self, service: str, *_: object, **__: object) -> NoReturn:
        """Never called."""
        raise LookupError(service)


class BrokerProcess:
    """The child, and what it costs."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    @classmethod
    async def start(
        cls,
        folder: Path,
        subscriber_port: int,
        types: list[list[str]],
        *,
        core: int | None,
        ordered: bool = False,
    ) -> BrokerProcess:
        """Start a broker with a Trigger for each list of types; returns when it listens."""
        settings = {
            "folder": str(folder),
            "subscriber_port": subscriber_port,
            "types": types,
            "core": core,
            "ordered": ordered,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks._broker_process",
            json.dumps(settings),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        return cls(process, int(await process.stdout.readline()))

    def cpu_s(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """Resident memory without files."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("RssAnon:")[2].split()[0]) / 1_024

    async def stop(self) -> None:
        """End it."""
        self._process.terminate()
        await self._process.wait()


def manifests(subscriber_port: int, types: list[list[str]], *, ordered: bool) -> Manifests:
    """One Broker, and a Trigger for each list of types."""
    delivery = Delivery(retry=3, backoff_policy="exponential", backoff_delay_s=0.2)
    subscriber = Destination(HERE, uri=f"http://127.0.0.1:{subscriber_port}/")
    triggers = tuple(
        Trigger(
            f"trigger-{number}",
            "hadal",
            HERE,
            "default",
            subscriber,
            filters=_any_of(wanted),
            ordered=ordered,
        )
        for number, wanted in enumerate(types)
    )
    return Manifests(brokers=(Broker("default", "hadal", HERE, "Kafka", delivery),), triggers=triggers)


def _any_of(types: list[str]) -> tuple[Filter, ...] | None:
    exact = tuple(Filter("exact", {"type": wanted}, HERE, "spec.filters[0].any[0].exact") for wanted in types)
    return (Filter("any", exact, HERE, "spec.filters[0].any"),) if types else None


async def run(settings: dict[str, object]) -> None:
    """Serve until SIGTERM."""
    described = manifests(settings["subscriber_port"], settings["types"], ordered=settings["ordered"])  # type: ignore[arg-type]
    logging.getLogger("scripts").setLevel(logging.ERROR)
    eventing = Eventing(described, Path(str(settings["folder"])), NoServices())
    await eventing.start()
    server = await serve(eventing.handle, "127.0.0.1", 0)
    print(server.port, flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await server.close()
    await eventing.stop()


if __name__ == "__main__":
    chosen = json.loads(sys.argv[1])
    if chosen["core"] is not None:
        os.sched_setaffinity(0, {chosen["core"]})
    uvloop.run(run(chosen))

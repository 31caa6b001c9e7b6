"""A broker in a process of its own, to be killed: `python -m … FOLDER SUBSCRIBER_PORT`; prints its port."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop

from scripts.local.eventing import Eventing
from scripts.local.http import serve
from scripts.local.manifests.model import Delivery, Destination

from .harness import HERE, Services, manifests, trigger


async def run(folder: Path, subscriber_port: int) -> None:
    """Serve until killed."""
    subscriber = Destination(HERE, uri=f"http://127.0.0.1:{subscriber_port}/")
    delivery = Delivery(retry=3, backoff_policy="linear", backoff_delay_s=0.005, timeout_s=5.0)
    one = manifests(trigger("t", subscriber, ordered=True, delivery=delivery))
    eventing = Eventing(one, folder, Services())
    await eventing.start()
    server = await serve(eventing.handle, "127.0.0.1", 0)
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(run(Path(sys.argv[1]), int(sys.argv[2])))

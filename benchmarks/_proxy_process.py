"""The processes of the proxy's benchmark: a server that answers at once, and a door that leads to it.

`python -m benchmarks._proxy_process server` listens on PORT; `… door DIR` runs the activator.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import uvloop

from scripts.local.http import Request, serve
from scripts.local.manifests.model import Scaling, Service, SourceLocation
from scripts.local.serving import Activator, Image, Outer

ROOT = Path(__file__).parents[1]
PIECES = 500
PIECE_S = 0.005
PIECE = b"data: " + b"x" * 200 + b"\n\n"


def answer(request: Request) -> asyncio.Future[None] | None:
    """Accept at once, or stream where it is asked for."""
    if request.target == b"/stream":
        return asyncio.ensure_future(_stream(request))
    request.reply(202)
    return None


async def _stream(request: Request) -> None:
    reply = request.start(200, [(b"content-type", b"text/event-stream")])
    for _ in range(PIECES):
        await reply.write(PIECE)
        await asyncio.sleep(PIECE_S)  # as a model does: each piece is a write, and a read, of its own
    reply.end()


async def _serve() -> None:
    await serve(answer, "127.0.0.1", int(os.environ["PORT"]))
    await asyncio.Event().wait()


async def _door(data: Path) -> None:
    (data / "logs").mkdir()
    command = ("python", "-P", "-m", "benchmarks._proxy_process", "server")
    service = Service(
        "gateway", "hadal", SourceLocation("here", 1), "app", command, scaling=Scaling(min_scale=1)
    )
    activator = Activator(
        [service],
        data,
        images={"app": Image(ROOT / ".venv", ROOT)},
        proxy="",
        bound=lambda _: {},
        secret=lambda *_: "",
    )
    activator.start()
    await activator.warm("gateway")
    server = await serve(Outer([service], activator), "127.0.0.1", 0)
    print(server.port, activator.status()[0]["replicas"][0]["port"], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve() if sys.argv[1] == "server" else _door(Path(sys.argv[2])))

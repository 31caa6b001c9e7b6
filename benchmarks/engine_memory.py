"""Whether the model service grows: its memory over 10,000 short requests, each with a prompt of its own.

The model is tiny, so that what could grow is the service's own: sequences, blocks and their prefixes, texts,
metrics, connections. The first half fills what has a bound (the prefixes of every block, the allocators'
arenas); after that nothing may grow. `--requests N` makes it another number.
"""

from __future__ import annotations

import asyncio
import random
import sys

from benchmarks._engine import checkpoint
from benchmarks._frame import Row, Table
from benchmarks._service_process import Connection, Service, service

CONNECTIONS = 16
CACHE_TOKENS = "4096"
LARGEST_GROWTH_BYTES = 200.0
"""A request, of what cannot be told from the allocators' own moves: 1 MB over 5,000 requests."""


async def main() -> Table:
    """Measure."""
    requests = int(sys.argv[sys.argv.index("--requests") + 1]) if "--requests" in sys.argv else 10_000
    table = Table(f"The model service over {requests:,} short requests")
    model = checkpoint("llama")
    async with service(model, NUM_THREADS="1", MAX_BATCH_TOTAL_TOKENS=CACHE_TOKENS) as served:
        quarters = [await _after(served, requests // 4, seed) for seed in range(4)]
    for number, resident in enumerate(quarters, 1):
        table.rows.append(Row(f"resident after {number * requests // 4:,}", resident / 1e6, "MB"))
    growth = (quarters[-1] - quarters[1]) / (requests / 2)
    table.rows.append(Row("growth a request in the second half", growth, "bytes", LARGEST_GROWTH_BYTES))
    return table


async def _after(served: Service, requests: int, seed: int) -> int:
    """Resident bytes after more requests."""
    chooser = random.Random(seed)
    texts = iter([f"{chooser.random()} and {chooser.random()}" for _ in range(requests)])

    async def ask(connection: Connection) -> None:
        for text in texts:
            await connection.answer("/generate", {"inputs": text, "parameters": {"max_new_tokens": 2}})

    async def client() -> None:
        async with served.connection() as connection:
            await ask(connection)

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    return served.resident_bytes()

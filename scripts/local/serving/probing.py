"""Asking a process whether it is ready, and whether it still lives (Kubernetes, Probe v1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from scripts.local.http import Client, HttpError
from scripts.local.manifests.model import Probe

from .errors import StartFailed

EAGER_S = 0.01
"""Between two tries while a process starts: someone waits for it, and a try costs 50 microseconds."""
PATIENT_S = 0.1
EAGER_FOR_S = 5.0
ANSWER_BYTES = 65_536


async def succeeds(probe: Probe, port: int, client: Client) -> bool:
    """One try: a connection, or a GET that is answered with 200 to 399."""
    try:
        if probe.http_path is None:
            async with asyncio.timeout(probe.timeout_s):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return True
        headers = [(name.lower().encode(), value.encode()) for name, value in probe.http_headers]
        headers.append((b"user-agent", b"kube-probe/hadal"))
        response = await client.request(
            b"GET", "127.0.0.1", port, probe.http_path.encode(), headers, timeout_s=probe.timeout_s
        )
        await response.read(ANSWER_BYTES)
    except (HttpError, OSError, TimeoutError):
        return False
    return 200 <= response.status < 400


async def until_ready(probe: Probe, port: int, client: Client) -> None:
    """Try again and again, more often than the probe's period says, until it has succeeded often enough."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(probe.initial_delay_s)
    eager_until = loop.time() + EAGER_FOR_S
    successes = 0
    while True:
        successes = successes + 1 if await succeeds(probe, port, client) else 0
        if successes >= probe.success_threshold:
            return
        await asyncio.sleep(EAGER_S if loop.time() < eager_until else PATIENT_S)


async def until_started(probe: Probe, port: int, client: Client) -> None:
    """A startup probe: until it succeeds, or has failed as often as it may. `StartFailed`."""
    await asyncio.sleep(probe.initial_delay_s)
    for _ in range(probe.failure_threshold):
        if await succeeds(probe, port, client):
            return
        await asyncio.sleep(probe.period_s)
    raise StartFailed(f"its startup probe failed {probe.failure_threshold} times")


async def watch(probe: Probe, port: int, client: Client, changed: Callable[[bool], None]) -> None:
    """Try every period, for ever; tell when it has failed, or succeeded again, often enough."""
    good, run = True, 0
    await asyncio.sleep(probe.initial_delay_s)
    while True:
        await asyncio.sleep(probe.period_s)
        run = run + 1 if await succeeds(probe, port, client) != good else 0
        if run >= (probe.failure_threshold if good else probe.success_threshold):
            good, run = not good, 0
            changed(good)

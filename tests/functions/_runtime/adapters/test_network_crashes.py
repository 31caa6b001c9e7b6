"""kill -9 of a client at every message that it sends to its store, before and after the server hears it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import pytest

from functions._runtime.ports import Recorded
from functions._runtime.store import open_store
from tests.functions._runtime.adapters.wire import Mishap, Wire, never, wire
from tests.functions._runtime.contracts.event_store import event

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CLIENT = """
import asyncio, sys
from functions._runtime.store import open_store
from tests.functions._runtime.contracts.event_store import event

async def main(url, namespace):
    async with open_store(url, namespace) as store:
        facts, notes = store.event_store("facts"), store.documents("notes", ("owner",))
        await facts.read_all(0, 1)
        await notes.get("k")
        print("begin", flush=True)
        sys.stdin.readline()
        await facts.append("a", [event("a1"), event("a2"), event("a3")], 0)
        print("a", flush=True)
        await facts.append("b", [event("b1"), event("b2"), event("b3")], 0)
        print("b", flush=True)
        waiting = await facts.unpublished(3)
        await facts.mark_published(waiting)
        print("published", flush=True)
        await notes.put("k", {"owner": "ann"}, 0)
        print("k", flush=True)
        await notes.put("k", {"owner": "bob"}, 1)
        print("again", flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


def at_message(number: int) -> Mishap:
    """At that message from now; those by which MongoDB's client watches its server don't count."""
    left = number

    def strikes(message: bytes) -> bool:
        nonlocal left
        if b"hello" not in message and b"ismaster" not in message.lower():
            left -= 1
        return left == 0

    return strikes


async def killed_at(way: Wire, namespace: str, number: int, *, is_heard: bool) -> list[str]:
    """What a client said whose message `number` was its last, heard by the server or not."""
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLIENT, way.url, namespace),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert client.stdout is not None
    assert await client.stdout.readline() == b"begin\n"
    strike = at_message(number)
    way.lose_answer, way.lose_question = (strike, never) if is_heard else (never, strike)
    way.on_cut = lambda: client.kill() if client.returncode is None else None
    said, _ = await client.communicate(b"\n")
    return said.decode().split()


@pytest.mark.parametrize("server", ["postgresql", "mongodb"])
@pytest.mark.parametrize("is_heard", [False, True], ids=["unheard", "heard"])
async def test_kill_9_at_any_message_leaves_whole_appends_with_their_outbox(
    server: str, is_heard: bool, address_of: Callable[[str], str], namespace: str
) -> None:
    """Promise 56: what was acknowledged stands; an append and its outbox entries are never apart."""
    url = address_of(server)
    number = 0
    acknowledged: list[str] = []
    async with wire(url) as way:
        while "again" not in acknowledged:
            number += 1
            place = f"{namespace}_{number}"
            async with open_store(url, place) as store:
                facts, notes = store.event_store("facts"), store.documents("notes", ("owner",))
                await facts.read_all(0, 1)
                await notes.get("k")
                acknowledged = await killed_at(way, place, number, is_heard=is_heard)
                kept, waiting = await facts.read_all(0, 100), await facts.unpublished(100)
                check_events(acknowledged, kept, waiting)
                note = await notes.get("k")
                least = ("k" in acknowledged) + ("again" in acknowledged)
                assert (note.version if note else 0) in (least, least + 1)
                versions = [len(await facts.read(stream)) for stream in ("a", "b")]
                for stream, version in zip(("a", "b"), versions, strict=True):  # and it goes on from there
                    assert await facts.append(stream, [event("next")], version) == version + 1
    assert number > 5, "the client was never killed on its way"


def check_events(acknowledged: list[str], kept: list[Recorded], waiting: list[Recorded]) -> None:
    ids = [each.event.id for each in kept]
    steps = [[], ["a1", "a2", "a3"], ["a1", "a2", "a3", "b1", "b2", "b3"]]
    least = ("a" in acknowledged) + ("b" in acknowledged)
    assert ids in steps[least : least + 2]
    assert waiting in ([kept, kept[3:]] if "published" not in acknowledged else [kept[3:]])

"""What is MongoDB's own: its reasons, its limits, the size of its outbox."""

from __future__ import annotations

import pytest
from pymongo import AsyncMongoClient

from functions._runtime.adapters.mongodb import database as mongodb_database
from functions._runtime.errors import PayloadTooLarge, Unavailable
from functions._runtime.store import open_store
from scripts.servers import Running
from tests.functions._runtime.contracts.event_store import event

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mongodb://ann:canary-password@127.0.0.1:1/hadal", "MongoDB at 127.0.0.1:1 can't be reached"),
        ("mongodb://ann:canary-password@127.0.0.1:1/hadal?authMechanism=ODD", "behind the ?"),
        ("mongodb://ann:canary-password@127.0.0.1:1/hadal?noSuchOption=1", "behind the ?"),
    ],
)
async def test_a_wrong_address_is_told_without_its_password(
    url: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 62."""
    monkeypatch.setattr(mongodb_database, "OPERATION_TIMEOUT_MS", 200)
    with pytest.raises(Unavailable) as caught:
        async with open_store(url):
            pass
    assert reason in caught.value.message
    assert "canary" not in caught.value.message


async def test_more_than_one_document_holds_is_refused_whole(mongodb: Running, namespace: str) -> None:
    async with open_store(mongodb.url, namespace) as store:
        facts, notes = store.event_store("facts"), store.documents("notes")
        with pytest.raises(PayloadTooLarge, match="1000 events"):
            await facts.append("a", [event(str(n)) for n in range(1_001)], 0)
        large = "x" * 9_000_000
        with pytest.raises(PayloadTooLarge, match="16 MB"):
            await facts.append("a", [event("1", text=large), event("2", text=large)], 0)
        with pytest.raises(PayloadTooLarge, match="16 MB"):
            await notes.put("k", {"Text": large + large}, 0)
        assert await facts.read("a") == []
        assert await notes.get("k") is None


async def test_the_index_of_the_outbox_holds_what_waits_and_nothing_else(
    mongodb: Running, namespace: str
) -> None:
    async with open_store(mongodb.url, namespace) as store:
        facts = store.event_store("facts")
        for version in range(0, 6, 2):
            await facts.append("a", [event(f"{version}"), event(f"{version}b")], version)
        await facts.mark_published((await facts.unpublished(9))[:3])
        waiting = await facts.unpublished(9)
    async with AsyncMongoClient[dict[str, object]](mongodb.url) as client:
        appends = client["hadal"][f"{namespace}.facts_appends"]
        kept = await appends.find({"outbox": {"$exists": True}}).to_list()
    assert [append["outbox"] for append in kept] == [[2001], [3000, 3001]]
    assert [each.position for each in waiting] == [2001, 3000, 3001]

"""The contract suites over every adapter: one line an adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from functions._runtime.ports import Documents, EventStore
from functions._runtime.store import Store, open_store
from tests.functions._runtime.contracts.documents import DocumentsContract
from tests.functions._runtime.contracts.event_store import EventStoreContract

ADAPTERS = [
    "memory",
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.slow),
    pytest.param("mongodb", marks=pytest.mark.slow),
]


@pytest.fixture(params=ADAPTERS)
async def opened(
    request: pytest.FixtureRequest, address_of: Callable[[str], str], namespace: str
) -> AsyncIterator[Store]:
    async with open_store(address_of(request.param), namespace) as store:
        yield store


@pytest.fixture
def store(opened: Store) -> EventStore:
    return opened.event_store("facts")


@pytest.fixture
def notes(opened: Store) -> Documents:
    return opened.documents("notes", indexes=("owner", "state"))


class TestEventStores(EventStoreContract):
    pass


class TestDocuments(DocumentsContract):
    pass


async def test_stores_of_other_names_are_apart(opened: Store) -> None:
    await opened.documents("one").put("k", {}, 0)
    assert await opened.documents("two").get("k") is None
    assert await opened.documents("one").get("k") is not None


async def test_an_index_declared_later_covers_what_stands(opened: Store) -> None:
    await opened.documents("late").put("k", {"owner": "ann"}, 0)
    found = await opened.documents("late", indexes=("owner",)).find("owner", "ann", limit=9)
    assert [each.key for each in found] == ["k"]


async def test_a_store_that_can_be_written_passes_its_check(opened: Store) -> None:
    await opened.check()


@pytest.mark.parametrize("name", ["", "Up", "a-b", "a b", "1a", "a;drop", 26 * "a"])
async def test_a_name_that_could_be_more_than_a_name_is_refused(opened: Store, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        opened.documents(name)
    with pytest.raises(ValueError, match="name"):
        opened.event_store(name)
    with pytest.raises(ValueError, match="name"):
        opened.documents("notes", indexes=(name,))

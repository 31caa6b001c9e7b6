"""What is PostgreSQL's own: its reasons, its locks, its text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions._runtime.adapters.postgresql import database as postgresql_database
from functions._runtime.adapters.postgresql.text import kept_json, kept_text, text_of, value_of
from functions._runtime.errors import PayloadTooLarge, Unavailable
from functions._runtime.store import open_store
from scripts.servers import Running
from tests.functions._runtime.contracts.event_store import event

TEXT = st.text(st.sampled_from('\x00\x01\x0201\\u"aä🌊') | st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(TEXT)
def test_any_text_is_kept_without_nul_and_comes_back(text: str) -> None:
    assert "\x00" not in kept_text(text)
    assert text_of(kept_text(text)) == text


@given(TEXT, TEXT)
def test_texts_stand_in_the_order_that_they_had(one: str, other: str) -> None:
    assert (kept_text(one).encode() < kept_text(other).encode()) == (one.encode() < other.encode())


@given(JSON)
def test_any_json_is_kept_without_nul_and_comes_back(value: object) -> None:
    kept = kept_json(value)
    assert value_of(kept) == value
    assert "\x00" not in str(value_of(kept.replace("\\u0001", "?")))


async def reason(url: str) -> str:
    with pytest.raises(Unavailable) as caught:
        async with open_store(url):
            pass
    return caught.value.message


@pytest.mark.slow
async def test_a_wrong_address_is_told_from_a_wrong_password_and_none_is_shown(postgresql: Running) -> None:
    """Promise 62: the password is in no message."""
    parts = urlsplit(postgresql.url)
    password = parts.password or "none"
    server = f"127.0.0.1:{parts.port}"
    assert f"PostgreSQL at {server} doesn't let hadal in" in await reason(
        postgresql.url.replace(password, "canary-password")
    )
    assert f"{server} doesn't let nobody-here in" in await reason(
        postgresql.url.replace("//hadal:", "//nobody-here:")
    )
    assert f"{server} has no database absent" in await reason(postgresql.url.removesuffix("hadal") + "absent")
    assert "option" in await reason(f"{postgresql.url}?no_such_option=1")
    assert "can't be reached" in await reason("postgresql://hadal:canary-password@127.0.0.1:1/hadal")
    for url in (f"postgresql://hadal:canary-password@{server}/absent", f"{postgresql.url}?sslmode=odd"):
        said = await reason(url)
        assert "canary" not in said and password not in said


@pytest.mark.slow
async def test_a_user_who_may_not_make_tables_is_told_what_to_grant(
    postgresql: Running, namespace: str
) -> None:
    owner = await asyncpg.connect(postgresql.url)
    await owner.execute(f"CREATE ROLE {namespace} LOGIN PASSWORD 'secret'")
    parts = urlsplit(postgresql.url)
    url = f"postgresql://{namespace}:secret@127.0.0.1:{parts.port}/hadal"
    async with open_store(url, namespace) as store:
        with pytest.raises(Unavailable, match=f"GRANT CREATE ON DATABASE hadal TO {namespace}"):
            await store.event_store("facts").append("a", [event("1")], 0)
        await owner.execute(f"GRANT CREATE ON DATABASE hadal TO {namespace}")
        assert await store.event_store("facts").append("a", [event("1")], 0) == 1
    await owner.close()


@pytest.mark.slow
async def test_a_database_that_takes_no_writes_is_not_ready(postgresql: Running, namespace: str) -> None:
    with pytest.raises(Unavailable, match="takes no writes"):
        async with open_store(f"{postgresql.url}?default_transaction_read_only=on", namespace):
            pass


@pytest.mark.slow
async def test_a_key_that_no_index_takes_is_refused_for_good(postgresql: Running, namespace: str) -> None:
    """Not as something that passes: it would be tried again for ever."""
    long = "".join(f"{n:x}" for n in range(5_000))
    async with open_store(postgresql.url, namespace) as store:
        with pytest.raises(PayloadTooLarge, match="2,000 bytes"):
            await store.event_store("facts").append(long, [event("1")], 0)
        notes = store.documents("notes", ("owner",))
        with pytest.raises(PayloadTooLarge, match="2,000 bytes"):
            await notes.put("k", {"owner": long}, 0)
        assert await notes.find("owner", long, limit=1) == []


@pytest.mark.slow
async def test_a_statement_that_waits_too_long_is_given_up_and_nothing_is_written(
    postgresql: Running, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_database, "STATEMENT_TIMEOUT_MS", 200)
    async with open_store(postgresql.url, namespace) as store:
        facts = store.event_store("facts")
        await facts.append("a", [event("1")], 0)
        other = await asyncpg.connect(postgresql.url)
        async with other.transaction():
            await other.execute(f'SELECT FROM "{namespace}".facts_position FOR UPDATE')
            with pytest.raises(Unavailable):
                await facts.append("a", [event("2")], 1)
        await other.close()
        assert await facts.append("a", [event("3")], 1) == 2
        assert [each.position for each in await facts.read_all(0, 9)] == [1, 2]


async def until_one_waits(watching: asyncpg.Connection, application: str) -> None:
    """Until a statement of `application` waits for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'"
    async with asyncio.timeout(10):
        while not await watching.fetchval(query, application):
            pass


@pytest.mark.slow
async def test_no_position_is_visible_before_a_lower_one_that_is_under_way(
    postgresql: Running, namespace: str
) -> None:
    """An append in an open transaction holds up the appends behind it, so no reader can pass it by."""
    async with open_store(postgresql.url, namespace) as store:
        facts = store.event_store("facts")
        await facts.append("a", [event("1")], 0)
        slow = await asyncpg.connect(postgresql.url)
        async with slow.transaction():
            table = f'"{namespace}".facts'
            await slow.execute(f"UPDATE {table}_position SET last = last + 1")
            await slow.execute(f"INSERT INTO {table}_events SELECT 2, 'b', 1, attributes FROM {table}_events")
            behind = asyncio.create_task(facts.append("c", [event("3")], 0))
            await until_one_waits(slow, f"hadal {namespace}")
            assert [each.position for each in await facts.read_all(0, 9)] == [1]
        assert await behind == 1
        await slow.close()
        assert [(each.position, each.stream) for each in await facts.read_all(1, 9)] == [(2, "b"), (3, "c")]


@pytest.mark.slow
async def test_find_reads_its_index_and_not_the_table(
    postgresql: Running, namespace: str, address_of: Callable[[str], str]
) -> None:
    async with open_store(postgresql.url, namespace) as store:
        notes = store.documents("notes", ("owner",))
        await asyncio.gather(*(notes.put(f"k{n}", {"owner": f"o{n % 50}"}, 0) for n in range(500)))
        assert len(await notes.find("owner", "o7", limit=3, after="k1")) == 3
    looking = await asyncpg.connect(postgresql.url)
    await looking.execute(f'ANALYZE "{namespace}".notes_documents')
    plan = await looking.fetch(
        f'EXPLAIN SELECT key, version, body FROM "{namespace}".notes_documents'
        " WHERE (body -> 'owner')::text = '\"o7\"' AND key > 'k1' ORDER BY key ASC LIMIT 3"
    )
    await looking.close()
    assert any("notes_by_owner" in row[0] for row in plan), plan

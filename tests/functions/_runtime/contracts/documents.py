"""What every `Documents` does. An adapter runs it by one fixture line.

The fixture `notes` is a collection with the indexes `owner` and `state`.
"""

from __future__ import annotations

import asyncio

import pytest

from functions._runtime.errors import VersionConflict
from functions._runtime.ports import Documents


class DocumentsContract:
    async def test_a_document_comes_back_as_it_was(self, notes: Documents) -> None:
        body = {"owner": "ann", "n": 1, "nested": {"list": [1, 2.5, None, True]}, "text": "ä\x00\n€🌊"}
        assert await notes.put("k", body, 0) == 1
        kept = await notes.get("k")
        assert kept is not None
        assert (kept.key, kept.version, kept.body) == ("k", 1, body)

    async def test_an_absent_document_is_none(self, notes: Documents) -> None:
        assert await notes.get("absent") is None

    async def test_each_write_counts_the_version_up(self, notes: Documents) -> None:
        assert [await notes.put("k", {"n": n}, n) for n in range(3)] == [1, 2, 3]
        assert await notes.put("k", {"n": 9}, None) == 4

    @pytest.mark.parametrize("if_version", [0, 1, 3])
    async def test_a_write_at_another_version_is_a_conflict_and_changes_nothing(
        self, notes: Documents, if_version: int
    ) -> None:
        await notes.put("k", {"n": 1}, 0)
        await notes.put("k", {"n": 2}, 1)
        with pytest.raises(VersionConflict):
            await notes.put("k", {"n": 3}, if_version)
        kept = await notes.get("k")
        assert kept is not None
        assert (kept.version, kept.body) == (2, {"n": 2})

    async def test_a_version_of_an_absent_document_is_a_conflict(self, notes: Documents) -> None:
        with pytest.raises(VersionConflict):
            await notes.put("k", {}, 1)

    async def test_of_a_hundred_writers_at_one_version_exactly_one_wins(self, notes: Documents) -> None:
        outcomes = await asyncio.gather(
            *(notes.put("k", {"n": n}, 0) for n in range(100)), return_exceptions=True
        )
        assert [outcome for outcome in outcomes if not isinstance(outcome, VersionConflict)] == [1]

    async def test_of_a_hundred_writers_at_any_version_each_has_its_own(self, notes: Documents) -> None:
        outcomes = await asyncio.gather(*(notes.put("k", {"n": n}, None) for n in range(100)))
        assert sorted(outcomes) == list(range(1, 101))

    async def test_what_was_read_or_written_is_nobodys_to_change(self, notes: Documents) -> None:
        body = {"list": [1]}
        await notes.put("k", body, 0)
        body["list"].append(2)
        kept = await notes.get("k")
        assert kept is not None
        kept.body["list"].append(3)
        again = await notes.get("k")
        assert again is not None
        assert again.body == {"list": [1]}

    async def test_documents_are_found_by_an_index_in_the_order_of_their_keys(self, notes: Documents) -> None:
        for key in ("c", "a", "b", "ä", "Z"):
            await notes.put(key, {"owner": "ann"}, 0)
        await notes.put("d", {"owner": "bob"}, 0)
        await notes.put("e", {}, 0)
        found = await notes.find("owner", "ann", limit=10)
        assert [each.key for each in found] == ["Z", "a", "b", "c", "ä"]
        assert [each.key for each in await notes.find("owner", "bob", limit=10)] == ["d"]
        assert await notes.find("owner", "nobody", limit=10) == []

    async def test_pages_follow_each_other_both_ways(self, notes: Documents) -> None:
        for n in range(7):
            await notes.put(f"k{n}", {"owner": "ann"}, 0)
        for descending in (False, True):
            seen: list[str] = []
            after: str | None = None
            while page := await notes.find("owner", "ann", limit=3, after=after, descending=descending):
                seen += [each.key for each in page]
                after = seen[-1]
            assert seen == sorted((f"k{n}" for n in range(7)), reverse=descending)

    async def test_a_page_may_begin_behind_a_key_that_is_gone(self, notes: Documents) -> None:
        for key in ("a", "c"):
            await notes.put(key, {"owner": "ann"}, 0)
        assert [each.key for each in await notes.find("owner", "ann", limit=9, after="b")] == ["c"]
        backwards = await notes.find("owner", "ann", limit=9, after="b", descending=True)
        assert [each.key for each in backwards] == ["a"]

    async def test_an_index_follows_the_document(self, notes: Documents) -> None:
        await notes.put("k", {"owner": "ann", "state": "open"}, 0)
        await notes.put("k", {"owner": "bob", "state": "open"}, 1)
        assert await notes.find("owner", "ann", limit=9) == []
        assert [each.version for each in await notes.find("owner", "bob", limit=9)] == [2]
        assert [each.key for each in await notes.find("state", "open", limit=9)] == ["k"]

    @pytest.mark.parametrize("value", [5, True, None, ["ann"], {"$gt": ""}])
    async def test_only_text_is_indexed(self, notes: Documents, value: object) -> None:
        """Promise 23: what looks like a query operator is a value like any other."""
        await notes.put("k", {"owner": value}, 0)
        for text in ("5", "1", "true", "", '{"$gt":""}', "ann", '["ann"]'):
            assert await notes.find("owner", text, limit=9) == []

    @pytest.mark.parametrize("text", ["' OR 1=1 --", '{"$gt": ""}', "$where", "%", "_", "\x00", "ä"])
    async def test_keys_and_values_are_only_ever_compared(self, notes: Documents, text: str) -> None:
        """Promise 23."""
        await notes.put("other", {"owner": "other"}, 0)
        await notes.put(text, {"owner": text}, 0)
        assert [each.key for each in await notes.find("owner", text, limit=9)] == [text]
        kept = await notes.get(text)
        assert kept is not None

    async def test_a_name_in_a_body_is_only_ever_a_name(self, notes: Documents) -> None:
        """Promise 23."""
        body = {"$set": {"owner": "x"}, "owner.name": "y", "_id": "z", "": 1, "owner": "ann", "\x00": "\x01"}
        await notes.put("k", body, 0)
        kept = await notes.get("k")
        assert kept is not None and kept.body == body
        assert [each.key for each in await notes.find("owner", "ann", limit=9)] == ["k"]

    async def test_a_large_body_comes_back_as_it_was(self, notes: Documents) -> None:
        body = {"owner": "ann", "text": "ä\\u0000\x00" * 500_000}
        await notes.put("k", body, 0)
        kept = await notes.get("k")
        assert kept is not None and kept.body == body

    async def test_an_undeclared_index_is_a_mistake(self, notes: Documents) -> None:
        with pytest.raises(ValueError, match="undeclared"):
            await notes.find("undeclared", "x", limit=1)

    async def test_a_deleted_document_is_gone_from_its_indexes_too(self, notes: Documents) -> None:
        await notes.put("k", {"owner": "ann"}, 0)
        await notes.delete("k")
        await notes.delete("k")
        assert await notes.get("k") is None
        assert await notes.find("owner", "ann", limit=9) == []
        assert await notes.put("k", {"owner": "ann"}, 0) == 1

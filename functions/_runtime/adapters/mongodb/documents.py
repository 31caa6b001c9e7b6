"""`Documents` in MongoDB: the body as JSON text, exactly as it was, and its text fields beside it.

Every text field on the top level stands under `texts`, declared or not, so that an index may be declared over
any of them at any time, whichever version of the program wrote the document. A value is only ever compared
with text: nothing in a body or a query is taken for one of MongoDB's operators.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import orjson
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError

from functions._runtime.adapters.mongodb.database import Collection, Database, Indexed, translated
from functions._runtime.adapters.unanswered import answered
from functions._runtime.errors import VersionConflict
from functions._runtime.ports import Document
from functions._runtime.store import is_store_name, store_name


class MongodbDocuments:
    """The collection `<name>_documents` of the function.

    `writer` names the write that made a version, so that one whose answer was lost is known again.
    """

    def __init__(self, database: Database, name: str, indexes: tuple[str, ...]) -> None:
        self._indexes = tuple(store_name(index) for index in indexes)
        self._documents = Indexed(
            database.collection(f"{name}_documents"),
            [IndexModel([(f"texts.{index}", ASCENDING), ("_id", ASCENDING)]) for index in self._indexes],
        )

    async def get(self, key: str) -> Document | None:
        """The document, or None."""
        documents = await self._documents.ready()
        with translated():
            found = await documents.find_one({"_id": key})
        return None if found is None else _document(found)

    async def put(self, key: str, body: Mapping[str, Any], if_version: int | None) -> int:
        """Write the document if it is at `if_version`; see the port."""
        documents = await self._documents.ready()
        writer = uuid.uuid4().hex
        texts = {
            name: value for name, value in body.items() if isinstance(value, str) and is_store_name(name)
        }
        fields = {"body": orjson.dumps(body).decode(), "texts": texts, "writer": writer}

        async def write() -> int:
            with translated():
                if if_version is None:
                    return await _written(documents, key, fields)
                if not await _moved(documents, key, fields, if_version):
                    raise VersionConflict(f"The document isn't at version {if_version}.")
            return if_version + 1

        async def own() -> bool:
            with translated():
                return await documents.find_one({"_id": key, "writer": writer}, {"_id": 1}) is not None

        return await answered(write, own, (if_version or 0) + 1)

    async def find(
        self, index: str, value: str, *, limit: int, after: str | None = None, descending: bool = False
    ) -> list[Document]:
        """Documents whose field `index` is `value`, by key."""
        if index not in self._indexes:
            raise ValueError(f"{index!r} is no declared index of this collection")
        query: dict[str, Any] = {f"texts.{index}": value}
        if after is not None:
            query["_id"] = {"$lt" if descending else "$gt": after}
        documents = await self._documents.ready()
        with translated():
            cursor = documents.find(
                query, limit=limit, sort=[("_id", DESCENDING if descending else ASCENDING)]
            )
            return [_document(found) for found in await cursor.to_list()]

    async def delete(self, key: str) -> None:
        """Remove the document."""
        documents = await self._documents.ready()
        with translated():
            await documents.delete_one({"_id": key})


async def _moved(documents: Collection, key: str, fields: Mapping[str, Any], version: int) -> bool:
    """Whether the document was at `version` (0: wasn't there) and now is at the next one."""
    if version == 0:
        try:
            await documents.insert_one({"_id": key, "version": 1, **fields})
        except DuplicateKeyError:
            return False
        return True
    done = await documents.replace_one({"_id": key, "version": version}, {"version": version + 1, **fields})
    return done.matched_count == 1


async def _written(documents: Collection, key: str, fields: Mapping[str, Any]) -> int:
    change = {"$set": fields, "$inc": {"version": 1}}
    after = ReturnDocument.AFTER
    while True:
        try:
            found = await documents.find_one_and_update(
                {"_id": key}, change, {"version": 1}, upsert=True, return_document=after
            )
        except DuplicateKeyError:
            continue  # two at once found nothing there; now there is something
        assert found is not None  # noqa: S101  an upsert always leaves a document
        return int(found["version"])


def _document(found: Mapping[str, Any]) -> Document:
    return Document(found["_id"], found["version"], orjson.loads(found["body"]))

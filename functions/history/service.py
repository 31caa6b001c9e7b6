"""The wiring of `history`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from functions._runtime.function import Function, Ground, function
from functions._runtime.http import Route
from functions._runtime.service_identity import ServiceIdentity
from functions._runtime.settings import http_url, variable
from functions._runtime.store import open_store, store_url
from functions.history.feed import ChatFeed
from functions.history.handler import Project
from functions.history.readmodel import HEAD_INDEXES, ITEM_INDEXES, Generations
from functions.history.reads import Reads
from functions.history.rebuild import Rebuild

FACTS_OF_CHAT = "dev.hadal.chat.*"


@dataclass(frozen=True, slots=True)
class Settings:
    """What `history` is told."""

    client_secret: str = variable("CLIENT_SECRET", secret=True)
    store: str = variable("HADAL_STORE", default="memory:", parse=store_url, secret=True)
    auth_url: str = variable("AUTH_URL", default="http://auth.hadal.svc.cluster.local", parse=http_url)
    chat_url: str = variable("CHAT_URL", default="http://chat.hadal.svc.cluster.local", parse=http_url)
    tenant: str = variable("HADAL_TENANT", default="default")


async def build(settings: Settings, ground: Ground) -> Function:
    """`history` over a real store."""
    store = await ground.stack.enter_async_context(open_store(settings.store, ground.name))
    generations = Generations(
        store.documents("heads", HEAD_INDEXES),
        store.documents("items", ITEM_INDEXES),
        store.documents("generations"),
    )
    moved = asyncio.Condition()
    reads = Reads(generations, ground.identity, moved)
    tokens = ServiceIdentity(ground.http, settings.auth_url, "history", settings.client_secret, ground.clock)
    feed = ChatFeed(ground.http, settings.chat_url, tokens, settings.tenant)
    rebuild = Rebuild(generations, feed, store.documents("claims"), ground.identity, ground.clock)
    return Function(
        routes=[
            Route("GET", "/v1/conversations", reads.conversations),
            Route("GET", "/v1/conversations/{id}", reads.conversation),
            Route("GET", "/v1/conversations/{id}/items", reads.items),
            Route("GET", "/v1/conversations/{id}/items/{item_id}", reads.item),
            Route("POST", "/v1/rebuild", rebuild),
        ],
        events={FACTS_OF_CHAT: Project(generations, moved)},
        ready={"store": store.check},
    )


history = function("history", Settings, build)

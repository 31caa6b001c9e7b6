"""The wiring of `summarize`."""

from __future__ import annotations

from dataclasses import dataclass

from events.chat import TurnCompleted
from functions._runtime import deduplication
from functions._runtime.deduplication import deduplicated
from functions._runtime.function import Function, Ground, function
from functions._runtime.model_client import ModelClient
from functions._runtime.service_identity import ServiceIdentity
from functions._runtime.settings import http_url, variable
from functions._runtime.store import open_store, store_url
from functions.summarize.conversations import ChatService
from functions.summarize.handler import Summarize

LEASE_S = 420.0
"""Longer than context and generation ever take."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What `summarize` is told."""

    client_secret: str = variable("CLIENT_SECRET", secret=True)
    store: str = variable("HADAL_STORE", default="memory:", parse=store_url, secret=True)
    auth_url: str = variable("AUTH_URL", default="http://auth.hadal.svc.cluster.local", parse=http_url)
    chat_url: str = variable("CHAT_URL", default="http://chat.hadal.svc.cluster.local", parse=http_url)
    inference_url: str = variable(
        "INFERENCE_URL", default="http://inference.hadal.svc.cluster.local", parse=http_url
    )


async def build(settings: Settings, ground: Ground) -> Function:
    """`summarize` over real servers."""
    store = await ground.stack.enter_async_context(open_store(settings.store, ground.name))
    tokens = ServiceIdentity(
        ground.http, settings.auth_url, "summarize", settings.client_secret, ground.clock
    )
    summarize = Summarize(
        ChatService(ground.http, settings.chat_url, tokens),
        ModelClient(ground.http, settings.inference_url),
        ground.clock,
        ground.ids,
    )
    once = deduplicated(
        summarize, store.documents("inbox", deduplication.INDEXES), ground.clock, lease_s=LEASE_S
    )
    return Function(events={TurnCompleted.TYPE: once}, ready={"store": store.check})


summarize = function("summarize", Settings, build)

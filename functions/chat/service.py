"""The wiring of `chat`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from functions._runtime import set_aside
from functions._runtime.adapters.broker import BrokerPublisher, overrides
from functions._runtime.function import Function, Ground, function
from functions._runtime.model_client import ModelClient
from functions._runtime.outbox import Relay, RelayedStore
from functions._runtime.set_aside import SetAside
from functions._runtime.settings import at_least, http_url, variable
from functions._runtime.store import open_store, store_url
from functions.chat.answering import Answering
from functions.chat.background import Background
from functions.chat.conversations import Conversations
from functions.chat.expiry import ExpireTurns
from functions.chat.feed import Feed
from functions.chat.handler import Chat
from functions.chat.snapshots import Snapshots
from functions.chat.turn import TakeTurn
from functions.chat.window import KnownWindow


@dataclass(frozen=True, slots=True)
class Settings:
    """What `chat` is told.

    Attributes:
        sink, overrides: where its facts go and what is added to them; a SinkBinding sets them.
        window_tokens: how much the model takes, where its server doesn't say.
        turn_deadline_s: how long a turn may take.
        summary_threshold_tokens: a conversation with more than this outside its summary is due for one.
    """

    store: str = variable("HADAL_STORE", default="memory:", parse=store_url, secret=True)
    sink: str | None = variable("K_SINK", default=None, parse=http_url)
    overrides: Mapping[str, str] | None = variable("K_CE_OVERRIDES", default=None, parse=overrides)
    inference_url: str = variable(
        "INFERENCE_URL", default="http://inference.hadal.svc.cluster.local", parse=http_url
    )
    window_tokens: int = variable("MODEL_WINDOW_TOKENS", default=8_192, parse=at_least(256))
    turn_deadline_s: float = variable("TURN_DEADLINE_S", default=300.0, parse=at_least(1.0))
    summary_threshold_tokens: int = variable("SUMMARY_THRESHOLD_TOKENS", default=3_000, parse=at_least(1))


async def build(settings: Settings, ground: Ground) -> Function:
    """`chat` over a real store, broker and model service."""
    store = await ground.stack.enter_async_context(open_store(settings.store, ground.name))
    background = Background()
    ground.stack.push_async_callback(background.drain)
    clock, ids = ground.clock, ground.ids
    events, tasks = store.event_store("conversations"), []
    if settings.sink:
        publisher = BrokerPublisher(ground.http, settings.sink, settings.overrides or {})
        refused = store.documents("events_set_aside", set_aside.INDEXES)
        aside = SetAside(refused, clock, ground.metrics, ground.log)
        relay = Relay(events, publisher, aside, ground.log)
        events = RelayedStore(events, relay)
        tasks.append(relay.run)
    else:
        ground.log.warning("no_sink", reason="K_SINK isn't set: the facts stay in the outbox")
    snapshots = Snapshots(store.documents("conversation_snapshots"))
    threshold = settings.summary_threshold_tokens
    conversations = Conversations(events, snapshots, clock, ids, background, threshold_tokens=threshold)
    model = ModelClient(ground.http, settings.inference_url, settings.window_tokens)
    window = KnownWindow(model.window_tokens, settings.window_tokens, clock, background)
    answering = Answering(conversations, model, window, ids, background)
    deadline_s = settings.turn_deadline_s
    turn = TakeTurn(ground.identity, conversations, answering, clock, ids, background, deadline_s)
    feed = Feed(ground.identity, conversations, events)
    expire_turns = ExpireTurns(events, store.documents("open_turns"), conversations, clock)
    endpoints = Chat(ground.identity, conversations, turn, feed, expire_turns, ids)
    tasks.append(expire_turns)
    return Function(endpoints.routes(), endpoints.reactions(), tasks, {"store": store.check})


chat = function("chat", Settings, build)

"""The engine's face: requests come from event loops, one thread computes the steps of all of them."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from inference.engine.batcher import Batcher, Generation, StepFailedError
from inference.engine.port import (
    EngineDescription,
    EngineEvent,
    EngineLoad,
    GenerationRequest,
    Scheduled,
    Token,
)
from inference.engine.step_counts import StepCounts
from inference.errors import GenerationFailedError

_log = logging.getLogger(__name__)
Message = EngineEvent | GenerationFailedError


@dataclass(slots=True, eq=False)
class _Client:
    """Who waits for a request's events, and where.

    Written to and read on its loop alone, by one reader, so a future does for what `asyncio.Queue` takes half
    as long again.
    """

    request: GenerationRequest
    loop: asyncio.AbstractEventLoop
    left: bool = False
    _messages: deque[Message] = field(default_factory=deque)
    _came: asyncio.Future[None] | None = None

    def put(self, message: Message) -> None:
        """Hand a message over."""
        self._messages.append(message)
        if self._came is not None and not self._came.done():
            self._came.set_result(None)

    async def get(self) -> Message:
        """The next message, once it has come."""
        if not self._messages:
            self._came = self.loop.create_future()
            await self._came
        return self._messages.popleft()


class BatchingEngine:
    """`Engine` around a `Batcher`."""

    def __init__(self, batcher: Batcher, description: EngineDescription) -> None:
        self.description = description
        self._batcher = batcher
        self._arrivals: queue.SimpleQueue[_Client | None] = queue.SimpleQueue()
        self._clients: dict[Generation, _Client] = {}  # each until it was told its end
        self._untold: list[tuple[Generation, Message]] = []
        # Counted where requests come from, so that all fall as one leaves.
        self._asked = self._running = self._granted_tokens = 0
        self._step_began_s: float | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    def load(self) -> EngineLoad:
        """Tell how busy the engine is at this moment."""
        began_s = self._step_began_s
        step_s = 0.0 if began_s is None else time.monotonic() - began_s
        used_bytes = self._batcher.cache_used_bytes
        waiting = self._asked - self._running
        return EngineLoad(
            self._running, waiting, step_s, used_bytes, self._granted_tokens, alive=not self._ended
        )

    @property
    def steps(self) -> StepCounts:
        """What its steps took so far."""
        return self._batcher.counts

    def close(self) -> None:
        """End the thread, after the step that it computes now."""
        self._arrivals.put(None)
        self._thread.join()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent, None]:
        """Yield the events of one generation; closing the generator cancels it within one step.

        Raises:
            GenerationFailedError: the model could not compute this request.
        """
        self._batcher.check(request)
        client = _Client(request, asyncio.get_running_loop())
        scheduled, most_tokens = False, len(request.prompt_ids) + request.max_new_tokens
        self._asked += 1
        self._arrivals.put(client)
        try:
            if self._ended:  # asked after the client was put: one that came before the end is told by it
                raise _failure()
            while True:
                message = await client.get()
                if isinstance(message, GenerationFailedError):
                    raise message
                if isinstance(message, Scheduled):
                    scheduled = True
                    self._running += 1
                    self._granted_tokens += most_tokens
                yield message
                if isinstance(message, Token) and message.finish_reason:
                    return
        finally:
            client.left = True
            self._asked -= 1
            if scheduled:
                self._running -= 1
                self._granted_tokens -= most_tokens

    def _work(self) -> None:
        """Compute until the engine is closed.

        A step that fails is told to those in it. Any other error ends the engine, because nobody knows what
        it has left of the batch: `load` tells, and nobody waits for ever.
        """
        try:
            self._compute()
        except Exception:  # noqa: BLE001 (the thread has no caller who would see it)
            _log.exception("the engine has failed and computes nothing any more")
        finally:
            self._ended = True
            self._fail_all()

    def _compute(self) -> None:
        while self._take_arrivals():
            self._drop_those_who_left()
            self._step_began_s = time.monotonic()
            try:
                happened: list[tuple[Generation, Message]] = [*self._batcher.step(meanwhile=self._tell)]
            except StepFailedError as failure:
                _log.exception("a step failed")
                happened = [(generation, _failure()) for generation in failure.generations]
            finally:
                self._step_began_s = None
            self._tell()  # where the model had nothing to compute, or failed before it could
            self._untold = happened

    def _take_arrivals(self) -> bool:
        """Take in who has come, and wait for somebody where there is nothing to do; False: close."""
        while True:
            try:
                client = self._arrivals.get(block=not self._clients)
            except queue.Empty:
                return True
            if client is None:
                return False
            if not client.left:
                self._add(client)

    def _add(self, client: _Client) -> None:
        try:
            generation = self._batcher.add(client.request)
        except Exception:  # noqa: BLE001 (one request's failure must not end the thread that serves all)
            _log.exception("a request could not be queued")
            _send(client.loop, [(client, _failure())])
        else:
            self._clients[generation] = client

    def _fail_all(self) -> None:
        """Tell what the last step has made, and then whoever still waits that nothing comes."""
        self._untold += [(generation, _failure()) for generation in self._clients]
        self._tell()
        with suppress(queue.Empty):
            while True:
                if client := self._arrivals.get_nowait():
                    _send(client.loop, [(client, _failure())])

    def _drop_those_who_left(self) -> None:
        for generation in [generation for generation, client in self._clients.items() if client.left]:
            self._batcher.remove(generation)
            del self._clients[generation]

    def _tell(self, begun: Sequence[tuple[Generation, Message]] = ()) -> None:
        """Hand over what the step before has made, and who has `begun`; once a loop, whose waking costs."""
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Client, Message]]] = {}
        for generation, message in (*self._untold, *begun):
            client = self._clients.get(generation)
            if client is None:
                continue  # it has left
            by_loop.setdefault(client.loop, []).append((client, message))
            if isinstance(message, GenerationFailedError) or (
                isinstance(message, Token) and message.finish_reason
            ):
                del self._clients[generation]
        self._untold = []
        for loop, messages in by_loop.items():
            _send(loop, messages)


def _failure() -> GenerationFailedError:
    return GenerationFailedError("the model could not compute this request")


def _send(loop: asyncio.AbstractEventLoop, messages: list[tuple[_Client, Message]]) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits there
        loop.call_soon_threadsafe(_deliver, messages)


def _deliver(messages: list[tuple[_Client, Message]]) -> None:
    for client, message in messages:
        client.put(message)

"""An Idempotency-Key names a turn: the same key again is the same turn, and never a second generation.

Source: the IETF draft "The Idempotency-Key HTTP Header Field". A turn that failed or expired has given no
answer, so its key may try again; each try is a turn of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count

import orjson

from functions._runtime.ports import Recorded
from functions.chat.conversations import fact_of
from functions.chat.model import KEYED_TURN, OUTCOMES, Conversation, EndedTurn

_ID_DIGITS = 31
_MAY_TRY_AGAIN = ("failed", "expired")


@dataclass(frozen=True, slots=True)
class TurnName:
    """Whose key it is. Nobody else's key, and not the same key elsewhere, gives the same turn."""

    tenant: str
    owner: str
    conversation_id: str
    key: str

    def turn_id(self, attempt: int) -> str:
        """The id of the turn that is the `attempt`th (from 0) under this key."""
        parts = [self.tenant, self.owner, self.conversation_id, self.key, attempt]
        return KEYED_TURN + hashlib.sha256(orjson.dumps(parts)).hexdigest()[:_ID_DIGITS]

    def latest(self, ended: Mapping[str, EndedTurn]) -> tuple[str, EndedTurn | None]:
        """The turn that the key means now, and how it ended if it has."""
        for attempt in count():
            turn_id = self.turn_id(attempt)
            turn = ended.get(turn_id)
            if turn is None or turn.outcome not in _MAY_TRY_AGAIN:
                return turn_id, turn
        raise AssertionError("unreachable: count() doesn't end")


def remembered(state: Conversation) -> dict[str, EndedTurn]:
    """The turns with a key that the state remembers, by id."""
    return {turn.turn_id: turn for turn in state.keyed}


def recorded(stream: Iterable[Recorded]) -> dict[str, EndedTurn]:
    """The turns with a key that ended anywhere in a stream, by id."""
    found = {}
    for each in stream:
        fact = fact_of(each)
        outcome = OUTCOMES.get(type(fact)) if fact else None
        turn_id = getattr(fact, "turn_id", "")
        if outcome and turn_id.startswith(KEYED_TURN):
            found[turn_id] = EndedTurn(turn_id, each.version, outcome)
    return found

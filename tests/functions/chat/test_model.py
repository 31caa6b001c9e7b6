"""What a conversation is, whatever happens to it in whatever order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.chat import Item, SummaryAdopted, TurnStarted, Usage
from events.fact import Fact
from functions._runtime.clock import rfc3339
from functions._runtime.errors import Conflict, NotFound, Problem, Unprocessable
from functions.chat import commands
from functions.chat.model import (
    KEYED_TURN,
    REMEMBERED_KEYS,
    REMEMBERED_TOKENS,
    UNSUMMARIZED_TURNS,
    Conversation,
    evolve,
)
from functions.chat.snapshots import decode, encode

START = datetime(2026, 1, 1, tzinfo=UTC)
NAME = "conv_1"


def said(text: str, role: str = "user") -> Item:
    return Item("msg_1", role, text)


@dataclass(frozen=True)
class Moment:
    """A state and everything that led to it."""

    state: Conversation
    facts: tuple[Fact, ...] = ()

    def then(self, decided: Sequence[Fact]) -> Moment:
        state = self.state
        for each in decided:
            state = evolve(state, each, rfc3339(START))
        return Moment(state, (*self.facts, *decided))


def started(*items: Item) -> Moment:
    nothing = Moment(Conversation(NAME))
    return nothing.then(commands.start(nothing.state, "ann", {}, items))


def with_turn(
    moment: Moment, turn_id: str, *, asked: str = "Hi", answer: str = "Hello", role: str = "user"
) -> Moment:
    opened = moment.then(
        commands.start_turn(moment.state, turn_id, "echo", [said(asked, role)], rfc3339(START))
    )
    item = said(answer, "assistant")
    return opened.then(commands.complete_turn(opened.state, turn_id, "echo", item, "stop", Usage(1, 1)))


Step = Callable[[Conversation], Sequence[Fact]]
turn_ids = st.sampled_from(["turn_1", "turn_2", KEYED_TURN + "1", KEYED_TURN + "2"])
texts = st.text(max_size=20)


@st.composite
def steps(draw: st.DrawFn) -> Step:
    turn_id, text, minutes = draw(turn_ids), draw(texts), draw(st.integers(-10, 10))
    version, key = draw(st.integers(0, 30)), draw(st.sampled_from(["a", "b"]))
    moment = START + timedelta(minutes=minutes)
    chosen: Step = draw(
        st.sampled_from(
            [
                lambda state: commands.start(state, "ann", {}, [said(text)]),
                lambda state: commands.update(state, "ann", {key: text}),
                lambda state: commands.delete(state, "ann"),
                lambda state: commands.start_turn(state, turn_id, "echo", [said(text)], rfc3339(moment)),
                lambda state: commands.complete_turn(
                    state, turn_id, "echo", said(text, "assistant"), "stop", Usage(1, 1)
                ),
                lambda state: commands.cancel_turn(state, turn_id, "echo", None, None),
                lambda state: commands.cancel_turn(state, turn_id, "echo", said(text, "assistant"), None),
                lambda state: commands.fail_turn(state, turn_id, "model_failed"),
                lambda state: commands.expire_turn(state, moment),
                lambda state: commands.adopt_summary(state, text, version),
            ]
        )
    )
    return chosen


@given(st.lists(steps(), max_size=40))
def test_any_sequence_of_commands_keeps_the_invariants(sequence: list[Step]) -> None:
    moment = Moment(Conversation(NAME))
    for step in sequence:
        before = moment
        try:
            moment = moment.then(step(before.state))
        except Problem:
            assert moment is before
        state = moment.state
        assert state.version == len(moment.facts)
        assert state.summarized_through >= before.state.summarized_through or state.deleted
        assert all(turn.version > state.summarized_through for turn in state.turns)
        assert [turn.version for turn in state.turns] == sorted({turn.version for turn in state.turns})
        if before.state.deleted:
            assert state == before.state
    endings = ("TurnCompleted", "TurnCancelled", "TurnFailed", "TurnExpired")
    open_turns = 0
    for each in moment.facts:
        open_turns += (type(each).__name__ == "TurnStarted") - (type(each).__name__ in endings)
        assert 0 <= open_turns <= 1
    assert moment.state.deleted or (moment.state.open_turn is not None) == bool(open_turns)


@given(st.lists(steps(), max_size=40))
def test_folding_the_facts_again_gives_the_same_state(sequence: list[Step]) -> None:
    moment = Moment(Conversation(NAME))
    for step in sequence:
        try:
            moment = moment.then(step(moment.state))
        except Problem:
            continue
    assert Moment(Conversation(NAME)).then(moment.facts).state == moment.state


@given(st.lists(steps(), max_size=30))
def test_a_state_survives_its_snapshot(sequence: list[Step]) -> None:
    moment = Moment(Conversation(NAME))
    for step in sequence:
        try:
            moment = moment.then(step(moment.state))
        except Problem:
            continue
    assert decode(encode(moment.state)) == moment.state


def test_parts_calls_and_keys_survive_a_snapshot() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "depth", "arguments": "{}"}}
    parts = ({"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "data:…"}})
    items = (Item("msg_1", "user", parts), Item("msg_2", "assistant", None, tool_calls=(call,)))
    moment = with_turn(started(*items, said("Be brief.", "system")), KEYED_TURN + "1")
    moment = moment.then(commands.start_turn(moment.state, "turn_2", "echo", items, rfc3339(START)))
    assert decode(encode(moment.state)) == moment.state


def test_a_conversation_is_seen_by_its_owner_alone() -> None:
    """Promise 20."""
    messages = []
    deleted = started().then(commands.delete(started().state, "ann"))
    for state, caller in ((started().state, "bob"), (deleted.state, "ann"), (Conversation(NAME), "ann")):
        with pytest.raises(NotFound) as refused:
            commands.require_visible(state, caller)
        messages.append((refused.value.message, refused.value.code))
    assert len(set(messages)) == 1


def test_a_repeated_end_of_a_turn_changes_nothing() -> None:
    moment = with_turn(started(), "turn_1")
    again = commands.complete_turn(
        moment.state, "turn_1", "echo", said("x", "assistant"), "stop", Usage(1, 1)
    )
    assert again == []


def test_a_turn_that_has_expired_can_not_be_completed() -> None:
    moment = started()
    moment = moment.then(commands.start_turn(moment.state, "turn_1", "echo", [said("Hi")], rfc3339(START)))
    moment = moment.then(commands.expire_turn(moment.state, START))
    with pytest.raises(Conflict) as refused:
        commands.complete_turn(moment.state, "turn_1", "echo", said("x", "assistant"), "stop", Usage(1, 1))
    assert refused.value.code == "turn_expired"


def test_a_turn_is_expired_at_its_deadline_and_not_before() -> None:
    moment = started()
    moment = moment.then(commands.start_turn(moment.state, "turn_1", "echo", [said("Hi")], rfc3339(START)))
    assert commands.expire_turn(moment.state, START - timedelta(milliseconds=1)) == []
    assert len(commands.expire_turn(moment.state, START)) == 1


def test_instructions_stay_in_force_until_a_turn_brings_others() -> None:
    moment = with_turn(started(said("Be brief.", "system")), "turn_1")
    assert [item.content for item in moment.state.instructions] == ["Be brief."]
    moment = with_turn(moment, "turn_2", asked="Be long.", role="developer")
    assert [item.content for item in moment.state.instructions] == ["Be long."]
    assert all(item.role not in ("system", "developer") for turn in moment.state.turns for item in turn.items)


def test_how_an_answer_was_thought_out_is_not_remembered() -> None:
    moment = started()
    moment = moment.then(commands.start_turn(moment.state, "turn_1", "echo", [said("Hi")], rfc3339(START)))
    answer = replace(said("Hello", "assistant"), reasoning_content="Let me think.")
    moment = moment.then(commands.complete_turn(moment.state, "turn_1", "echo", answer, "stop", Usage(1, 1)))
    assert all(item.reasoning_content is None for turn in moment.state.turns for item in turn.items)


def test_a_summary_takes_the_place_of_the_turns_it_covers() -> None:
    moment = started()
    for number in range(4):
        moment = with_turn(moment, f"turn_{number}")
    through = moment.state.turns[1].version
    moment = moment.then(commands.adopt_summary(moment.state, "Greetings.", through))
    assert [turn.turn_id for turn in moment.state.turns] == ["turn_2", "turn_3"]
    assert moment.state.summary == "Greetings."


def test_a_summary_is_adopted_once_and_only_if_it_reaches_further() -> None:
    """Promise 40, for summaries: a repeated event changes nothing."""
    moment = with_turn(with_turn(started(), "turn_1"), "turn_2")
    moment = moment.then(commands.adopt_summary(moment.state, "Both.", 5))
    assert commands.adopt_summary(moment.state, "Both.", 5) == []
    assert commands.adopt_summary(moment.state, "The first.", 3) == []


@pytest.mark.parametrize(("state", "through"), [(Conversation(NAME), 1), (started().state, 2)])
def test_a_summary_of_what_has_not_happened_is_refused_for_good(state: Conversation, through: int) -> None:
    with pytest.raises(Unprocessable):
        commands.adopt_summary(state, "Prophecy.", through)


def test_a_summary_is_due_over_the_threshold_and_leaves_the_last_turns_alone() -> None:
    moment = started()
    for number in range(UNSUMMARIZED_TURNS):
        moment = with_turn(moment, f"turn_{number}", asked="x" * 3_000)
    assert not moment.state.summary_due(3_000), "there is nothing old enough"
    moment = with_turn(moment, "turn_last")
    assert moment.state.summary_due(3_000)
    assert not moment.state.summary_due(30_000)
    assert [turn.turn_id for turn in moment.state.to_summarize] == ["turn_0"]


def test_the_state_stays_small_however_long_the_conversation_is() -> None:
    moment = Moment(started().state)
    for number in range(REMEMBERED_KEYS + 50):
        moment = Moment(with_turn(Moment(moment.state), f"{KEYED_TURN}{number}", asked="x" * 3_000).state)
    state = moment.state
    assert sum(turn.tokens for turn in state.turns) <= REMEMBERED_TOKENS
    assert state.turns[-1].turn_id == f"{KEYED_TURN}{REMEMBERED_KEYS + 49}"
    assert len(state.keyed) == REMEMBERED_KEYS
    assert state.keys_forgotten


def test_a_fact_of_a_later_version_only_counts() -> None:
    state = evolve(started().state, None, rfc3339(START))
    assert state == replace(started().state, version=2)


def test_facts_that_do_not_belong_to_a_turn_leave_an_open_one_open() -> None:
    moment = with_turn(started(), "turn_1")
    moment = moment.then(commands.start_turn(moment.state, "turn_2", "echo", [said("Hi")], rfc3339(START)))
    moment = moment.then(commands.update(moment.state, "ann", {"a": "b"}))
    moment = moment.then(commands.adopt_summary(moment.state, "Greetings.", 3))
    assert isinstance(moment.facts[-1], SummaryAdopted)
    assert isinstance(moment.facts[-3], TurnStarted)
    assert moment.state.open_turn is not None
    assert moment.state.turns == ()

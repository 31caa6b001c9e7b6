"""kill -9 of the runner and of each function, at each step of a turn.

A turn's steps are told apart by the model, which is called between its two writes: before the first word the
turn has been recorded, after the last one its answer hasn't been. What a client saw acknowledged is never
lost, nothing is applied twice, and the conversation goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from tests.journeys.model_server import ModelServer
from tests.journeys.system import ROOT, System, command, eventually, start
from tests.journeys.test_conversations import say, texts

pytestmark = pytest.mark.slow

TURN_DEADLINE_S = 2


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    """The local overlay with turns that are given up early."""
    folder = tmp_path / "overlay"
    folder.mkdir()
    (folder / "kustomization.yaml").write_text(
        f"""
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [{ROOT}/knative/overlays/local]
patches:
  - target: {{kind: Service, name: chat}}
    patch: |
      - op: add
        path: /spec/template/spec/containers/0/env/-
        value: {{name: TURN_DEADLINE_S, value: "{TURN_DEADLINE_S}"}}
  - target: {{kind: PingSource}}
    patch: |
      - op: replace
        path: /spec/schedule
        value: "*/1 * * * * *"
"""
    )
    return folder


@pytest.fixture
def running(model: ModelServer, tmp_path: Path, overlay: Path) -> Iterator[System]:
    system = start(tmp_path / "data", model.url, "", "--overlay", str(overlay))
    yield system
    if system.process.poll() is None:
        system.stop()


def in_mid_turn(system: System, model: ModelServer, conversation: str, crash: Any) -> None:
    """Crash while the model holds its answer, and let go of it afterwards."""
    reached, gate = threading.Event(), threading.Event()

    def answer(_: object) -> list[Any]:
        reached.set()
        return ["half", gate, " whole"]

    with model.answering(answer), ThreadPoolExecutor(1) as pool:
        turn = pool.submit(say, system.client(), conversation, "interrupted")
        assert reached.wait(30)
        crash()
        gate.set()
        with pytest.raises(openai.APIError):
            turn.result(60)


@pytest.mark.parametrize("service", ["chat", "gateway"])
def test_a_function_killed_in_mid_turn_leaves_a_conversation_that_goes_on(
    running: System, model: ModelServer, service: str
) -> None:
    """Promise 56: every saga ends within its time."""
    client = running.client()
    conversation = client.conversations.create().id
    say(client, conversation, "before")
    in_mid_turn(running, model, conversation, lambda: running.kill(service))
    eventually(lambda: say(client, conversation, "after").endswith(" after"))
    said = texts(client, conversation)
    assert said[:2] == ["before", "1 before"]
    assert said[-2] == "after"
    assert len([text for text in said if text == "interrupted"]) <= 1


def test_a_runner_killed_in_mid_turn_finds_everything_at_its_next_start(
    running: System, model: ModelServer, overlay: Path
) -> None:
    """Promise 56."""
    client = running.client()
    conversation = client.conversations.create().id
    say(client, conversation, "before")
    in_mid_turn(running, model, conversation, running.crash)
    again = start(running.data, model.url, running.api_key, "--overlay", str(overlay))
    try:
        client = again.client()
        eventually(lambda: say(client, conversation, "after").endswith(" after"))
        said = texts(client, conversation)
        assert said[:2] == ["before", "1 before"]
        assert said[-2] == "after"
    finally:
        again.stop()


def test_what_was_acknowledged_outlives_any_kill(running: System, model: ModelServer, overlay: Path) -> None:
    """Promises 40 and 56: function after function is killed; each acknowledged turn is there, once."""
    client = running.client()
    conversation = client.conversations.create().id
    acknowledged = []
    for turn in range(12):
        text = f"turn-{turn}"
        running.kill(("chat", "history", "auth", "gateway")[turn % 4])
        try:
            say(client, conversation, text)
            acknowledged.append(text)
        except openai.APIError:
            continue
    assert acknowledged
    said = eventually(lambda: texts(client, conversation))
    assert [text for text in said if text in acknowledged] == acknowledged


def test_history_killed_while_events_arrive_reads_as_if_it_never_was(running: System) -> None:
    """Promises 40 and 45."""
    client = running.client()
    conversation = client.conversations.create().id
    for turn in range(6):
        say(client, conversation, f"turn-{turn}")
        running.kill("history")
    said = eventually(lambda: texts(client, conversation))
    assert said[0::2] == [f"turn-{turn}" for turn in range(6)]


def test_events_taken_by_the_broker_outlive_the_runner(
    running: System, model: ModelServer, overlay: Path
) -> None:
    """Promise 46 in its first form: what was answered with 202 is there after a kill -9."""
    headers = {"content-type": "application/cloudevents+json"}
    for number in range(50):
        event = {"specversion": "1.0", "id": str(number), "source": "/test", "type": "com.example.kept"}
        assert httpx2.post(running.broker, json=event, headers=headers).status_code == 202
    running.crash()
    again = start(running.data, model.url, running.api_key, "--overlay", str(overlay))
    try:
        seen = command(again.data, "events", "--json").stdout
        assert seen.count("com.example.kept") == 50
    finally:
        again.stop()


def test_a_poison_event_is_parked_and_the_conversation_keeps_moving(running: System) -> None:
    """Promise 43."""
    client = running.client()
    conversation = client.conversations.create().id
    poison = {
        "specversion": "1.0",
        "id": "poison",
        "source": "/hadal/chat",
        "type": "dev.hadal.chat.turn_completed.v1",
        "partitionkey": conversation,
        "datacontenttype": "application/json",
        "data": {"conversation_id": 7},
    }
    headers = {"content-type": "application/cloudevents+json"}
    assert httpx2.post(running.broker, json=poison, headers=headers).status_code == 202
    assert say(client, conversation, "one") == "1 one"
    eventually(lambda: texts(client, conversation) == ["one", "1 one"])
    eventually(lambda: "poison" in command(running.data, "dead-letters", "--json").stdout)

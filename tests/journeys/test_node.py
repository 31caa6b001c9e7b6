"""On the node: from zero, and through kills of every container at every step of a turn and of the Broker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from tests.journeys import node
from tests.journeys.conftest import ON_NODE
from tests.journeys.model_server import MODEL, Die, ModelServer
from tests.journeys.node import FUNCTIONS, Deployed, cluster
from tests.journeys.system import eventually
from tests.journeys.test_conversations import say, texts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not ON_NODE, reason="scripts/cluster journeys takes them through a node"),
]

AT_ZERO_WITHIN_S = 300.0
TICK_WITHIN_S = 150.0


@pytest.fixture(scope="module")
def deployed(model: ModelServer) -> Iterator[Deployed]:
    with node.soon_at_zero(), node.hadal(model.url, TURN_DEADLINE_S="2") as there:
        yield there


@pytest.fixture
def ticks(deployed: Deployed) -> Iterator[None]:
    """A tick every minute, as a turn's expiry waits for one; each wakes chat, so only where it is wanted."""
    with node.schedule("* * * * *"):
        yield


def in_mid_turn(
    client: openai.OpenAI, model: ModelServer, conversation: str, fault: Callable[[], Any]
) -> str:
    """Let something happen while the model holds its answer; what came of the turn: its text, or `failed`."""
    reached, gate = threading.Event(), threading.Event()

    def answer(_: object) -> list[Any]:
        reached.set()
        return ["half", gate, " whole"]

    with model.answering(answer), ThreadPoolExecutor(1) as pool:
        turn = pool.submit(say, client, conversation, "interrupted")
        assert reached.wait(60)
        fault()
        gate.set()
        try:
            return turn.result(120)
        except openai.APIError:
            return "failed"


def begun(client: openai.OpenAI) -> str:
    """A conversation, as soon as what an earlier test has killed is back: Kubernetes takes its time."""
    return eventually(lambda: client.conversations.create().id, TICK_WITHIN_S)


def goes_on(client: openai.OpenAI, conversation: str) -> list[str]:
    """Take a turn, as soon as the one before has come to its end; what stands there then."""
    eventually(lambda: say(client, conversation, "after").endswith(" after"), TICK_WITHIN_S)
    return eventually(lambda: texts(client, conversation), TICK_WITHIN_S)


def test_a_conversation_is_remembered_though_everything_went_to_zero_between_its_turns(
    deployed: Deployed,
) -> None:
    client = deployed.client()
    conversation = begun(client)
    for turn, text in enumerate(("one", "two", "three")):
        eventually(deployed.is_at_zero, AT_ZERO_WITHIN_S)
        assert say(client, conversation, text) == f"{2 * turn + 1} {text}"
    eventually(deployed.is_at_zero, AT_ZERO_WITHIN_S)
    assert texts(client, conversation) == ["one", "1 one", "two", "3 two", "three", "5 three"]


@pytest.mark.usefixtures("ticks")
@pytest.mark.parametrize("function", ["chat", "gateway"])
def test_a_function_killed_in_mid_turn_leaves_a_conversation_that_goes_on(
    deployed: Deployed, model: ModelServer, function: str
) -> None:
    """Promise 56: every saga ends within its time."""
    client = deployed.client()
    conversation = begun(client)
    say(client, conversation, "before")
    assert in_mid_turn(client, model, conversation, lambda: deployed.kill(function)) == "failed"
    said = goes_on(client, conversation)
    assert said[:2] == ["before", "1 before"]
    assert said.count("interrupted") <= 1


@pytest.mark.usefixtures("ticks")
def test_what_was_acknowledged_outlives_any_kill(deployed: Deployed) -> None:
    """Promises 45 and 56: container after container is killed; each acknowledged turn is there, once."""
    client = deployed.client()
    conversation = begun(client)
    acknowledged = []
    for turn in range(12):
        text = f"turn-{turn}"
        deployed.kill(("chat", "history", "auth", "gateway")[turn % 4])
        try:
            say(client, conversation, text)
            acknowledged.append(text)
        except openai.APIError:
            continue
    assert acknowledged

    def all_there() -> bool:
        said = texts(client, conversation)
        return [text for text in said if text in acknowledged] == acknowledged

    eventually(all_there, TICK_WITHIN_S)


@pytest.mark.usefixtures("ticks")
def test_a_model_that_dies_in_mid_stream_ends_it_with_an_error(
    deployed: Deployed, model: ModelServer
) -> None:
    """Promise 52."""
    client = deployed.client()
    conversation = begun(client)
    body = {"model": MODEL, "messages": [{"role": "user", "content": "go"}], "stream": True}
    with model.answering(lambda _: ["half", Die()]), deployed.http() as http:
        lines = http.post("/v1/chat/completions", json={**body, "conversation": conversation}).text
    assert '"error"' in lines
    assert "[DONE]" not in lines
    assert goes_on(client, conversation)[-2] == "after"


def test_a_pod_that_is_asked_to_end_finishes_its_turn(deployed: Deployed, model: ModelServer) -> None:
    """Promise 57."""
    client = deployed.client()
    conversation = begun(client)
    say(client, conversation, "before")
    (pod,) = deployed.pods("chat")
    delete = ("kubectl", "delete", "pod", "-n", node.NAMESPACE, "--wait=false", pod["metadata"]["name"])
    assert in_mid_turn(client, model, conversation, lambda: cluster(*delete)) == "half whole"
    assert texts(client, conversation)[-2:] == ["interrupted", "half whole"]


@pytest.mark.usefixtures("ticks")
def test_a_restart_of_every_pod_loses_nothing(deployed: Deployed) -> None:
    client = deployed.client()
    conversation = begun(client)
    say(client, conversation, "before")
    cluster("kubectl", "delete", "pods", "--all", "-n", node.NAMESPACE, "--grace-period=0", "--force")
    assert goes_on(client, conversation)[:2] == ["before", "1 before"]


@pytest.mark.usefixtures("ticks")
def test_a_turn_ends_though_the_brokers_dispatcher_dies_with_what_it_had_in_memory(
    deployed: Deployed, model: ModelServer
) -> None:
    """The outbox and the expiry of turns bring it to its end (promise 56); read models catch up."""
    client = deployed.client()
    conversation = begun(client)
    say(client, conversation, "before")
    kill = ("kubectl", "delete", "pod", "-n", "knative-eventing", "--grace-period=0", "--force", "-l")

    def fault() -> None:
        cluster(*kill, "messaging.knative.dev/role=dispatcher")
        deployed.kill("chat")

    in_mid_turn(client, model, conversation, fault)
    said = goes_on(client, conversation)
    assert said[:2] == ["before", "1 before"]
    assert said[-2] == "after"


def test_every_function_goes_back_to_zero(deployed: Deployed) -> None:
    eventually(deployed.is_at_zero, AT_ZERO_WITHIN_S)
    assert not deployed.pods(*FUNCTIONS)

"""The whole system on a store behind a network: the same conversations, through kills and restarts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from scripts.servers import Running
from tests.journeys.model_server import MODEL, ModelServer
from tests.journeys.system import ROOT, System, eventually, start
from tests.journeys.test_conversations import say, texts

pytestmark = pytest.mark.slow

SERVERS = ["postgresql", "mongodb"]


@pytest.fixture
def store_url(request: pytest.FixtureRequest) -> str:
    server: Running = request.getfixturevalue(request.param)
    return server.url


@pytest.mark.parametrize("store_url", SERVERS, indirect=True)
def test_conversations_live_on_a_server(store_url: str, model: ModelServer, tmp_path: Path) -> None:
    """Promises 45 and 56: kill -9 of every function and a restart of everything lose nothing."""
    first = start(tmp_path, model.url, "", "--store", store_url)
    client = first.client()
    conversation = client.conversations.create(metadata={"topic": "sea"}).id
    assert [say(client, conversation, text) for text in ("one", "two")] == ["1 one", "3 two"]
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "three"}],
        stream=True,
        extra_body={"conversation": conversation},
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "5 three"
    said = ["one", "1 one", "two", "3 two", "three", "5 three"]
    assert texts(client, conversation) == said

    for function in ("auth", "chat", "history"):
        first.kill(function)
    assert eventually(lambda: texts(client, conversation)) == said
    assert eventually(lambda: say(client, conversation, "four")) == "7 four"
    assert first.stop() in (0, 130)
    assert not list(tmp_path.glob("*.db")), "a function kept something in a file"

    second = start(tmp_path, model.url, first.api_key, "--store", store_url)
    try:
        assert second.api_key == first.api_key, "a store that has been used got a first key again"
        check_second(second, conversation, [*said, "four", "7 four"])
    finally:
        second.stop()
    logs = "".join(log.read_text() for log in (tmp_path / "logs").iterdir())
    assert store_url not in logs, "the store's address, with its password, is in a log"


def check_second(system: System, conversation: str, said: list[str]) -> None:
    client = system.client()
    assert texts(client, conversation) == said
    assert client.conversations.retrieve(conversation).metadata == {"topic": "sea"}
    with system.http() as http:
        assert [each["id"] for each in http.get("/v1/conversations").json()["data"]] == [conversation]
    assert client.conversations.delete(conversation).deleted


@pytest.mark.parametrize(
    ("store", "reason"),
    [
        ("postgresql://ann:canary@127.0.0.1:1/hadal", "PostgreSQL at 127.0.0.1:1 can't be reached"),
        ("postgres://ann:canary@127.0.0.1/hadal", "should be postgresql://"),
        ("sqlite:canary.db", "should be postgresql://"),
    ],
)
def test_a_store_that_cant_be_used_is_one_clear_line(
    store: str, reason: str, model: ModelServer, tmp_path: Path
) -> None:
    done = run(tmp_path, model.url, HADAL_STORE=store)
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr
    assert "canary" not in done.stderr


def test_a_reset_doesnt_pretend_to_empty_a_server(
    postgresql: Running, model: ModelServer, tmp_path: Path
) -> None:
    done = run(tmp_path, model.url, "--reset", "--yes", HADAL_STORE=postgresql.url)
    assert done.returncode == 2
    assert "new database" in done.stderr


def run(data: Path, model_url: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`scripts/run` that can't start."""
    return subprocess.run(
        [ROOT / "scripts/run", "--port", "0", "--data", str(data), "--model", model_url, *options],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

"""Stopping and starting: what a user does at the end of a day, and what they do by mistake."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import httpx2
import pytest

from tests.journeys.model_server import ModelServer
from tests.journeys.system import ROOT, System, command, eventually, start
from tests.journeys.test_conversations import say, texts

pytestmark = pytest.mark.slow


def test_a_second_start_finds_everything(model: ModelServer, tmp_path: Path) -> None:
    first = start(tmp_path, model.url)
    client = first.client()
    conversation = client.conversations.create().id
    say(client, conversation, "one")
    assert first.stop() in (0, 130)

    second = start(tmp_path, model.url, first.api_key)
    try:
        client = second.client()
        assert texts(client, conversation) == ["one", "1 one"]
        assert say(client, conversation, "two") == "3 two"
    finally:
        second.stop()


def test_the_api_key_is_shown_once(model: ModelServer, tmp_path: Path) -> None:
    first = start(tmp_path, model.url)
    assert first.api_key.startswith("hdl_")
    first.stop()
    second = start(tmp_path, model.url)
    try:
        assert second.api_key == ""
    finally:
        second.stop()


def test_a_lost_key_is_replaced_by_a_command(system: System) -> None:
    made = command(system.data, "api-key", "replacement")
    key = next(word for word in made.stdout.split() if word.startswith("hdl_"))
    assert [model.id for model in system.client(key).models.list()]


def test_a_second_run_on_the_same_data_is_refused(system: System, model: ModelServer) -> None:
    refused = run("--data", str(system.data), "--model", model.url)
    assert refused.returncode == 2
    assert str(system.process.pid) in refused.stderr


def test_a_port_in_use_is_one_clear_line(model: ModelServer, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = run("--port", port, "--data", str(tmp_path), "--model", model.url)
    assert refused.returncode == 2
    assert port in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_model_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    refused = run("--data", str(tmp_path), "--model", str(tmp_path / "nowhere"))
    assert refused.returncode == 2
    assert "nowhere" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_data_folder_that_is_a_file_is_one_clear_line(model: ModelServer, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.touch()
    refused = run("--data", str(taken), "--model", model.url)
    assert refused.returncode == 2
    assert str(taken) in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_broker_takes_events_from_other_systems(system: System) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/elsewhere", "type": "com.example.thing.happened"}
    headers = {"content-type": "application/cloudevents+json"}
    assert httpx2.post(system.broker, json=event, headers=headers).status_code == 202
    refused = httpx2.post(system.broker, json={**event, "id": ""}, headers=headers)
    assert refused.status_code == 400
    assert "id" in refused.text
    seen = command(system.data, "events", "--json").stdout
    assert "com.example.thing.happened" in seen


def test_killed_functions_come_back_with_the_next_request(model: ModelServer, tmp_path: Path) -> None:
    running = start(tmp_path, model.url)
    try:
        conversation = running.client().conversations.create().id
        say(running.client(), conversation, "one")
        for service in ("chat", "history", "auth"):
            running.kill(service)
        eventually(lambda: say(running.client(), conversation, "two") == "3 two")
    finally:
        running.stop()


def run(*options: str) -> subprocess.CompletedProcess[str]:
    """`scripts/run` with options that it should refuse."""
    return subprocess.run(
        [ROOT / "scripts/run", *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

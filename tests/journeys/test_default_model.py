"""The first run as the README tells it: no option but where, and a real model that answers."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.journeys.system import ROOT, System

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CAPITAL = "What is the capital of France?"
FOLLOW_UP = "Which river runs through it?"


@pytest.fixture
def running(tmp_path: Path) -> System:
    """`scripts/run` with the model that it fetches and converts by itself."""
    process = subprocess.Popen(
        [ROOT / "scripts/run", "--json", "--port", "0", "--data", tmp_path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=None if os.environ.get("CI") else subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"scripts/run ended with {process.wait()}"
    said = json.loads(line)
    return System(process, said["url"], said["broker"], said["api_key"], Path(said["data"]))


def test_the_default_model_answers_and_a_conversation_remembers_what_it_is_about(running: System) -> None:
    try:
        client = running.client()
        model = client.models.list().data[0].id
        conversation = client.conversations.create().id
        stream = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": CAPITAL}],
            extra_body={"conversation": conversation},
            temperature=0,
            max_tokens=40,
            stream=True,
        )
        said = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        assert "Paris" in said
        answer = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": FOLLOW_UP}],
            extra_body={"conversation": conversation},
            temperature=0,
            max_tokens=40,
        )
        alone = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": FOLLOW_UP}], max_tokens=1
        )
        assert answer.usage is not None and alone.usage is not None
        assert answer.usage.prompt_tokens > alone.usage.prompt_tokens + 10  # it was told the first turn too
        items = client.conversations.items.list(conversation, order="asc")
        assert [item.role for item in items] == ["user", "assistant", "user", "assistant"]  # type: ignore[union-attr]
    finally:
        running.stop()

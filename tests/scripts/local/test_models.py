"""What `--model` means."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.local.console import Console, StartError
from scripts.local.models import choose
from tests.journeys.model_server import model_server


def test_a_server_that_answers_is_taken_with_or_without_its_v1(tmp_path: Path) -> None:
    with model_server() as server:
        for option in (server.url, f"{server.url}/", f"{server.url}/v1"):
            assert choose(option, tmp_path, Console()).url == server.url


def test_a_server_that_does_not_answer_is_a_clear_error(tmp_path: Path) -> None:
    with model_server() as server:
        url = server.url
    with pytest.raises(StartError, match="no OpenAI-compatible server answers"):
        choose(url, tmp_path, Console())


def test_a_checkpoints_folder_is_served_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert choose(str(tmp_path), tmp_path / "models", Console()).folder == tmp_path


def test_a_folder_without_a_checkpoint_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"no config\.json"):
        choose(str(tmp_path), tmp_path, Console())


@pytest.mark.parametrize("option", ["nowhere", "./a/b/c", "/no/such/place", "model.gguf", "a//b"])
def test_what_is_nowhere_is_a_clear_error(option: str, tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no such folder or file"):
        choose(option, tmp_path, Console())

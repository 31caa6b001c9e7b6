from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest

from inference.checkpoint import hub
from inference.checkpoint.errors import CheckpointError
from inference.checkpoint.locate import (
    check_adapter,
    check_model_id,
    checkpoint_name,
    locate_adapter,
    locate_checkpoint,
    place_checkpoint,
)
from tests.checkpoint.gguf_file import write_gguf


def folder_with(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).write_text("{}")
    return path


def test_a_folder_is_used_where_it_stands_and_gives_its_name(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "my-model", "config.json", "tokenizer.json", "model.safetensors")
    found = locate_checkpoint(str(folder), None, tmp_path / "cache", print)
    assert (found.folder, found.revision) == (folder, None)
    assert checkpoint_name(str(folder)) == "my-model"
    assert not (tmp_path / "cache").exists()


def test_a_gguf_file_is_converted_into_the_cache(tmp_path: Path) -> None:
    write_gguf(tmp_path / "small.gguf")
    found = locate_checkpoint(str(tmp_path / "small.gguf"), None, tmp_path / "cache", print)
    assert found.folder == tmp_path / "cache" / "small"
    assert checkpoint_name(str(tmp_path / "small.gguf")) == "small"
    assert (found.folder / "model.safetensors").is_file()


def test_a_path_that_leads_nowhere_is_told_before_anything_starts(tmp_path: Path) -> None:
    for model_id in (str(tmp_path / "absent"), str(tmp_path / "absent.gguf"), "./absent", "absent.gguf"):
        with pytest.raises(CheckpointError, match="isn't there: give a folder"):
            check_model_id(model_id)


def test_a_folder_that_is_no_checkpoint_is_told_with_what_it_lacks(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "half", "config.json")
    with pytest.raises(CheckpointError, match=r"has no tokenizer\.json, no \*\.safetensors"):
        check_model_id(str(folder))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"no \.gguf file"):
        check_model_id(str(tmp_path / "model.bin"))


@pytest.mark.parametrize("model_id", ["two words", "a/b/c", "-x/y", "http://x/y"])
def test_what_is_neither_path_nor_hub_id_is_refused(model_id: str) -> None:
    with pytest.raises(CheckpointError, match="nor an s3:// URL, nor a Hugging Face hub id"):
        check_model_id(model_id)


def test_a_hub_id_that_cannot_be_fetched_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="can't be fetched from the Hugging Face hub"):
        locate_checkpoint("nobody/no-such-model-at-all", None, tmp_path, print)


def test_a_model_of_the_hub_gets_a_folder_of_links_that_a_second_run_finds(tmp_path: Path) -> None:
    cached = folder_with(tmp_path / "snapshot", "config.json", "tokenizer.json", "model.safetensors")
    target = tmp_path / "models" / "org--name"
    hub.link_folder(cached, target)
    reports: list[str] = []
    assert place_checkpoint("org/name", None, target, reports.append) == target
    assert not reports
    assert {path.name: path.resolve() for path in target.iterdir()} == {
        path.name: path for path in cached.iterdir()
    }


def test_links_are_renewed_but_other_files_are_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "models" / "org--name"
    for name in ("first", "second"):
        hub.link_folder(folder_with(tmp_path / name, "config.json"), target)
        assert (target / "config.json").resolve().parent.name == name
    own = folder_with(tmp_path / "own", "letter.txt")
    with pytest.raises(CheckpointError, match="holds other files"):
        hub.link_folder(tmp_path / "first", own)
    assert [path.name for path in own.iterdir()] == ["letter.txt"]


def test_a_folder_and_a_gguf_file_can_be_placed_too(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "mine", "config.json", "tokenizer.json", "model.safetensors")
    assert place_checkpoint(str(folder), None, tmp_path / "unused", print) == folder
    write_gguf(tmp_path / "small.gguf")
    placed = place_checkpoint(str(tmp_path / "small.gguf"), None, tmp_path / "placed", print)
    assert placed == tmp_path / "placed"
    assert (placed / "model.safetensors").is_file()


def test_an_adapter_s_folder_is_told_with_what_it_lacks(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "adapter", "adapter_config.json", "adapter_model.bin")
    with pytest.raises(CheckpointError, match=r"is not an adapter: it has no adapter_model\.safetensors"):
        check_adapter(str(folder))
    with pytest.raises(CheckpointError, match="isn't there: give a folder"):
        check_adapter(str(tmp_path / "absent"))
    with pytest.raises(CheckpointError, match="neither a folder that exists, nor an s3:// URL, nor a hub id"):
        check_adapter("no such thing")


def test_an_adapter_is_used_where_it_stands(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "adapter", "adapter_config.json", "adapter_model.safetensors")
    assert locate_adapter(str(folder), tmp_path, print) == folder


def test_an_adapter_on_the_hub_is_fetched_in_its_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_with(tmp_path / "abc", "adapter_config.json", "adapter_model.safetensors")
    asked: list[tuple[str, str | None]] = []

    def snapshot(hub_id: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((hub_id, revision))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert locate_adapter("org/adapter@v2", tmp_path, print) == folder
    assert locate_adapter("org/adapter", tmp_path, print) == folder
    assert asked == [("org/adapter", "v2"), ("org/adapter", None)]

"""The data folder: ours alone, locked, its secrets made once."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scripts.local.console import StartError
from scripts.local.datafolder import open_data_folder


def test_a_folder_is_made_and_marked(tmp_path: Path) -> None:
    data = open_data_folder(tmp_path / "new" / "deep")
    assert (data.path / ".hadal").exists()
    assert stat.S_IMODE((data.path / "secrets").stat().st_mode) == 0o700


def test_a_second_runner_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    first = open_data_folder(tmp_path)
    with pytest.raises(StartError, match=rf"process {os.getpid()}"):
        open_data_folder(tmp_path)
    os.close(first.lock)
    open_data_folder(tmp_path)


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(StartError, match="other things"):
        open_data_folder(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_place_of_the_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="can't be written"):
        open_data_folder(tmp_path / "file")


def test_a_secret_is_random_kept_and_for_its_owner_only(tmp_path: Path) -> None:
    data = open_data_folder(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        values = set(pool.map(lambda _: data.secret("hadal-bootstrap", "token"), range(8)))
    assert len(values) == 1
    assert len(values.pop()) >= 40
    assert data.secret("hadal-bootstrap", "token") != data.secret("hadal-bootstrap", "other")
    file = data.path / "secrets/hadal-bootstrap/token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_reset_keeps_converted_models_only(tmp_path: Path) -> None:
    data = open_data_folder(tmp_path)
    (data.path / "models" / "weights").touch()
    (data.path / "chat.db").touch()
    secret = data.secret("a", "b")
    data.reset()
    assert (data.path / "models" / "weights").exists()
    assert not (data.path / "chat.db").exists()
    assert data.secret("a", "b") != secret

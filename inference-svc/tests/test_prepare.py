from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.prepare import main
from tests.checkpoint.gguf_file import write_gguf


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    """The command takes SIGTERM for itself; give it back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_gguf_file_is_prepared_once_and_the_folder_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_gguf(tmp_path / "small.gguf")
    command = ["--gguf", str(tmp_path / "small.gguf"), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    written = capsys.readouterr()
    assert written.out.strip() == str(tmp_path / "out")
    assert "100 % of" in written.err
    assert main([*command, "--verify"]) == 0
    assert capsys.readouterr().err == ""


def test_a_damaged_file_is_found_where_it_is_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_gguf(tmp_path / "small.gguf")
    command = ["--gguf", str(tmp_path / "small.gguf"), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    weights = tmp_path / "out" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    assert main([*command, "--verify"]) == 2
    assert "damaged in" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--gguf", "--model"])
def test_a_model_that_is_not_there_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert main([option, str(tmp_path / "absent.gguf"), "--out", str(tmp_path / "out")]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    (line,) = written.err.splitlines()
    assert line.startswith("inference.prepare: the model ")
    assert list(tmp_path.iterdir()) == []

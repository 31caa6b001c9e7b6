"""The command line: help for everything, and a clear word for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.local.cli import main


@pytest.mark.parametrize(
    "words", [[], ["status"], ["redeliver"], ["events"], ["rebuild"], ["api-key"], ["logs"]]
)
def test_every_command_has_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*words, "--help"])
    assert end.value.code == 0
    assert "--data" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["--port", "x"], ["--port", "65536"], ["redeliver"], ["rebuild", "chat"], ["dance"]]
)
def test_wrong_usage_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert "error" in capsys.readouterr().err


def test_a_command_to_nobody_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--data", str(tmp_path)]) == 1
    assert "isn't running" in capsys.readouterr().err

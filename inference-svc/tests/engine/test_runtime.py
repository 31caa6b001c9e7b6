from __future__ import annotations

import os
import subprocess
import sys

import pytest

from inference.engine.runtime import set_up_runtime


def test_what_an_operator_says_of_the_runtime_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    monkeypatch.delenv("LRU_CACHE_CAPACITY", raising=False)
    set_up_runtime()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
    assert os.environ["LRU_CACHE_CAPACITY"] == "128"


def test_the_command_sets_the_runtime_up_before_torch_is_there() -> None:
    """Its libraries read the environment once, as they are loaded."""
    program = (
        "import os, sys\n"
        "from inference import __main__ as command\n"
        "ready = lambda: os.environ['GOMP_SPINCOUNT'] == '10000' and 'torch' not in sys.modules\n"
        "command.serve = lambda _: sys.exit(not ready())\n"
        "command.main()\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, env=environment | {"MODEL_ID": "a/b"}, check=False).returncode == 0

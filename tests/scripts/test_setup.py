"""Set-up: what a command needs, which torch a machine gets, and that nothing is done twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks._frame import benchmarks
from scripts.setup import lockfile, torch, uv
from scripts.setup.__main__ import needs_engine
from scripts.setup.environment import STAMP, Environment, alone, run_uv
from scripts.setup.progress import SetupFailed

ROOT = Path(__file__).parents[2]
LOCK = """
version = 1

[[package]]
name = "torch"
version = "2.15.0"
wheels = [{ url = "https://host/torch-2.15.0-py3-none-any.whl", size = 500_000_000 }]

[[package]]
name = "nvidia-cublas"
version = "13.0"
wheels = [{ url = "https://host/nvidia_cublas-13.0-py3-none-any.whl", size = 400_000_000 }]

[[package]]
name = "tokenizers"
version = "0.22.0"
wheels = [
    { url = "https://host/tokenizers-0.22.0-py3-none-any.whl", size = 3_000_000 },
    { url = "https://host/tokenizers-0.22.0-cp39-abi3-win_amd64.whl", size = 9_000_000 },
]
"""


class Uv:
    """Stands for uv: notes each command, and makes what the real one would leave behind."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.commands: list[list[str]] = []

    def __call__(self, command: Sequence[str]) -> None:
        self.commands.append(list(command))
        python = self.environment.folder / "bin" / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    (tmp_path / "uv.lock").write_text(LOCK)
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'some'\n")
    return Environment("some project", tmp_path)


@pytest.mark.parametrize(
    ("command", "words", "needed"),
    [
        ("run", [], True),
        ("run", ["--port", "8080"], True),
        ("run", ["run", "--model", "some/folder"], True),
        ("run", ["--model", "http://127.0.0.1:1234"], False),
        ("run", ["--port", "0", "--model=https://models.example"], False),
        ("run", ["--help"], False),
        ("run", ["status", "--json"], False),
        ("run", ["events", "--data", "x"], False),
        ("test", [], True),
        ("weights", [], True),
        ("deploy", [], False),
        ("bench", ["broker"], False),
    ],
)
def test_the_model_service_is_set_up_only_where_it_will_start(
    command: str, words: list[str], needed: bool
) -> None:
    assert needs_engine(command, words) is needed


def test_an_environment_is_made_once_and_again_when_its_lock_changes(environment: Environment) -> None:
    run = Uv(environment)
    assert not environment.complete()
    environment.make("uv", None, run)
    assert environment.complete()
    assert len(run.commands) == 1
    environment.lock.write_text(LOCK + "\n# changed")
    assert not environment.complete()


def test_an_interrupted_set_up_is_not_taken_for_complete(environment: Environment) -> None:
    def interrupted(command: Sequence[str]) -> None:
        Uv(environment)(command)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        environment.make("uv", None, interrupted)
    assert not environment.complete()
    environment.make("uv", None, Uv(environment))
    assert environment.complete()


def test_a_stamp_that_is_not_ours_or_an_environment_without_python_is_made_anew(
    environment: Environment,
) -> None:
    environment.make("uv", None, Uv(environment))
    (environment.folder / STAMP).write_text("{")
    assert not environment.complete()
    environment.make("uv", None, Uv(environment))
    (environment.folder / "bin" / "python").unlink()
    assert not environment.complete()


def test_the_cpu_build_replaces_torch_alone_and_leaves_cuda_out(environment: Environment) -> None:
    run = Uv(environment)
    environment.make("uv", "cpu", run)
    sync, install = run.commands
    left_out = {sync[index + 1] for index, word in enumerate(sync) if word == "--no-install-package"}
    assert left_out == {"torch", "nvidia-cublas"}
    assert install[-1] == "torch==2.15.0+cpu"
    assert "--no-deps" in install
    assert json.loads((environment.folder / STAMP).read_text())["torch"] == "cpu"


def test_a_build_asked_for_by_hand_replaces_another_and_auto_keeps_what_is_there(
    environment: Environment,
) -> None:
    environment.make("uv", "cpu", Uv(environment))
    assert environment.complete("auto")
    assert environment.complete("cpu")
    assert not environment.complete("cuda")
    run = Uv(environment)
    environment.make("uv", "cuda", run)
    assert environment.complete("cuda")
    assert "--no-install-package" not in run.commands[0]


@pytest.mark.parametrize(
    ("choice", "gpu", "answers", "build"),
    [
        ("auto", True, True, "cuda"),
        ("auto", False, True, "cpu"),
        ("auto", False, False, "cuda"),
        ("cuda", False, True, "cuda"),
        ("cpu", True, True, "cpu"),
    ],
)
def test_torch_follows_the_gpu_and_the_index(
    choice: torch.Choice, gpu: bool, answers: bool, build: torch.Build
) -> None:
    assert torch.choose(choice, gpu=lambda: gpu, answers=lambda: answers) == build


def test_the_cpu_build_by_hand_says_what_to_do_where_its_index_is_away() -> None:
    with pytest.raises(SetupFailed, match="HADAL_TORCH_CPU_INDEX"):
        torch.choose("cpu", gpu=lambda: False, answers=lambda: False)


def test_an_index_that_is_absent_or_silent_does_not_answer() -> None:
    assert not torch.index_answers("http://127.0.0.1:1")
    assert not torch.index_answers("no address")
    with _index(answer_after=threading.Event()) as silent:
        assert not torch.index_answers(silent, within_s=0.2)


def test_an_index_that_has_torch_answers() -> None:
    ready = threading.Event()
    ready.set()
    with _index(answer_after=ready) as index:
        assert torch.index_answers(index)


def test_the_size_told_is_that_of_this_machines_wheels_without_what_is_left_out(
    environment: Environment,
) -> None:
    assert lockfile.download_bytes(environment.lock) == 903_000_000
    without = torch.cuda_packages(["torch", "nvidia-cublas", "tokenizers"])
    assert lockfile.download_bytes(environment.lock, without) == 3_000_000


def test_the_locks_of_both_projects_name_no_index_but_pypi() -> None:
    for lock in (ROOT / "uv.lock", ROOT / "inference-svc" / "uv.lock"):
        sources = {package["source"].get("registry") for package in lockfile.packages(lock)} - {None}
        (index,) = map(urlsplit, sources)
        assert (index.scheme, index.path) == ("https", "/simple")
        assert (index.hostname or "").removesuffix(".org") == "pypi"


def test_two_set_ups_at_once_take_turns(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        waiting.set()
        with alone(tmp_path):
            order.append("second")

    thread = threading.Thread(target=second)
    with alone(tmp_path):
        thread.start()
        waiting.wait()
        while "waiting" not in capfd.readouterr().err:
            time.sleep(0.01)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_folder_that_cannot_be_written_is_one_clear_message(tmp_path: Path) -> None:
    (tmp_path / "tools").touch()
    with pytest.raises(SetupFailed, match=r"can't be written"), alone(tmp_path / "tools"):
        raise AssertionError("went on")


def test_a_uv_that_fails_says_that_a_second_try_goes_on() -> None:
    with pytest.raises(SetupFailed, match="status 3"):
        run_uv([sys.executable, "-c", "raise SystemExit(3)"])


def test_a_shim_with_nothing_behind_it_is_no_uv(tmp_path: Path) -> None:
    shim = tmp_path / "uv"
    shim.write_text("#!/bin/sh\necho 'uv: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    assert uv.version(str(shim)) == ()
    assert uv.version(str(tmp_path / "absent")) == ()


def test_the_pinned_uv_is_new_enough_and_bears_its_hashes() -> None:
    assert tuple(map(int, uv.pinned_version().split(".")[:2])) >= uv.OLDEST
    assert uv.REQUIREMENTS.read_text().count("--hash=sha256:") > 5


@pytest.mark.slow
def test_a_path_without_python_and_uv_is_one_clear_message(tmp_path: Path) -> None:
    answer = _command("run", "--help", path=_tools(tmp_path))
    assert answer.returncode == 2
    assert "Python 3.11" in answer.stderr and "uv" in answer.stderr


@pytest.mark.slow
def test_a_python_that_is_too_old_is_passed_over(tmp_path: Path) -> None:
    tools = _tools(tmp_path)
    old = tools / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    answer = _command("run", "--help", path=tools)
    assert answer.returncode == 2
    assert "Python 3.11" in answer.stderr


@pytest.mark.slow
def test_commands_answer_from_any_folder(tmp_path: Path) -> None:
    answer = subprocess.run(
        [ROOT / "scripts" / "bench"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert [line.split()[0] for line in answer.stdout.splitlines()] == list(benchmarks())


def _tools(folder: Path) -> Path:
    """A PATH with a shell and what the scripts call, and nothing else."""
    tools = folder / "bin"
    tools.mkdir()
    for tool in ("bash", "env", "dirname", "readlink"):
        found = next(path for path in map(Path, ("/usr/bin", "/bin")) if (path / tool).exists())
        (tools / tool).symlink_to(found / tool)
    return tools


def _command(name: str, *words: str, path: Path) -> subprocess.CompletedProcess[str]:
    """A script of a checkout without environments, started with this PATH alone."""
    checkout = path.parent / "checkout"
    setup = checkout / "scripts" / "setup"
    setup.mkdir(parents=True)
    (setup / "python.sh").write_text((ROOT / "scripts" / "setup" / "python.sh").read_text())
    script = checkout / "scripts" / name
    script.write_text((ROOT / "scripts" / name).read_text())
    environ = {**os.environ, "PATH": str(path)}
    return subprocess.run(
        [path / "bash", script, *words], env=environ, capture_output=True, text=True, check=False
    )


class _index:  # noqa: N801 - used as a function
    """A package index on loopback that answers once its event is set."""

    def __init__(self, answer_after: threading.Event) -> None:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Say nothing: a test's output is its own."""

            def do_GET(self) -> None:
                answer_after.wait(10)
                self.send_response(200 if self.path == "/torch/" else 404)
                self.end_headers()

        self._release = answer_after
        self._server = HTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __exit__(self, *_: object) -> None:
        self._release.set()
        self._server.shutdown()
        self._server.server_close()

"""The whole system as a user starts it, and as a crash leaves it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import openai

ROOT = Path(__file__).parents[2]
STOPPED_WITHIN_S = 5.0

T = TypeVar("T")


class Door:
    """What clients come to, wherever Hadal runs."""

    url: str
    api_key: str

    def client(self, api_key: str | None = None) -> openai.OpenAI:
        """The official client, as a user makes it."""
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=api_key or self.api_key, max_retries=0)

    def http(self, api_key: str | None = None) -> httpx2.Client:
        """A plain HTTP client with the key."""
        headers = {"authorization": f"Bearer {api_key or self.api_key}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=60)


@dataclass
class System(Door):
    """A running `scripts/run`."""

    process: subprocess.Popen[str]
    url: str
    broker: str
    api_key: str
    data: Path

    def status(self) -> dict[str, Any]:
        """What `scripts/run status --json` says."""
        return dict(json.loads(command(self.data, "status", "--json").stdout))

    def pids(self, service: str) -> list[int]:
        """The processes that serve `service` now."""
        services = {entry["name"]: entry for entry in self.status()["services"]}
        return [replica["pid"] for replica in services[service]["replicas"]]

    def kill(self, service: str) -> None:
        """kill -9 every process of `service`, master and worker alike."""
        for pid in self.pids(service):
            os.killpg(pid, signal.SIGKILL)

    def stop(self) -> int:
        """Ctrl-C; return the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOPPED_WITHIN_S)

    def crash(self) -> None:
        """kill -9 the runner itself."""
        self.process.kill()
        self.process.wait(STOPPED_WITHIN_S)


def start(data: Path, model_url: str, api_key: str = "", *options: str) -> System:
    """Start on a free port and wait until it is ready; `api_key` is the one of the first start."""
    process = subprocess.Popen(
        [ROOT / "scripts/run", "--json", "--port", "0", "--data", str(data), "--model", model_url, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None and process.stderr is not None
    line = process.stdout.readline()
    if not line:
        raise AssertionError(f"scripts/run ended with {process.wait()}: {process.stderr.read()}")
    said = json.loads(line)
    return System(process, said["url"], said["broker"], said["api_key"] or api_key, Path(said["data"]))


def command(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """One of `scripts/run`'s commands on the system that runs on `data`."""
    return subprocess.run(
        [ROOT / "scripts/run", *words, "--data", str(data)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def eventually(look: Callable[[], T], within_s: float = 30.0) -> T:
    """The first thing true that `look` returns; what it raised or returned last, if none comes in time."""
    end = time.monotonic() + within_s
    while True:
        try:
            found = look()
            if found:
                return found
            failure = AssertionError(f"still {found!r} after {within_s:g} s")
        except (AssertionError, openai.APIError, httpx2.TransportError) as error:
            failure = AssertionError(f"still failing after {within_s:g} s: {error}")
        if time.monotonic() > end:
            raise failure
        time.sleep(0.05)

"""From `scripts/run` to the first token, at the first start and the second; what is held when idle at zero.

`scripts/bench start` uses this checkout. `--clone` clones it first, so that the set-up counts as well (with
whatever uv's cache of downloads holds already); `--idle` also waits until every function is at zero and tells
the memory of what is left.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks._frame import Row, Table
from tests.journeys.model_server import model_server

ROOT = Path(__file__).parents[1]
STEP = re.compile(r"✓ (?P<name>.+) \((?P<seconds>[\d.]+) s\)")
AT_ZERO_WITHIN_S = 240.0
SECOND_START_BAR_S = 15.0
FUNCTIONS_BAR_S = 2.0


@dataclass
class Start:
    """One start of the system, and how long each part of it took, in seconds."""

    process: subprocess.Popen[str]
    address: str = ""
    api_key: str = ""
    ready_s: float = 0.0
    first_token_s: float = 0.0
    steps_s: dict[str, float] = field(default_factory=dict)


async def main() -> Table:
    """Measure the starts that the command line asks for."""
    table = Table("From scripts/run to the first token")
    with tempfile.TemporaryDirectory() as folder:
        checkout = _clone(Path(folder), table) if "--clone" in sys.argv else ROOT
        data = Path(folder) / "data"
        with _started(checkout, data, Path(folder) / "first.log") as first:
            _tell(table, "first start", first)
        with _started(checkout, data, Path(folder) / "second.log", first.api_key) as second:
            _tell(table, "second start", second, SECOND_START_BAR_S)
        with (
            model_server() as model,
            _started(
                checkout, data, Path(folder) / "third.log", first.api_key, "--model", model.url
            ) as third,
        ):
            note = "the same with a model that is there already and answers at once"
            functions = Row("the functions' part of it", third.first_token_s, "s", FUNCTIONS_BAR_S, note=note)
            table.rows.append(functions)
            if "--idle" in sys.argv:
                table.rows.append(_idle(checkout, data, third))
    return table


def _clone(folder: Path, table: Table) -> Path:
    checkout = folder / "hadal"
    began_s = time.monotonic()
    subprocess.run(["git", "clone", "--quiet", ROOT, checkout], check=True)
    table.rows.append(Row("clone", time.monotonic() - began_s, "s"))
    return checkout


@contextmanager
def _started(checkout: Path, data: Path, log: Path, api_key: str = "", *options: str) -> Iterator[Start]:
    began_s = time.monotonic()
    with log.open("w") as errors:
        process = subprocess.Popen(
            [checkout / "scripts/run", "--json", "--port", "0", "--data", data, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    start = Start(process)
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"scripts/run ended with {process.wait()}: {log.read_text()[-2000:]}")
        ready = json.loads(line)
        start.address, start.api_key = ready["url"], ready["api_key"] or api_key
        start.ready_s = time.monotonic() - began_s
        _first_token(start)
        start.first_token_s = time.monotonic() - began_s
        start.steps_s = {m["name"]: float(m["seconds"]) for m in STEP.finditer(log.read_text())}
        yield start
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10)


def _first_token(start: Start) -> None:
    body = {"model": _model(start), "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    with _open(start, "/v1/chat/completions", body) as answer:
        for line in answer:
            if b'"content"' in line:
                return
    raise RuntimeError("the stream ended before its first token")


def _model(start: Start) -> str:
    with _open(start, "/v1/models") as answer:
        return str(json.load(answer)["data"][0]["id"])


def _open(start: Start, path: str, body: object = None):  # type: ignore[no-untyped-def]  # typeshed has no name for it
    headers = {"authorization": f"Bearer {start.api_key}", "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    return urllib.request.urlopen(urllib.request.Request(start.address + path, data, headers), timeout=300)


def _tell(table: Table, name: str, start: Start, bar_s: float | None = None) -> None:
    table.rows.extend(Row(f"{name}: {step}", seconds, "s") for step, seconds in start.steps_s.items())
    table.rows.append(Row(f"{name}: ready", start.ready_s, "s"))
    table.rows.append(Row(f"{name}: to the first token", start.first_token_s, "s", bar_s))


def _idle(checkout: Path, data: Path, start: Start) -> Row:
    end_s = time.monotonic() + AT_ZERO_WITHIN_S
    while time.monotonic() < end_s:
        said = subprocess.run(
            [checkout / "scripts/run", "status", "--json", "--data", data], capture_output=True, check=True
        )
        services = json.loads(said.stdout)["services"]
        if not any(service["replicas"] for service in services):
            return Row(
                "idle, every function at zero", _resident_mb(start.process.pid), "MB", note="the runner"
            )
        time.sleep(2)
    raise RuntimeError(f"some function is not at zero after {AT_ZERO_WITHIN_S:g} s")


def _resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} is gone")

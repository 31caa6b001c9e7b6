"""docs/add-a-function.md is followed to the letter in a copy of the repository, and what it makes is run."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import yaml

from events import CloudEvent, catalogue
from events import http as events_http
from events.chat import TurnCompleted
from scripts.local.manifests.load import load
from tests.functions._runtime.stock import ROOT, Stock, stock

PAGE = ROOT / "docs" / "add-a-function.md"
BLOCK = re.compile(
    r"^```\w+\n(?:#|<!--) ((?:functions|knative|eventing)/\S+)(?: -->)?\n(.*?)^```", re.DOTALL | re.MULTILINE
)


def files() -> Iterator[tuple[str, str]]:
    """The files that the page tells to write."""
    yield from BLOCK.findall(PAGE.read_text())


def completed_turn() -> CloudEvent:
    return catalogue.to_event(
        catalogue.sample(TurnCompleted),
        id="e1",
        source="/hadal/chat",
        time="2026-11-01T10:00:00Z",
        tenant="acme",
    )


async def post(running: Stock, event: CloudEvent) -> bytes:
    """The status line of the answer to an event."""
    headers, body = events_http.to_binary(event)
    fields = b"".join(b"%s: %s\r\n" % field for field in headers)
    reader, writer = await running.connect()
    writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n%s\r\n%s" % (len(body), fields, body))
    status_line = await reader.readline()
    writer.close()
    return status_line


def test_a_function_is_four_files_in_a_folder_and_its_manifests() -> None:
    written = [path for path, _ in files()]
    assert len([path for path in written if path.startswith("functions/receipts/")]) == 4
    assert {"knative/base/receipts.yaml", "eventing/triggers/receipts.yaml"} < set(written)
    assert len(written) == 6


def test_the_manifest_starts_what_the_page_wrote() -> None:
    written = dict(files())
    service = list(yaml.safe_load_all(written["knative/base/receipts.yaml"]))[1]
    container = service["spec"]["template"]["spec"]["containers"][0]
    environ = {entry["name"]: entry["value"] for entry in container["env"]}
    assert environ["FUNCTION_SOURCE"] in written
    assert f"\n{environ['FUNCTION_TARGET']} = " in written[environ["FUNCTION_SOURCE"]]
    trigger = yaml.safe_load(written["eventing/triggers/receipts.yaml"])
    assert trigger["spec"]["filters"][0]["exact"]["type"] == TurnCompleted.TYPE


def test_the_runner_takes_the_manifests(tmp_path: Path) -> None:
    for folder in ("knative", "eventing"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for path, text in files():
        if path.endswith(".yaml"):
            (tmp_path / path).write_text(text)
    for kustomization, line in (
        ("knative/base/kustomization.yaml", "  - receipts.yaml\n"),
        ("eventing/kustomization.yaml", "  - triggers/receipts.yaml\n"),
    ):
        with (tmp_path / kustomization).open("a") as file:
            file.write(line)
    images = ("dev.local/hadal-functions", "dev.local/hadal-inference")
    found = load(tmp_path / "knative/overlays/local", tmp_path, images=images, check=lambda _: [])
    assert "receipts" in [service.name for service in found.services]
    assert "receipts" in [trigger.name for trigger in found.triggers]


@pytest.mark.slow
async def test_what_the_page_makes_runs_under_the_stock_command(tmp_path: Path) -> None:
    for folder in ("events", "functions/_runtime"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "functions/__init__.py", tmp_path / "functions/__init__.py")
    for path, text in files():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    environ = {"PYTHONPATH": str(tmp_path), "HADAL_STORE": f"sqlite:{tmp_path}/receipts.db"}
    async with stock(tmp_path / "functions/receipts/service.py", "receipts", tmp_path, environ) as running:
        assert orjson.loads((await running.get("/readyz"))[2]) == {"status": "ready"}
        for _ in range(2):
            assert b" 204 " in await post(running, completed_turn())
        assert b" 422 " in await post(running, CloudEvent(id="e2", source="/x", type=TurnCompleted.TYPE))
        assert (await running.get("/v1/receipts"))[0] == 401
        metrics = (await running.get("/metrics"))[2].decode()
        assert f'hadal_events_total{{outcome="acknowledged",type="{TurnCompleted.TYPE}"}} 2.0' in metrics

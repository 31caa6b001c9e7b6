"""The runner as a process: its starts, its stops, its errors, and what its commands say."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
STOPPED_WITHIN_S = 5.0
PATIENCE_S = 20.0

OVERLAY = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: app}
spec:
  template:
    spec:
      containers:
        - image: dev.local/hadal-functions
          command: [python, -S, tests/scripts/local/serving/app.py]
          env: [{name: SIGNS, value: $(HADAL_DATA)}, {name: STUBBORN, value: "1"}]
---
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata:
  name: default
  annotations: {eventing.knative.dev/broker.class: Kafka}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: good}
spec:
  broker: default
  filters: [{exact: {type: good}}]
  subscriber: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: app}, uri: /event}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: bad}
spec:
  broker: default
  filters: [{exact: {type: bad}}]
  subscriber: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: app}, uri: /refuse}
"""


def command(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "scripts.local", *words]


@dataclass
class Place:
    """A data folder, an overlay, and the runners that a test starts on them."""

    data: Path
    overlay: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *options: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        """A runner that is ready, and its line."""
        words = ["--json", "--port", "0", "--data", str(self.data), "--overlay", str(self.overlay), *options]
        process = subprocess.Popen(
            command(*words), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.started.append(process)
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert line, process.stderr.read()
        return process, json.loads(line)

    def refused(self, *options: str) -> str:
        """What a runner that can't start says: one line, status 2, nothing on standard output."""
        words = ["--port", "0", "--data", str(self.data), "--overlay", str(self.overlay), *options]
        done = subprocess.run(
            command(*words), cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        return done.stderr

    def say(self, *words: str) -> str:
        """What a command prints."""
        done = subprocess.run(
            command(*words, "--data", str(self.data)), cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def children(self) -> list[int]:
        """Processes that have this data folder in their environment."""
        mark = f"HADAL_DATA={self.data}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    (overlay / "app.yaml").write_text(OVERLAY)
    (overlay / "kustomization.yaml").write_text("namespace: hadal\nresources: [app.yaml]\n")
    place = Place(tmp_path / "data", overlay)
    yield place
    for process in place.started:
        process.kill()
        process.communicate()


def stop(process: subprocess.Popen[str], number: signal.Signals = signal.SIGINT) -> int:
    process.send_signal(number)
    return process.wait(STOPPED_WITHIN_S)


def get(url: str, host: str = "app.hadal.localhost") -> str:
    request = urllib.request.Request(url, headers={"host": host})
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return str(answer.read().decode())


def post_event(broker: str, kind: str, ident: str) -> int:
    headers = {"ce-specversion": "1.0", "ce-id": ident, "ce-source": "/test", "ce-type": kind}
    request = urllib.request.Request(broker, b"", {**headers, "content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return int(answer.status)


def eventually(true: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE_S
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_starts_serves_and_stops_with_everything(place: Place, number: signal.Signals) -> None:
    process, said = place.start()
    assert set(said) == {"url", "broker", "api_key", "data", "pid"}
    assert (said["pid"], said["data"], said["api_key"]) == (process.pid, str(place.data), None)
    assert int(get(said["url"] + "/pid")) in place.children()
    assert stop(process, number) == 0
    assert place.children() == []
    assert process.stdout is not None
    assert process.stdout.read() == ""


def test_an_event_reaches_its_service_from_outside(place: Place) -> None:
    _, said = place.start()
    assert post_event(said["broker"], "good", "1") == 202
    eventually((place.data / "event-1").exists)


def test_a_second_run_on_the_same_folder_is_refused(place: Place) -> None:
    process, _ = place.start()
    assert str(process.pid) in place.refused()


def test_a_kill_leaves_nothing_behind_and_loses_nothing(place: Place) -> None:
    """Promise 56: kill -9 of the runner; the next start finds the events, the ports, and no orphans."""
    process, first = place.start()
    get(first["url"] + "/pid")
    orphans = place.children()
    assert post_event(first["broker"], "good", "before") == 202
    process.kill()
    process.wait()
    _, second = place.start()
    assert not set(orphans) & set(place.children())
    assert second["broker"] == first["broker"]
    eventually((place.data / "event-before").exists)


def test_orphans_that_outlived_their_runner_are_ended(place: Place) -> None:
    place.start()[0].kill()
    environment = {"HADAL_DATA": str(place.data), "HOST": "127.0.0.1", "K_REVISION": "app-00001"}
    with subprocess.Popen(
        [sys.executable, "-S", "-c", "input()"], env=environment, stdin=subprocess.PIPE
    ) as orphan:
        place.start()
        assert orphan.wait(STOPPED_WITHIN_S) == -signal.SIGKILL


def test_a_port_in_use_is_one_clear_line(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = place.refused("--port", port)
    assert said.count("\n") == 1
    assert f"--port {port}: 127.0.0.1 can't be listened on there (Address already in use)" in said


def test_a_data_folder_that_cannot_be_is_one_clear_line(place: Place) -> None:
    place.data.write_text("a file")
    said = place.refused()
    assert said.count("\n") == 1
    assert f"--data {place.data}" in said


def test_wrong_manifests_are_told_by_line_before_anything_starts(place: Place) -> None:
    wrong = OVERLAY.replace("containers:", "timeoutSeconds: 900\n      containers:").replace(
        "Kafka", "Rabbit"
    )
    (place.overlay / "app.yaml").write_text(wrong)
    said = place.refused()
    assert "app.yaml:7: spec.template.spec.timeoutSeconds: 900 is out of range: 0 to 600" in said
    assert (
        "app.yaml:17: metadata.annotations[eventing.knative.dev/broker.class]: 'Rabbit' is not supported"
        in said
    )
    assert place.children() == []


def test_a_reset_is_asked_for_twice_and_keeps_the_weights(place: Place) -> None:
    process, said = place.start()
    post_event(said["broker"], "bad", "1")
    eventually(lambda: "bad" in place.say("dead-letters"))
    stop(process)
    (place.data / "models" / "weights").touch()
    assert "--yes" in place.refused("--reset")
    place.start("--reset", "--yes")
    assert "bad" not in place.say("dead-letters")
    assert (place.data / "models" / "weights").exists()


def test_commands_tell_what_runs_what_passed_and_what_failed(place: Place) -> None:
    process, said = place.start()
    pid = int(get(said["url"] + "/pid"))
    post_event(said["broker"], "good", "1")
    post_event(said["broker"], "bad", "2")

    status = json.loads(place.say("status", "--json"))
    (service,) = status["services"]
    assert service["replicas"][0]["pid"] == pid
    assert service["replicas"][0]["memory_mb"] > 1
    assert {trigger["name"] for trigger in status["triggers"]} == {"hadal/good", "hadal/bad"}
    assert status["runner"]["pid"] == process.pid
    assert "app" in place.say("status")

    letter = json.loads(eventually(lambda: place.say("dead-letters", "--json")))
    assert (letter["type"], letter["event"], letter["trigger"]) == ("bad", "2", "hadal/bad")
    assert "422" in letter["reason"]
    assert json.loads(place.say("redeliver", str(letter["id"]), "--json")) == {"redelivered": 1}
    assert json.loads(place.say("redeliver", "--all", "--json"))["redelivered"] in (0, 1)

    events = [json.loads(line) for line in place.say("events", "--json").splitlines()]
    assert [(event["type"], event["id"]) for event in events] == [("good", "1"), ("bad", "2")]
    assert "listening" in place.say("logs", "app")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("redeliver", "999"), "there is no dead letter 999"),
        (("redeliver", "first"), "'first' is no dead letter's id"),
        (("logs", "ghost"), "there is no log of 'ghost'; there are app"),
        (("api-key", "mine"), "there is no Service auth"),
    ],
)
def test_a_command_that_cannot_be_done_says_why(place: Place, words: tuple[str, ...], text: str) -> None:
    place.start()
    done = subprocess.run(
        command(*words, "--data", str(place.data)), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert text in done.stderr


def test_the_doors_are_on_loopback_and_the_socket_is_the_user_s(place: Place) -> None:
    _, said = place.start()
    assert said["url"].startswith("http://127.0.0.1:")
    assert (place.data / "run" / "admin.sock").stat().st_mode & 0o777 == 0o600
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(said["url"] + "/pid", "localhost")  # no gateway here
    assert place.data.stat().st_mode & 0o077 == 0


def test_changed_manifests_are_applied_while_it_runs(place: Place) -> None:
    _, said = place.start()
    first = get(said["url"] + "/pid")
    assert place.say("apply") == "object  change\n"
    manifest = place.overlay / "app.yaml"
    manifest.write_text(manifest.read_text().replace('value: "1"}', 'value: "1"}, {name: A, value: b}'))
    assert "Service hadal/app  revision app-00002" in place.say("apply")
    eventually(lambda: get(said["url"] + "/pid") != first)
    status = json.loads(place.say("status", "--json"))["services"][0]
    assert (status["revision"], status["ready"]) == ("app-00002", True)


def test_manifests_that_cannot_be_applied_change_nothing(place: Place) -> None:
    _, said = place.start()
    manifest = place.overlay / "app.yaml"
    right = manifest.read_text()
    for wrong, text in (
        (right.replace("kind: Service\n", "kind: Servise\n", 1), "Servise is not supported here"),
        (
            right.replace("spec:\n", "spec:\n  traffic: [{revisionName: app-9, percent: 100}]\n", 1),
            "no revision app-9",
        ),
    ):
        manifest.write_text(wrong)
        done = subprocess.run(
            command("apply", "--data", str(place.data)), cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert text in done.stderr
    assert get(said["url"] + "/pid")


def test_a_stop_in_the_middle_of_a_start_is_a_stop(place: Place) -> None:
    waits = OVERLAY.replace("metadata: {name: app}", "metadata: {name: gateway}", 1)
    waits = waits.replace("name: app}, uri", "name: gateway}, uri").replace("STUBBORN", "HOLD_START")
    (place.overlay / "app.yaml").write_text(waits)
    words = ["--json", "--port", "0", "--data", str(place.data), "--overlay", str(place.overlay)]
    process = subprocess.Popen(
        command(*words), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    place.started.append(process)
    eventually(place.children)
    assert stop(process) == 0
    assert process.stdout is not None
    assert process.stdout.read() == ""
    assert place.children() == []

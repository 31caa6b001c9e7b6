"""The small parts: back-off, expansion, logs, ports, orphans, memory."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.local.serving.backoff import DELAYS_S, GIVE_UP_AFTER, BackOff
from scripts.local.serving.expansion import expand
from scripts.local.serving.logfile import LogFile
from scripts.local.serving.memory import group_memory_bytes, own_memory_bytes
from scripts.local.serving.orphans import end_orphans
from scripts.local.serving.ports import free_port


def test_each_crash_in_a_row_waits_longer_up_to_ten_seconds() -> None:
    back_off = BackOff()
    delays = []
    for _ in range(7):
        back_off.crashed(100.0, lived_s=0.1)
        delays.append(back_off.not_before - 100.0)
    assert delays == [0, 1, 2, 4, 8, 10, 10]
    assert delays[: len(DELAYS_S)] == list(DELAYS_S)


def test_a_process_that_lived_well_is_missed_at_once() -> None:
    back_off = BackOff()
    for _ in range(5):
        back_off.crashed(100.0, lived_s=0.1)
    back_off.crashed(200.0, lived_s=60.0)
    assert back_off.not_before == 200.0


def test_starts_that_fail_in_a_row_are_hopeless_until_one_succeeds() -> None:
    back_off = BackOff()
    said = [back_off.hopeless]
    for number in range(GIVE_UP_AFTER):
        back_off.failed(float(number), "no memory")
        said.append(back_off.hopeless)
    assert back_off.reason == "no memory"
    back_off.ready()
    said.append(back_off.hopeless)
    assert said == [False, False, False, True, False]
    assert back_off.reason is None


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)/$(B)", "1/2"),
        ("$(NONE)", "$(NONE)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
    ],
)
def test_references_are_expanded_as_kubernetes_does(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expanded


def test_a_log_that_is_full_begins_anew_and_keeps_two_before_it(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "app.log", max_bytes=10)
    for number in range(5):
        log.write(b"line %d\n" % number)
    log.close()
    log.write(b"late\n")
    assert (tmp_path / "app.log").read_bytes() == b"line 4\n"
    assert (tmp_path / "app.log.1").read_bytes() == b"line 3\n"
    assert (tmp_path / "app.log.2").read_bytes() == b"line 2\n"
    assert len(list(tmp_path.iterdir())) == 3


def test_a_log_is_gone_on_with(tmp_path: Path) -> None:
    for _ in range(2):
        log = LogFile(tmp_path / "app.log")
        log.write(b"line\n")
        log.close()
    assert (tmp_path / "app.log").read_bytes() == b"line\nline\n"


def test_a_free_port_can_be_listened_on() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as listening:
        assert listening.getsockname()[1] < 32_768


@pytest.mark.slow
def test_only_this_folder_s_orphans_are_ended(tmp_path: Path) -> None:
    """Promise 56: a runner that was killed leaves nothing that writes to its data."""

    def child(data: Path) -> subprocess.Popen[bytes]:
        environment = {"HADAL_DATA": str(data), "HOST": "127.0.0.1", "K_REVISION": "app-00001"}
        return subprocess.Popen(
            [sys.executable, "-S", "-c", "input()"], env=environment, stdin=subprocess.PIPE
        )

    ours, other = child(tmp_path), child(tmp_path / "other")
    bystander = subprocess.Popen(
        [sys.executable, "-S", "-c", "input()"], env={"HADAL_DATA": str(tmp_path)}, stdin=subprocess.PIPE
    )
    try:
        assert end_orphans(tmp_path) == [ours.pid]
        assert ours.wait(5) == -9
        assert other.poll() is None
        assert bystander.poll() is None
        assert end_orphans(tmp_path) == []
    finally:
        for process in (ours, other, bystander):
            process.kill()
            process.communicate()


def test_memory_is_told_of_what_is_there() -> None:
    assert own_memory_bytes() > 1_000_000
    assert group_memory_bytes(os.getpgid(0)) >= own_memory_bytes() * 0.9
    assert group_memory_bytes(999_999_999) == 0

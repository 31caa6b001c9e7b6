"""Checkpoints from a real S3 server; connections break, files change, processes are killed."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import orjson
import pytest

from inference.checkpoint import parts
from inference.checkpoint.errors import CheckpointError
from inference.checkpoint.locate import check_model_id, checkpoint_name, locate_adapter, locate_checkpoint
from inference.checkpoint.s3 import fetch_from_s3
from tests.engine.lora.adapter_files import write_adapter
from tests.process import is_healthy, started
from tests.s3_server import S3Server, Way, disturbed

pytestmark = pytest.mark.slow
SMALL_PARTS = 1 << 16
WEIGHTS = bytes(range(256)) * 2000  # eight parts
FILES = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": WEIGHTS, "empty.txt": b""}


@pytest.fixture
def way(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Way]:
    """To the server, in small parts and without pauses; the environment names it."""
    monkeypatch.setattr(parts, "PART_BYTES", SMALL_PARTS)
    monkeypatch.setattr(parts, "_PAUSE_S", 0.0)
    with disturbed(s3) as way:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", way.endpoint)
        yield way


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def leftovers(target: Path) -> list[str]:
    return [path.name for path in target.parent.iterdir() if path != target and path.suffix != ".lock"]


def sums_of(files: Mapping[str, bytes]) -> bytes:
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()).encode()


def test_a_folder_is_fetched_whole_and_not_a_second_time(s3: S3Server, way: Way, tmp_path: Path) -> None:
    location = s3.put({**FILES, "pytorch_model.bin": b"not wanted", "original/model.json": b"{}"})
    said: list[str] = []
    found = locate_checkpoint(location, None, tmp_path, said.append)
    assert contents(found.folder) == FILES
    assert len(way.ranges) == 2 + 8
    assert said[0] == f"fetching 4 files, 1 MB, from {location}"
    assert said[-1] == "fetched 100 % of 1 MB"
    assert leftovers(found.folder) == []
    assert locate_checkpoint(location, None, tmp_path, said.append) == found
    assert len(way.ranges) == 2 + 8
    assert leftovers(found.folder) == []
    assert checkpoint_name(location) == "small"


def test_files_that_changed_on_s3_replace_what_was_fetched(s3: S3Server, way: Way, tmp_path: Path) -> None:
    location = s3.put(FILES)
    target = fetch_from_s3(location, tmp_path / "model", print)
    changed = {**FILES, "config.json": b'{"a": 1}'}
    s3.put({"config.json": changed["config.json"]}, location)
    assert fetch_from_s3(location, target, print) == target
    assert contents(target) == changed
    assert leftovers(target) == []


def test_a_connection_that_breaks_within_a_part_is_tried_again(
    s3: S3Server, way: Way, tmp_path: Path
) -> None:
    location = s3.put(FILES)
    broken: set[str] = set()

    def spoil(asked: str, content: bytes) -> bytes:
        if asked in broken:
            return content
        broken.add(asked)
        return content[: len(content) // 2]

    way.spoil = spoil
    assert contents(fetch_from_s3(location, tmp_path / "model", print)) == FILES
    assert len(way.ranges) > 8 + len(broken)


def test_a_fetch_that_gave_up_goes_on_with_the_parts_that_are_missing(
    s3: S3Server, way: Way, tmp_path: Path
) -> None:
    location = s3.put(FILES)
    way.spoil = lambda asked, content: content[:10] if asked.startswith("bytes=131072-") else content
    with pytest.raises(CheckpointError, match="can't be fetched"):
        fetch_from_s3(location, tmp_path / "model", print)
    assert not (tmp_path / "model").exists()
    journal = tmp_path / ".model.fetching/parts/model.safetensors"
    missing = 8 - len(journal.read_text().splitlines()[1:])
    assert 1 <= missing < 8
    way.spoil = lambda _, content: content
    way.ranges.clear()
    assert contents(fetch_from_s3(location, tmp_path / "model", print)) == FILES
    assert len([asked for asked in way.ranges if asked != "bytes=0-1"]) == missing


def test_a_process_that_is_killed_leaves_what_the_next_one_goes_on_with(
    s3: S3Server, way: Way, tmp_path: Path
) -> None:
    location, target = s3.put(FILES), tmp_path / "model"
    reached, go_on = threading.Event(), threading.Event()

    def spoil(asked: str, content: bytes) -> bytes:
        if asked.startswith("bytes=393216-"):  # the last but one
            reached.set()
            go_on.wait(60)
        return content

    way.spoil = spoil
    code = (
        "from inference.checkpoint import parts, s3; from pathlib import Path; "
        f"parts.PART_BYTES, parts.PARALLEL_PARTS = {SMALL_PARTS}, 1; "
        f"s3.fetch_from_s3({location!r}, Path({str(target)!r}), print)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        assert reached.wait(60)
    finally:
        process.kill()
        process.wait()
        go_on.set()
    assert not target.exists()
    way.ranges.clear()
    assert contents(fetch_from_s3(location, target, print)) == FILES
    assert sorted(asked for asked in way.ranges if asked != "bytes=0-1") == [
        "bytes=393216-458751",
        "bytes=458752-511999",
    ]


def test_a_file_that_changes_while_it_is_fetched_is_not_mixed_of_two_versions(
    s3: S3Server, way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = s3.put(FILES)

    def spoil(asked: str, content: bytes) -> bytes:
        if asked.startswith("bytes=65536-"):
            s3.put({"model.safetensors": WEIGHTS[::-1]}, location)
        return content

    monkeypatch.setattr(parts, "PARALLEL_PARTS", 1)
    way.spoil = spoil
    with pytest.raises(CheckpointError, match=r"model\.safetensors in s3://.* changed while it was fetched"):
        fetch_from_s3(location, tmp_path / "model", print)
    way.spoil = lambda _, content: content
    assert contents(fetch_from_s3(location, tmp_path / "model", print))["model.safetensors"] == WEIGHTS[::-1]


def test_what_does_not_have_its_checksum_is_refused_and_only_that_fetched_again(
    s3: S3Server, way: Way, tmp_path: Path
) -> None:
    location = s3.put({**FILES, "SHA256SUMS": sums_of(FILES)})
    way.spoil = lambda asked, content: content[::-1] if asked.startswith("bytes=131072-") else content
    with pytest.raises(CheckpointError, match=r"fetched as model\.safetensors doesn't have the checksum"):
        fetch_from_s3(location, tmp_path / "model", print)
    assert not (tmp_path / "model").exists()
    way.spoil = lambda _, content: content
    way.ranges.clear()
    fetched = contents(fetch_from_s3(location, tmp_path / "model", print))
    assert {name: fetched[name] for name in FILES} == FILES
    assert len(way.ranges) == 8


def test_what_is_damaged_or_was_left_by_a_killed_one_is_replaced(
    s3: S3Server, way: Way, tmp_path: Path
) -> None:
    location = s3.put(FILES)
    target = fetch_from_s3(location, tmp_path / "model", print)
    (target / "model.safetensors").write_bytes(b"cut off")
    (tmp_path / ".model.fetching/old").mkdir(parents=True)
    (tmp_path / ".model.fetching/old/large").write_bytes(b"x")
    assert contents(fetch_from_s3(location, target, print)) == FILES
    assert leftovers(target) == []


def test_checksums_in_another_form_are_refused(s3: S3Server, tmp_path: Path) -> None:
    location = s3.put({**FILES, "SHA256SUMS": b"SHA256 (config.json) = abc\n"})
    with pytest.raises(CheckpointError, match="SHA256SUMS isn't in sha256sum's form"):
        fetch_from_s3(location, tmp_path / "model", print)


def test_without_a_network_what_was_fetched_is_taken(
    s3: S3Server, way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location, said = s3.put(FILES), list[str]()
    target = fetch_from_s3(location, tmp_path / "model", print)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    assert fetch_from_s3(location, target, said.append) == target
    assert said == [f"{location} can't be reached: taking what was fetched before"]
    (target / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(CheckpointError, match="can't be fetched"):
        fetch_from_s3(location, target, print)
    with pytest.raises(CheckpointError, match=r"can't be fetched \(EndpointConnectionError\)"):
        fetch_from_s3(location, tmp_path / "another", print)


@pytest.mark.parametrize(
    ("location", "variables", "said"),
    [
        ("s3://no-such-bucket/model", {}, "S3 answers NoSuchBucket"),
        ("", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "S3 answers SignatureDoesNotMatch"),
        ("", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "there are no credentials"),
        ("/deeper", {}, "there are no files of a model"),
    ],
)
def test_what_is_in_the_way_is_one_clear_line(
    location: str,
    variables: dict[str, str],
    said: str,
    s3: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not location.startswith("s3://"):
        location = s3.put(FILES) + location
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CheckpointError, match=said):
        fetch_from_s3(location, tmp_path / "model", print)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("location", ["s3://bucket", "s3://bucket/", "s3:///folder", "s3://b/x.gguf"])
def test_what_is_no_folder_on_s3_is_told_before_anything_starts(location: str) -> None:
    with pytest.raises(CheckpointError, match="is no folder on S3: give s3://bucket/folder"):
        check_model_id(location)


def test_other_files_in_the_target_are_left_alone(s3: S3Server, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="holds other files"):
        fetch_from_s3(s3.put(FILES), tmp_path, print)
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_the_command_puts_a_model_from_s3_into_a_folder(s3: S3Server, tmp_path: Path) -> None:
    location, target = s3.put({**FILES, "SHA256SUMS": sums_of(FILES)}), tmp_path / "models/weights"
    words = [sys.executable, "-m", "inference.prepare", "--model", location, "--out", str(target)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == f"{target}\n"
    assert done.stderr.splitlines()[-1] == "computing checksums"
    assert contents(target).keys() == {*FILES, "SHA256SUMS"}


async def test_the_service_serves_a_model_and_an_adapter_from_s3(
    s3: S3Server, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = checkpoint("llama")
    location = await asyncio.to_thread(s3.put, {path.name: path for path in folder.iterdir()})
    files = {path.name: path for path in write_adapter(tmp_path / "poet", folder).iterdir()}
    adapter = await asyncio.to_thread(s3.put, files)
    cache = tmp_path / "cache"
    settings = {"MODEL_ID": location, "LORA_ADAPTERS": f"poet={adapter}", "MODEL_CACHE_DIR": str(cache)}
    async with started(folder, settings) as service:
        loaded = await service.line("model loaded")
        assert loaded["model"] == "small"
        while not await is_healthy(service.url):
            await asyncio.sleep(0.01)
    assert {path.name for path in locate_adapter(adapter, cache, print).iterdir()} > set(files)
    kept = cache / location.removeprefix("s3://").replace("/", "--")
    assert orjson.loads((kept / ".fetched.json").read_bytes())["location"] == location

"""What each tool is asked, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.container.progress import ImagesFailed
from scripts.container.tool import Tool, find_tool
from tests.scripts.container.programs import program

NO_DAEMON = "sys.exit('Cannot connect to the Docker daemon')"


@pytest.mark.usefixtures("path")
def test_where_no_tool_is_it_says_what_to_install() -> None:
    with pytest.raises(ImagesFailed, match=r"buildah, podman, docker.*apt-get install buildah"):
        find_tool()


def test_the_first_tool_that_is_there_is_taken(path: Path) -> None:
    program(path, "docker")
    program(path, "podman")
    assert find_tool() == Tool("podman")
    assert find_tool("docker") == Tool("docker")


def test_docker_without_its_daemon_is_not_taken(path: Path) -> None:
    program(path, "docker", NO_DAEMON)
    with pytest.raises(ImagesFailed, match="docker doesn't answer"):
        find_tool("docker")
    with pytest.raises(ImagesFailed, match="apt-get install buildah"):
        find_tool()


def test_docker_cant_be_given_a_storage(path: Path, tmp_path: Path) -> None:
    program(path, "docker")
    with pytest.raises(ImagesFailed, match="--storage is for buildah and podman"):
        find_tool("docker", tmp_path)


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("buildah", "build --pull-never --timestamp 7 --build-arg BASE=b --label l=m --file F --tag t ."),
        ("podman", "build --pull=never --timestamp 7 --build-arg BASE=b --label l=m --file F --tag t ."),
        ("docker", "build --build-arg SOURCE_DATE_EPOCH=7 --build-arg BASE=b --label l=m --file F --tag t ."),
    ],
)
def test_a_build_pulls_nothing_and_has_one_time(path: Path, name: str, asked: str) -> None:
    log = program(path, name)
    Tool(name).build(Path("F"), Path(), "t", arguments={"BASE": "b"}, labels={"l": "m"}, epoch_s=7)
    assert log.read_text() == f"{name} {asked}\n"


@pytest.mark.parametrize(
    ("name", "saved", "pushed"),
    [
        ("buildah", ["push i oci-archive:a.tar:i"], ["push i docker://r/i"]),
        ("podman", ["save --format oci-archive --output a.tar i"], ["push i docker://r/i"]),
        ("docker", ["save --output a.tar i"], ["tag i r/i", "push r/i"]),
    ],
)
def test_an_image_is_saved_and_pushed(path: Path, name: str, saved: list[str], pushed: list[str]) -> None:
    log = program(path, name)
    Tool(name).save("i", Path("a.tar"))
    Tool(name).push("i", "r/i")
    assert log.read_text().splitlines() == [f"{name} {words}" for words in saved + pushed]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("buildah", '{"OCIv1": {"rootfs": {"diff_ids": ["sha256:1", "sha256:2"]}}}'),
        ("podman", '[{"RootFS": {"Layers": ["sha256:1", "sha256:2"]}}]'),
        ("docker", '[{"RootFS": {"Layers": ["sha256:1", "sha256:2"]}}]'),
    ],
)
def test_an_images_layers_are_read(path: Path, name: str, said: str) -> None:
    program(path, name, f"print({said!r})")
    assert Tool(name).layers("i") == ["sha256:1", "sha256:2"]


def test_a_storage_of_its_own_is_named_before_the_command(path: Path, tmp_path: Path) -> None:
    log = program(path, "buildah")
    Tool("buildah", tmp_path).pull("i")
    assert log.read_text() == f"buildah --root {tmp_path}/layers --runroot {tmp_path}/run pull i\n"


def test_a_failure_says_what_the_tool_said_last(path: Path) -> None:
    program(path, "buildah", "sys.exit('no space left')")
    with pytest.raises(ImagesFailed, match=r"buildah pull failed \(status 1\)(?s:.*)no space left"):
        Tool("buildah").pull("i")

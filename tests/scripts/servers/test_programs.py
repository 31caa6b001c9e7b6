"""How programs and jars are had where they are missing, and what is said where they can't be."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from scripts.servers import ServerFailed, debian, maven, postgresql
from scripts.servers.server import Place


def program(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH on which nothing is but what a test puts there, and the shell."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}")
    return folder


def test_what_is_there_isnt_installed(path: Path) -> None:
    program(path, "thing", "true")
    program(path, "apt-get", "echo should not run >&2; exit 1")
    assert debian.need(debian.program("thing"), "Thing", ("things",)) == str(path / "thing")


def test_what_is_missing_is_installed_without_its_service(path: Path) -> None:
    said = path / "said"
    program(
        path,
        "apt-get",
        f'echo "$RUNLEVEL $DEBIAN_FRONTEND $@" >> {said}\n'
        f'[ "$1" = install ] && {{ echo "#!/bin/sh" > {path}/thing; /bin/chmod +x {path}/thing; }}; exit 0',
    )
    if os.geteuid() != 0:
        pytest.skip("only root installs packages")
    assert debian.need(debian.program("thing"), "Thing", ("things",)) == str(path / "thing")
    update, install = said.read_text().splitlines()
    assert update == "1 noninteractive update -q"
    assert install.startswith("1 noninteractive install") and install.endswith("things")


def test_a_package_that_cant_be_installed_is_told_with_the_reason(path: Path) -> None:
    program(path, "apt-get", "echo 'E: no such package' >&2; exit 100")
    if os.geteuid() != 0:
        pytest.skip("only root installs packages")
    with pytest.raises(ServerFailed, match=r"(?s)apt-get install things failed.*no such package"):
        debian.need(debian.program("thing"), "Thing", ("things",))


def test_where_there_is_no_apt_the_person_is_told_what_to_install(path: Path) -> None:
    with pytest.raises(ServerFailed, match=r"Thing isn't installed.*apt-get install things"):
        debian.need(debian.program("thing"), "Thing", ("things",))


def test_who_isnt_root_is_told_the_command(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(path, "apt-get", "true")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ServerFailed, match="sudo apt-get install things"):
        debian.need(debian.program("thing"), "Thing", ("things",))


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of poms, with one jar that Maven will bring."""
    folder = tmp_path / "java"
    folder.mkdir()
    (folder / "thing.xml").write_text("<project/>")
    (folder / "thing.sha256").write_text(f"{hashlib.sha256(b'good').hexdigest()}  thing-1.jar\n")
    monkeypatch.setattr(maven, "JAVA", folder)
    return folder


def fetching(content: str) -> str:
    """A `mvn` that brings one jar."""
    return (
        'for word in "$@"; do case $word in -DoutputDirectory=*) folder=${word#*=};; esac; done\n'
        f"/bin/mkdir -p $folder; printf {content} > $folder/thing-1.jar"
    )


def test_jars_are_fetched_once_and_kept_whole(path: Path, java: Path, tmp_path: Path) -> None:
    program(path, "mvn", fetching("good"))
    found = maven.class_path("thing", tmp_path / "cache")
    assert found == str(tmp_path / "cache/thing/*")
    program(path, "mvn", "exit 1")
    assert maven.class_path("thing", tmp_path / "cache") == found


def test_a_jar_that_isnt_what_it_should_be_is_named_and_not_kept(
    path: Path, java: Path, tmp_path: Path
) -> None:
    program(path, "mvn", fetching("evil"))
    with pytest.raises(ServerFailed, match=r"thing-1\.jar"):
        maven.class_path("thing", tmp_path / "cache")
    assert not (tmp_path / "cache/thing").exists()


def test_a_maven_that_cant_fetch_is_told_with_its_reason(path: Path, java: Path, tmp_path: Path) -> None:
    program(path, "mvn", "echo '[ERROR] unknown host'; exit 1")
    with pytest.raises(ServerFailed, match=r"(?s)Maven Central.*unknown host"):
        maven.class_path("thing", tmp_path / "cache")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands files to another user")
def test_a_folder_that_its_user_cant_come_through_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ServerFailed, match=r"can't come through .*give another --data"):
        postgresql.PostgreSql().prepare(Place(closed / "postgresql", 1))

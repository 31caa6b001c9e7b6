"""`scripts/images` as a person meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.container.__main__ import main
from tests.scripts.container.programs import program


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A folder with one built image."""
    folder = tmp_path / "dist"
    folder.mkdir()
    archive, sbom = folder / "hadal-functions.oci.tar", folder / "hadal-functions.cdx.json"
    archive.write_bytes(bytes(2_000_000))
    record = {
        "image": "dev.local/hadal-functions:1.2.3",
        "base": "some/base:1",
        "above_base_bytes": 99_000_000,
        "whole_bytes": 273_000_000,
        "archive": str(archive),
        "sbom": str(sbom),
    }
    (folder / "functions.image.json").write_text(json.dumps(record))
    return folder


def test_without_a_tool_it_ends_with_2_and_one_line(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "functions", "--dist", str(path)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("scripts/images: none of buildah, podman, docker")


def test_an_image_that_there_isnt_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["build", "nope"])
    assert left.value.code == 2
    assert "there is no image 'nope'; there are functions, inference" in capsys.readouterr().err


def test_list_tells_sizes(dist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--dist", str(dist)]) == 0
    assert (
        "dev.local/hadal-functions:1.2.3  99 MB above some/base:1, 273 MB in all, 2 MB packed"
        in capsys.readouterr().out
    )


def test_what_hasnt_been_built_is_neither_listed_nor_imported(
    dist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "inference", "--dist", str(dist)]) == 2
    assert "inference hasn't been built: `scripts/images build inference`" in capsys.readouterr().err
    (dist / "hadal-functions.oci.tar").unlink()
    assert main(["list", "--dist", str(dist)]) == 2
    assert "nothing has been built: `scripts/images build`" in capsys.readouterr().err


def test_import_gives_the_archive_to_containerd(
    dist: Path, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = program(path, "ctr")
    assert main(["import", "--address", "/some.sock", "--dist", str(dist)]) == 0
    archive = dist / "hadal-functions.oci.tar"
    assert log.read_text() == f"ctr --address /some.sock --namespace k8s.io images import {archive}\n"
    assert capsys.readouterr().out == "dev.local/hadal-functions:1.2.3\n"


def test_import_without_containerd_says_what_to_install(
    dist: Path, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "--dist", str(dist)]) == 2
    assert "apt-get install containerd" in capsys.readouterr().err


def test_push_gives_the_image_its_name_in_the_registry(dist: Path, path: Path) -> None:
    log = program(path, "buildah")
    assert main(["push", "registry.example.com/hadal/", "--dist", str(dist)]) == 0
    assert log.read_text() == (
        "buildah push dev.local/hadal-functions:1.2.3 "
        "docker://registry.example.com/hadal/hadal-functions:1.2.3\n"
    )

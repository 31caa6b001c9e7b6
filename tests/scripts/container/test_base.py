"""Which base is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.container.base import DEBIAN_BASE, REGISTRY_BASE, find_base, make_debian
from scripts.container.progress import ImagesFailed
from scripts.container.tool import Tool
from tests.scripts.container.programs import program

NOTHING_HERE = "sys.exit(words[0] in ('inspect', 'pull'))"
MAKES = "open(words[-1], 'w').write('a tar')"
BUILDAH = Tool("buildah")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_base_that_is_here_isnt_fetched(path: Path) -> None:
    log = program(path, "buildah")
    assert find_base(BUILDAH, "mine", 0) == "mine"
    assert log.read_text() == "buildah inspect --type image mine\n"


def test_the_default_comes_from_a_registry(path: Path) -> None:
    log = program(path, "buildah", "sys.exit(words[0] == 'inspect')")
    assert find_base(BUILDAH, None, 0) == REGISTRY_BASE
    assert log.read_text().splitlines()[-1] == f"buildah pull {REGISTRY_BASE}"


def test_a_base_that_was_asked_for_is_never_replaced(path: Path) -> None:
    program(path, "buildah", "sys.exit('no such host' if words[0] == 'pull' else words[0] == 'inspect')")
    with pytest.raises(ImagesFailed, match="the base mine can't be fetched: no such host"):
        find_base(BUILDAH, "mine", 0)


def test_where_no_registry_answers_a_debian_is_made(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program(path, "mmdebstrap", MAKES)
    log = program(path, "buildah", NOTHING_HERE)
    assert find_base(BUILDAH, None, 0) == DEBIAN_BASE
    assert "can't be fetched, so a Debian is the base" in capsys.readouterr().err
    assert f"--tag {DEBIAN_BASE}" in log.read_text().splitlines()[-1]


def test_a_debian_is_made_once_and_anew_when_asked(path: Path) -> None:
    log = program(path, "mmdebstrap", MAKES)
    program(path, "buildah")
    for fresh in (False, False, True):
        make_debian(BUILDAH, 0, fresh=fresh)
    asked = [line.split()[0] for line in log.read_text().splitlines()]
    assert asked == ["mmdebstrap", "buildah", "buildah", "mmdebstrap", "buildah"]


def test_without_mmdebstrap_it_says_what_to_install(path: Path) -> None:
    program(path, "buildah", NOTHING_HERE)
    with pytest.raises(ImagesFailed, match="apt-get install mmdebstrap"):
        find_base(BUILDAH, None, 0)


def test_a_debian_that_fails_leaves_nothing_to_be_used_again(path: Path, tmp_path: Path) -> None:
    program(path, "mmdebstrap", f"{MAKES}\nsys.exit('no mirror')")
    with pytest.raises(ImagesFailed, match="no mirror"):
        make_debian(BUILDAH, 0, fresh=False)
    assert not list(tmp_path.rglob("*.tar"))

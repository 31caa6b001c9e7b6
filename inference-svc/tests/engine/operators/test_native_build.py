"""Native kernels that were built ahead, for where there is no compiler."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path

import pytest

from inference.engine.operators.native import build
from inference.engine.operators.native.build import NativeUnavailable, build_ahead

pytestmark = pytest.mark.slow


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The sources in a folder of their own, with the libraries beside them, and no compiler any more."""
    copies = [Path(shutil.copy(path, tmp_path)) for path in (*build.SOURCES, *build._HEADERS)]
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    monkeypatch.setattr(build, "SOURCES", tuple(copies[: len(build.SOURCES)]))
    try:
        build_ahead(tmp_path)
    except NativeUnavailable as error:
        pytest.skip(str(error))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return copies


def loaded(instructions: frozenset[str] = build.NEEDED_INSTRUCTIONS) -> ctypes.CDLL:
    return build.load_native.__wrapped__(instructions)


@pytest.mark.usefixtures("sources")
def test_a_library_beside_the_sources_needs_no_compiler() -> None:
    assert loaded().hadal_rms_norm


def test_a_library_of_other_sources_is_not_taken(sources: list[Path]) -> None:
    sources[0].write_text(sources[0].read_text() + "// changed\n")
    with pytest.raises(NativeUnavailable, match=r"no C\+\+ compiler"):
        loaded()


def test_each_kind_of_processor_has_a_library_of_its_own(sources: list[Path]) -> None:
    folder = sources[0].parent
    assert len(list(folder.glob("native-*.so"))) == 2
    for library in folder.glob("native-*.so"):
        library.write_bytes(b"no library")
    with pytest.raises(NativeUnavailable):
        loaded(build.NEEDED_INSTRUCTIONS | build.WIDE_INSTRUCTIONS)

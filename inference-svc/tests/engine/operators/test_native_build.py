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
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The source in a folder of its own, with the library beside it, and no compiler any more."""
    source = tmp_path / "decode.cpp"
    shutil.copyfile(build.SOURCE, source)
    monkeypatch.setattr(build, "SOURCE", source)
    try:
        build_ahead(tmp_path)
    except NativeUnavailable as error:
        pytest.skip(str(error))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return source


def loaded() -> ctypes.CDLL:
    return build.load_native.__wrapped__(build.NEEDED_INSTRUCTIONS)


@pytest.mark.usefixtures("source")
def test_a_library_beside_the_source_needs_no_compiler() -> None:
    assert loaded().hadal_rms_norm


def test_a_library_of_another_source_is_not_taken(source: Path) -> None:
    source.write_text(source.read_text() + "// changed\n")
    with pytest.raises(NativeUnavailable, match=r"no C\+\+ compiler"):
        loaded()

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scripts.node import build as building
from scripts.node.build import NodeError, build
from scripts.node.programs import PROGRAMS, Program

GO = f"""#!{sys.executable}
import pathlib, sys
words = sys.argv[1:]
with open({{log!r}}, "a") as log:
    print(*words, file=log)
if {{fails}}:
    sys.exit("main.go:1: it doesn't compile")
pathlib.Path(words[words.index("-o") + 1]).write_text("a program")
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A go that writes down what it is asked; its cache is fresh."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    return fake_go(tmp_path)


def fake_go(folder: Path, *, fails: bool = False) -> Path:
    go = folder / "go"
    go.write_text(GO.format(log=str(folder / "log"), fails=fails))
    go.chmod(0o755)
    return folder / "log"


def test_a_program_is_built_once(log: Path) -> None:
    first = build(["etcd"])
    assert first["etcd"].read_text() == "a program"
    assert build(["etcd"]) == first
    assert len(log.read_text().splitlines()) == 1


def test_another_pin_builds_anew(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build(["etcd"])
    tools = tmp_path / "tools"
    (tools / "etcd").mkdir(parents=True)
    for name in ("go.mod", "go.sum"):
        (tools / "etcd" / name).write_text("another pin")
    monkeypatch.setattr(building, "TOOLS", tools)
    assert build(["etcd"]) != first


def test_kubernetes_says_its_version(log: Path) -> None:
    build(["kubectl"])
    assert "k8s.io/component-base/version.gitVersion=v1.34.4" in log.read_text()


def test_a_build_that_fails_leaves_nothing_and_says_what_go_said(log: Path, tmp_path: Path) -> None:
    fake_go(tmp_path, fails=True)
    with pytest.raises(NodeError, match="it doesn't compile"):
        build(["etcd"])
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_without_go_one_line_says_so(log: Path, tmp_path: Path) -> None:
    (tmp_path / "go").unlink()
    with pytest.raises(NodeError, match="there is no go on the PATH"):
        build(["etcd"])


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_every_program_is_a_tool_of_its_pinned_module(program: Program) -> None:
    folder = building.TOOLS / program.module
    words = (folder / "go.mod").read_text().split("tool", 1)[1].split()
    assert program.package in words
    assert (folder / "go.sum").is_file()

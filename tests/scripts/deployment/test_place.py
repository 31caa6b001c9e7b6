from __future__ import annotations

from pathlib import Path

import pytest

from scripts.deployment import undeploy
from scripts.deployment.__main__ import main


def program(folder: Path, name: str) -> None:
    (folder / name).write_text("#!/bin/sh\nexit 1\n")
    (folder / name).chmod(0o700)


@pytest.mark.parametrize(("there", "missing"), [((), "kubectl"), (("kubectl",), "kn"), (("kn",), "kubectl")])
def test_a_missing_program_is_one_line_that_says_where_to_get_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    there: tuple[str, ...],
    missing: str,
) -> None:
    for name in there:
        program(tmp_path, name)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--context", "mine", "--overlay", "production"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"scripts/deploy: there is no {missing} on the PATH; https://")
    assert said.count("\n") == 1


def test_an_overlay_that_is_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--context", "mine", "--overlay", "nowhere"]) == 2
    assert "nowhere is no overlay: give local, node, production" in capsys.readouterr().err


@pytest.mark.parametrize("share", ["0", "101%", "half"])
def test_a_share_that_is_none_is_refused(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--canary", share])
    assert "is no share: give 1% to 100%" in capsys.readouterr().err


def test_without_a_node_of_ours_another_cluster_is_to_be_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr("scripts.node.cluster.cli.remembered", _no_daemons)
    for command in (main, undeploy.main):
        assert command([]) == 2
        assert "for another cluster: --context NAME" in capsys.readouterr().err


def _no_daemons() -> object:
    from scripts.node.cluster.daemons import Daemons

    return Daemons()

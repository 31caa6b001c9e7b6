from __future__ import annotations

import pytest

from tests.scripts.deployment.controllers import Controllers
from tests.scripts.deployment.inside.conftest import Place


def test_nothing_is_deleted_without_a_person_or_their_word(
    place: Place,
    controllers: Controllers,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place.deploy()
    before = place.all("ksvc")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    assert place.undeploy() == 2
    assert "Say --yes if that is meant, or --keep-data" in capsys.readouterr().err
    assert len(place.all("ksvc")) == len(before) == 6


def test_data_and_what_opens_it_can_be_kept_and_a_deployment_finds_it_again(
    place: Place, controllers: Controllers
) -> None:
    place.deploy()
    password = place.get("secret", "hadal-postgresql")["data"]
    assert place.undeploy("--keep-data") == 0
    for resource in ("ksvc", "broker", "trigger", "pingsource", "sinkbinding", "statefulset"):
        assert place.all(resource) == {}, resource
    assert set(place.all("pvc")) == {"models", "postgresql"}
    place.deploy()
    assert place.get("secret", "hadal-postgresql")["data"] == password


def test_with_their_word_everything_goes_and_the_places_of_its_data_are_told(
    place: Place, controllers: Controllers, capsys: pytest.CaptureFixture[str]
) -> None:
    place.deploy()
    capsys.readouterr()
    assert place.undeploy("--yes") == 0
    assert "keeps its data: /var/lib/hadal-cluster/postgresql on the node" in capsys.readouterr().err
    assert place.kubectl.run("get", "namespace", place.namespace).returncode
    assert place.kubectl.run("get", "persistentvolume", "hadal-postgresql").returncode
    assert place.undeploy("--yes") == 0

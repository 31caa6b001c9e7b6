from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from scripts.deployment.credentials import RANDOM, Credentials, wanted_keys
from scripts.deployment.errors import Failed
from tests.architecture.house import BASE, manifests
from tests.scripts.deployment.answering import Answering


def service(name: str, *references: tuple[str, str], optional: bool = False) -> dict[str, Any]:
    env = [
        {
            "name": key.upper(),
            "valueFrom": {"secretKeyRef": {"name": secret, "key": key, "optional": optional}},
        }
        for secret, key in references
    ]
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "hadal"},
        "spec": {"template": {"spec": {"containers": [{"image": "dev.local/app", "env": env}]}}},
    }


def test_every_secret_of_the_base_can_be_made() -> None:
    wanted = wanted_keys(list(manifests(BASE)))
    assert wanted["hadal-service-clients"] == {"history", "summarize"}
    assert set(wanted) <= RANDOM


def test_an_optional_key_isn_t_wanted() -> None:
    assert wanted_keys([service("app", ("hub", "token"), optional=True)]) == {}


def test_a_secret_of_someone_elses_is_asked_for_and_never_made_up() -> None:
    app = service("app", ("theirs", "word"), ("hadal-stores", "app"), ("hadal-bootstrap", "token"))
    credentials = Credentials(Answering().cluster, "hadal", [app])
    assert [each.what for each in credentials.not_ours()] == [
        "the Secret hadal-stores in the namespace hadal with app",
        "the Secret theirs in the namespace hadal with word",
    ]


def test_no_value_stands_in_a_command_line() -> None:
    password = base64.b64encode(b"s3cret/word").decode()
    there = {"metadata": {"name": "hadal-postgresql"}, "data": {"password": password}}
    recorded = Answering({"words": ["get", "secret"], "out": there})
    app = service("app", ("hadal-stores", "app"), ("hadal-postgresql", "password"))
    assert Credentials(recorded.cluster, "hadal", [app]).make() == ["hadal-stores (app)"]
    words, text = next(told for told in recorded.told if "create" in told[0])
    assert words == ("kubectl", "create", "-f", "-")
    address = base64.b64decode(json.loads(text)["data"]["app"]).decode()
    assert address == "postgresql://hadal:s3cret%2Fword@postgresql.hadal.svc.cluster.local:5432/hadal"
    assert not any("s3cret" in word for words, _ in recorded.told for word in words)


def test_what_another_deployment_has_made_meanwhile_is_not_overwritten() -> None:
    taken = {"words": ["create"], "status": 1, "err": "already exists"}
    credentials = Credentials(
        Answering(taken).cluster, "hadal", [service("app", ("hadal-bootstrap", "token"))]
    )
    with pytest.raises(Failed, match="another deployment may be under way"):
        credentials.make()

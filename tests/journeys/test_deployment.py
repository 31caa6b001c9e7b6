"""What scripts/deploy asks of a deployment, asked of the real functions through the runner's two doors."""

from __future__ import annotations

import base64
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from scripts.deployment.credentials import Credentials
from scripts.deployment.errors import Failed
from scripts.deployment.first_use import FirstUse
from tests.journeys.model_server import Die, ModelServer
from tests.journeys.system import System
from tests.scripts.deployment.recorded import Recorded

pytestmark = pytest.mark.slow
FRONT = {
    "words": ["get", "services.serving.knative.dev"],
    "out": {"status": {"url": "http://gateway.hadal.x.io"}},
}


def first_use(system: System, folder: Path) -> FirstUse:
    token = (system.data / "secrets/hadal-bootstrap/token").read_bytes()
    data = {"token": base64.b64encode(token).decode()}
    names = {"publicLoadBalancer": "kourier", "privateLoadBalancer": "kourier-internal"}
    balancers = {
        which: {"ingress": [{"domainInternal": f"{name}.kourier-system.svc.cluster.local"}]}
        for which, name in names.items()
    }
    cluster = Recorded(folder).cluster(
        FRONT,
        {"words": ["get", "ingresses.networking.internal.knative.dev"], "out": {"status": balancers}},
        {
            "words": ["secret", "hadal-bootstrap"],
            "out": {"metadata": {"name": "hadal-bootstrap"}, "data": data},
        },
        {"words": ["port-forward", "service/kourier-internal"], "port": urlsplit(system.broker).port},
        {"words": ["port-forward", "service/kourier"], "port": urlsplit(system.url).port},
    )
    return FirstUse(cluster, "hadal", Credentials(cluster, "hadal", []), None)


def test_the_first_key_is_there_once_and_a_client_gets_through_with_one_that_goes_again(
    system: System, tmp_path: Path
) -> None:
    use = first_use(system, tmp_path)
    assert use.first_key() is None  # the runner has made it
    told: list[str] = []
    use.smoke_test(told.append)
    assert [line.partition(" (")[0] for line in told if not line.startswith("echo")] == [
        "the models",
        "a chat completion",
        "a conversation",
        "a conversation's turn",
        "reading it back",
        "deleting it",
    ]
    another = use.another_key("another")
    with system.http(another["api_key"]) as client:
        assert client.delete(f"/v1/api_keys/{another['id']}").is_success
    with system.http() as client:
        assert "smoke test" not in {key["name"] for key in client.get("/v1/api_keys").json()["data"]}


def test_a_turn_that_fails_is_told_with_what_was_answered(
    system: System, model: ModelServer, tmp_path: Path
) -> None:
    use = first_use(system, tmp_path)
    with (
        model.answering(lambda _: [Die()]),
        pytest.raises(Failed, match="smoke test, a chat completion: POST /v1/chat/completions was answered"),
    ):
        use.smoke_test(lambda _: None)

from __future__ import annotations

import json

import pytest

from scripts.deployment.cluster import Cluster, Tools, run_program
from scripts.deployment.errors import Failed, Unfit
from tests.scripts.deployment.answering import Answering

SERVICE = {
    "apiVersion": "serving.knative.dev/v1",
    "kind": "Service",
    "metadata": {"name": "app", "namespace": "hadal"},
    "spec": {"template": {"spec": {"containers": []}}},
}


def test_a_service_goes_through_kn_and_isn_t_waited_for() -> None:
    answering = Answering()
    answering.cluster.apply_service(SERVICE)
    ((words, text),) = answering.told
    assert words[:4] == ("kn", "service", "apply", "app")
    assert {"--no-wait", "--namespace", "hadal"} <= set(words)
    assert json.loads(text) == SERVICE


def test_what_kn_or_kubectl_refuses_is_told_with_the_objects_name_and_without_warnings() -> None:
    refused = {"words": [], "status": 1, "err": "Warning: old\nerror: no such field\n"}
    cluster = Answering(refused).cluster
    with pytest.raises(Failed, match="kn service apply app: error: no such field"):
        cluster.apply_service(SERVICE)
    with pytest.raises(Failed, match=r"kubectl apply \(Service/app\): error: no such field"):
        cluster.apply([SERVICE])


def test_one_object_and_many_are_read_alike() -> None:
    one = Answering({"words": ["get"], "out": SERVICE}).cluster
    many = Answering({"words": ["get"], "out": {"kind": "List", "items": [SERVICE]}}).cluster
    none = Answering().cluster
    key = ("Service", "hadal", "app")
    assert one.live([SERVICE]) == many.live([SERVICE]) == {key: SERVICE}
    assert none.live([SERVICE]) == none.live([]) == {}


@pytest.mark.slow
def test_a_program_that_isn_t_there_or_hangs_is_named() -> None:
    with pytest.raises(Unfit, match="there is no no-such-kubectl"):
        Cluster(Tools(("no-such-kubectl",))).ask("version")
    with pytest.raises(Failed, match="sleep 60 … didn't end within 0 s"):
        run_program(["sleep", "60"], None, 0.01)

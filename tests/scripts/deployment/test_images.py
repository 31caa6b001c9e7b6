from __future__ import annotations

from typing import Any

import pytest

from scripts.deployment.errors import Unfit
from scripts.deployment.images import DIGEST, marked, named, replaced, repository, tagged


def service(image: str) -> dict[str, Any]:
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "app"},
        "spec": {"template": {"spec": {"containers": [{"image": image, "command": ["image"]}]}}},
    }


@pytest.mark.parametrize(
    "image", ["dev.local/app", "dev.local/app:1", "dev.local/app@sha256:0a", "dev.local/app:1@sha256:0a"]
)
def test_a_repository_is_a_name_without_tag_and_digest(image: str) -> None:
    assert repository(image) == "dev.local/app"


def test_a_registrys_port_is_no_tag() -> None:
    assert repository("localhost:5000/app") == "localhost:5000/app"


def test_an_image_is_replaced_wherever_it_stands_and_an_unknown_one_is_refused() -> None:
    there = [service("dev.local/app:old"), service("dev.local/other")]
    assert named(replaced(there, {"dev.local/app": "r.io/app:1"})) == ["dev.local/other", "r.io/app:1"]
    with pytest.raises(
        Unfit, match=r"no container runs dev\.local/ap; there are dev\.local/app, dev\.local/other"
    ):
        replaced(there, {"dev.local/ap": "r.io/app:1"})


def test_an_image_without_a_registry_gets_the_tag_that_the_nodes_have() -> None:
    on_nodes = {"dev.local/app:7", "dev.local/app@sha256:0a", "dev.local/apple:1"}
    assert named(tagged([service("dev.local/app")], on_nodes)) == ["dev.local/app:7"]
    assert named(tagged([service("dev.local/app:3")], on_nodes)) == ["dev.local/app:3"]
    assert named(tagged([service("dev.local/app")], set())) == ["dev.local/app"]
    with pytest.raises(Unfit, match=r"choose: --image dev\.local/app=dev\.local/app:7 or dev\.local/app:8"):
        tagged([service("dev.local/app")], on_nodes | {"dev.local/app:8"})


def test_an_image_built_anew_under_its_tag_changes_the_template_and_an_unknown_digest_nothing() -> None:
    app = service("dev.local/app:1")
    (one,) = marked([app], {"dev.local/app:1": "sha256:0a"})
    (two,) = marked([app], {"dev.local/app:1": "sha256:0b"})
    assert one["spec"]["template"]["metadata"]["annotations"] == {DIGEST: "sha256:0a"}
    assert one != two
    assert marked([app], {"dev.local/app:1": ""}) == marked([app], {}) == [app]

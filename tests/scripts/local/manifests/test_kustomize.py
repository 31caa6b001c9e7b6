"""What is rendered is what `kubectl kustomize` renders, and what isn't known is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.local.manifests import ManifestError
from scripts.local.manifests.kustomize import render
from scripts.local.manifests.source import Map
from tests.scripts.local.manifests.overlay import BROKER, SERVICE, write

ROOT = Path(__file__).parents[4]
BASE = {"base/kustomization.yaml": "resources: [app.yaml, broker.yaml]\n", "base/app.yaml": SERVICE}
BASE["base/broker.yaml"] = BROKER

OVERLAYS = {
    "namespace, labels and images": """\
        namespace: there
        resources: [base]
        labels: [{pairs: {a: b}, includeTemplates: true}]
        images: [{name: dev.local/app, newName: example.com/app, newTag: v2}]
        """,
    "a digest": """\
        resources: [base]
        images: [{name: dev.local/app, digest: "sha256:24a0c4b4a4c0eb97a1aabb8e29f18e917d05abfe1b"}]
        """,
    "a merge that adds, replaces a list, and removes": """\
        resources: [base]
        patches:
          - patch: |
              apiVersion: serving.knative.dev/v1
              kind: Service
              metadata:
                name: app
                annotations: {c: d}
              spec:
                template:
                  spec:
                    timeoutSeconds: 60
                    containers: [{image: other, env: [{name: A, value: "yes"}]}]
          - patch: |
              kind: Broker
              apiVersion: eventing.knative.dev/v1
              metadata: {name: default, annotations: {eventing.knative.dev/broker.class: null}}
          - target: {kind: Broker}
            patch: |
              kind: Broker
              apiVersion: eventing.knative.dev/v1
              metadata: {name: any, labels: {a: b}}
              spec: {delivery: {retry: 1}}
        """,
    "operations": """\
        resources: [base]
        patches:
          - target: {group: serving.knative.dev, version: v1, kind: Service, name: a.*}
            patch: |
              - {op: add, path: /spec/template/spec/containers/0/env, value: [{name: A, value: "1"}]}
              - {op: add, path: /spec/template/spec/containers/0/env/-, value: {name: B, value: "2"}}
              - {op: add, path: /spec/template/spec/containers/0/env/0, value: {name: C, value: "3"}}
              - {op: replace, path: /spec/template/spec/containers/0/command/1, value: you}
              - {op: test, path: /metadata/name, value: app}
              - {op: copy, from: /metadata/name, path: /metadata/generation}
              - {op: move, from: /metadata/generation, path: /metadata/uid}
              - {op: remove, path: /spec/template/spec/containers/0/command/0}
              - {op: add, path: /metadata/annotations, value: {a.b/c: "1"}}
              - {op: replace, path: /metadata/annotations/a.b~1c, value: "2"}
        """,
    "an object deleted": """\
        resources: [base]
        patches:
          - patch: |
              $patch: delete
              apiVersion: eventing.knative.dev/v1
              kind: Broker
              metadata: {name: default}
        """,
    "a patch in a file": """\
        resources: [base]
        patches: [{path: base/patch.yaml}]
        """,
    "a generated map": """\
        namespace: there
        generatorOptions: {disableNameSuffixHash: true}
        configMapGenerator: [{name: made, literals: [a=1, "b=x=y"], files: [base/text.txt, c=base/text.txt]}]
        """,
}
FILES = {
    "base/patch.yaml": "{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: app, uid: e}}\n",
    "base/text.txt": "some text\n",
}


def by_kind_and_name(objects: list[Any]) -> list[Any]:
    return sorted(objects, key=lambda each: (each["kind"], each["metadata"]["name"]))


def kubectl(overlay: Path) -> list[Any]:
    done = subprocess.run(["kubectl", "kustomize", str(overlay)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_renders_as_kubectl_renders_it(tmp_path: Path, name: str) -> None:
    overlay = write(tmp_path, {**BASE, **FILES, "kustomization.yaml": OVERLAYS[name]})
    assert by_kind_and_name(list(render(overlay, tmp_path))) == by_kind_and_name(kubectl(overlay))


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("name", ["local", "production", "production-vllm"])
def test_the_project_s_overlays_render_as_kubectl_renders_them(name: str) -> None:
    overlay = ROOT / "knative/overlays" / name
    assert by_kind_and_name(list(render(overlay, ROOT))) == by_kind_and_name(kubectl(overlay))


def test_a_patched_value_knows_where_it_was_patched(tmp_path: Path) -> None:
    overlay = write(tmp_path, {**BASE, "kustomization.yaml": OVERLAYS["operations"]})
    service = next(item for item in render(overlay, tmp_path) if item["kind"] == "Service")
    box = service["spec"]["template"]["spec"]["containers"][0]
    assert str(box["env"].at(0)) == "kustomization.yaml:7"
    assert str(service.at("spec")) == "base/app.yaml:5"


WRONG = [
    ("resources: [nothing.yaml]", "kustomization.yaml:1: resources[0]: nothing.yaml doesn't exist"),
    (
        "resources: [base]\nnamePrefix: a-",
        "kustomization.yaml:2: namePrefix: is not supported here; supported are",
    ),
    ("resources: [base, base]", "base/app.yaml:1: Service app is there twice"),
    (
        "resources: ['https://example.com/x.yaml']",
        "kustomization.yaml:1: resources[0]: must be a file or a folder",
    ),
    ("resources: [.]", "kustomization.yaml:1: resources[0]: . leads back to itself"),
    ("resources: base", "kustomization.yaml:1: resources: must be a list"),
    (
        "resources: [base]\npatches: [{patch: 'a: b', path: c}]",
        "kustomization.yaml:2: patches[0]: needs either",
    ),
    (
        "resources: [base]\npatches:\n  - target: {kind: Service}\n    patch: |\n"
        "      - {op: remove, path: /a}",
        "kustomization.yaml:5: remove: /a doesn't exist in the object (no 'a')",
    ),
    (
        "resources: [base]\npatches:\n  - target: {kind: Service}\n    patch: |\n      - {op: put, path: /a}",
        "kustomization.yaml:5: [0].op: needs `op`, one of add, remove",
    ),
    (
        "resources: [base]\npatches:\n  - target: {kinds: Service}\n    patch: '[{op: remove, path: /spec}]'",
        "kustomization.yaml:3: patches[0].target.kinds: is not known",
    ),
    (
        "resources: [base]\npatches:\n  - patch: |\n      {kind: A, apiVersion: v1, metadata: {name: b}}",
        "kustomization.yaml:4: patches[0]: there is no A b to patch",
    ),
    (
        "configMapGenerator: [{name: a}]",
        "kustomization.yaml:1: configMapGenerator[0]: needs generatorOptions",
    ),
]


@pytest.mark.parametrize(("text", "fault"), WRONG)
def test_what_kustomize_would_not_do_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    overlay = write(tmp_path, {**BASE, "kustomization.yaml": text})
    with pytest.raises(ManifestError) as caught:
        render(overlay, tmp_path)
    assert str(caught.value).startswith(fault)


def test_a_folder_that_is_no_overlay_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no kustomization"):
        render(tmp_path, tmp_path)


def test_text_that_looks_like_yaml_1_1_stays_text(tmp_path: Path) -> None:
    values = "[yes, on, 2001-01-01, 1_000, 0o17, 0x1f, .5, ~, True]"
    text = f"apiVersion: v1\nkind: A\nmetadata: {{name: a}}\nv: {values}\n"
    (item,) = render(
        write(tmp_path, {"a.yaml": text, "kustomization.yaml": "resources: [a.yaml]\n"}), tmp_path
    )
    assert isinstance(item, Map)
    assert json.dumps(item["v"]) == '["yes", "on", "2001-01-01", "1_000", 15, 31, 0.5, null, true]'

"""Overlays in a folder, as texts."""

from __future__ import annotations

import textwrap
from pathlib import Path

from scripts.local.eventing import problems
from scripts.local.manifests import ManifestError, Manifests, load

IMAGES = ("dev.local/app",)

SERVICE = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: app
spec:
  template:
    spec:
      containers:
        - image: dev.local/app
          command: [run, me]
"""

BROKER = """\
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata:
  name: default
  annotations:
    eventing.knative.dev/broker.class: Kafka
"""


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write files, and a kustomization of all of them unless there is one."""
    texts = {name: textwrap.dedent(text) for name, text in files.items()}
    if "kustomization.yaml" not in texts:
        resources = "".join(f"  - {name}\n" for name in texts)
        texts["kustomization.yaml"] = f"namespace: hadal\nresources:\n{resources}"
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def read(folder: Path, files: dict[str, str]) -> Manifests:
    """What an overlay of `files` says."""
    return load(write(folder, files), folder, images=IMAGES, check=problems)


def faults(folder: Path, files: dict[str, str]) -> list[str]:
    """What is wrong with it, one line a fault."""
    try:
        read(folder, files)
    except ManifestError as error:
        return [str(problem) for problem in error.problems]
    return []

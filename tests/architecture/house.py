"""What the house is made of, read from its files: folders, manifests, modules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FUNCTIONS = ROOT / "functions"
BASE = ROOT / "knative" / "base"
EVENTING = ROOT / "eventing"
MODEL_SERVICE = "inference"

Manifest = dict[str, Any]


def functions() -> list[str]:
    """The functions, by their folders."""
    return sorted(path.parent.name for path in FUNCTIONS.glob("[!_]*/__init__.py"))


def manifests(folder: Path) -> Iterator[Manifest]:
    """Every object of every manifest below a folder; lists are patches, which are no objects."""
    for path in sorted(folder.rglob("*.yaml")):
        if path.name != "kustomization.yaml":
            yield from (item for item in yaml.safe_load_all(path.read_text()) if isinstance(item, dict))


def service(name: str) -> Manifest:
    """The Knative Service that a base manifest declares."""
    items = list(yaml.safe_load_all((BASE / f"{name}.yaml").read_text()))
    return next(item for item in items if item["kind"] == "Service")


def container(name: str) -> Manifest:
    """The one container of a Service."""
    containers = service(name)["spec"]["template"]["spec"]["containers"]
    assert len(containers) == 1
    return dict(containers[0])


def kinds(kind: str) -> list[Manifest]:
    """Every eventing object of a kind."""
    return [item for item in manifests(EVENTING) if item["kind"] == kind]


def modules(*folders: str) -> Iterator[Path]:
    """Every Python module below these folders of the repository."""
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


@cache
def imports(module: Path) -> set[str]:
    """The names that a module imports from, relative ones resolved."""
    package = list(module.relative_to(ROOT).parent.parts)
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            found |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
    return found

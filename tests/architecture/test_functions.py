"""A function is a folder, a manifest and its tests, and can be deleted with them."""

from __future__ import annotations

import pytest
import yaml

from tests.architecture.house import (
    BASE,
    FUNCTIONS,
    MODEL_SERVICE,
    ROOT,
    container,
    functions,
    imports,
    kinds,
    modules,
    service,
)


def test_the_folders_the_manifests_and_the_list_of_manifests_are_the_same_functions() -> None:
    listed = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    there = sorted(path.name for path in BASE.glob("*.yaml") if path.name != "kustomization.yaml")
    assert sorted(listed) == there == sorted(f"{name}.yaml" for name in [*functions(), MODEL_SERVICE])


def test_the_readme_names_every_function_and_no_other() -> None:
    readme = (ROOT / "README.md").read_text()
    named = {name for name in functions() if f"`functions/{name}/`" in readme}
    assert named == set(functions())
    assert readme.count("`functions/") - readme.count("`functions/_runtime/`") >= len(named)


@pytest.mark.parametrize("name", functions())
def test_a_manifest_starts_a_target_that_exists(name: str) -> None:
    variables = {entry["name"]: entry.get("value") for entry in container(name)["env"]}
    assert container(name)["command"] == ["functions-framework", "--asgi"]
    assert variables["FUNCTION_TARGET"] == name
    source = ROOT / str(variables["FUNCTION_SOURCE"])
    assert source == FUNCTIONS / name / "service.py"
    assert f"\n{name} = " in source.read_text()


@pytest.mark.parametrize("name", functions())
def test_a_function_has_the_files_that_every_function_has(name: str) -> None:
    for file in ("__init__.py", "handler.py", "service.py", "README.md"):
        assert (FUNCTIONS / name / file).is_file(), file
    assert any((ROOT / "tests" / "functions" / name).glob("test_*.py"))


@pytest.mark.parametrize("name", functions())
def test_a_function_and_its_tests_can_be_deleted_without_touching_another(name: str) -> None:
    own = (FUNCTIONS / name, ROOT / "tests" / "functions" / name)
    for module in modules("events", "functions", "scripts/local", "tests/functions"):
        if not any(module.is_relative_to(folder) for folder in own):
            foreign = {source for source in imports(module) if source.startswith(f"functions.{name}")}
            assert not foreign, f"{module.relative_to(ROOT)} imports {foreign}"


@pytest.mark.parametrize("name", functions())
def test_only_the_service_file_of_a_function_names_adapters(name: str) -> None:
    for module in (FUNCTIONS / name).glob("*.py"):
        if module.name != "service.py":
            named = {source for source in imports(module) if "_runtime.adapters" in source}
            assert not named, f"{module.relative_to(ROOT)} names {named}"


@pytest.mark.parametrize("name", [*functions(), MODEL_SERVICE])
def test_only_the_gateway_is_reachable_from_outside(name: str) -> None:
    labels = service(name)["metadata"].get("labels", {})
    visibility = labels.get("networking.knative.dev/visibility")
    assert visibility == (None if name == "gateway" else "cluster-local")


def test_every_function_that_a_trigger_names_exists() -> None:
    for item in [*kinds("Trigger"), *kinds("SinkBinding")]:
        spec = item["spec"]
        reference = spec["subscriber"]["ref"] if item["kind"] == "Trigger" else spec["subject"]
        assert reference["name"] in functions(), item["metadata"]["name"]

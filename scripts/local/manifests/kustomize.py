"""Renders a kustomize overlay: as much of kustomize as the project's overlays use, and nothing silently less.

The order is kustomize's own (api/internal/target): resources and generators, patches, namespace, labels,
images. `kubectl kustomize` gives the same objects; a test compares the two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .jsonpatch import apply_json_patch
from .merge import merge
from .model import SourceLocation
from .problems import ManifestError, Problem
from .source import List, Map, parse, read
from .targets import matches
from .transformers import set_images, set_labels, set_namespace

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
SUPPORTED = (
    "apiVersion", "kind", "metadata", "resources", "namespace", "labels", "images", "patches",
    "configMapGenerator", "generatorOptions",
)  # fmt: skip


def render(overlay: Path, root: Path) -> list[Map]:
    """The objects that an overlay describes, or `ManifestError`, whose places are relative to `root`."""
    return _folder(overlay, root, ())


def _folder(folder: Path, root: Path, above: tuple[Path, ...]) -> list[Map]:
    path = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if path is None:
        where = SourceLocation(str(folder), 1)
        raise ManifestError([Problem(where, "", "has no kustomization.yaml; name a kustomize overlay")])
    documents = read(path, root)
    if len(documents) != 1 or not isinstance(documents[0], Map):
        raise ManifestError([Problem(SourceLocation(str(path), 1), "", "must hold one kustomization")])
    spec = documents[0]
    _refuse_unknown(spec)
    objects = _resources(spec, folder, root, (*above, folder.resolve()))
    _generate(spec, folder, objects)
    for index, patch in enumerate(_list(spec, "patches")):
        _patch(objects, patch, f"patches[{index}]", folder, root)
    if "namespace" in spec:
        set_namespace(objects, spec["namespace"], spec.at("namespace"))
    for index, entry in enumerate(_list(spec, "labels")):
        set_labels(objects, entry, f"labels[{index}]")
    for entry in _list(spec, "images"):
        set_images(objects, entry)
    return objects


def _refuse_unknown(spec: Map) -> None:
    problems = [
        Problem(spec.at(key), key, f"is not supported here; supported are {', '.join(SUPPORTED[3:])}")
        for key in spec
        if key not in SUPPORTED
    ]
    if problems:
        raise ManifestError(problems)


def _resources(spec: Map, folder: Path, root: Path, above: tuple[Path, ...]) -> list[Map]:
    objects: list[Map] = []
    resources = _list(spec, "resources")
    for index, name in enumerate(resources):
        where = resources.at(index)
        if not isinstance(name, str) or "://" in name:
            raise ManifestError([Problem(where, f"resources[{index}]", "must be a file or a folder here")])
        path = (folder / name).resolve()
        if path in above:
            raise ManifestError([Problem(where, f"resources[{index}]", f"{name} leads back to itself")])
        if not path.exists():
            raise ManifestError([Problem(where, f"resources[{index}]", f"{name} doesn't exist")])
        found = _folder(path, root, above) if path.is_dir() else [_object(item) for item in read(path, root)]
        for item in found:
            if _index(objects, item) is not None:
                raise ManifestError([Problem(item.where, "", f"{_name(item)} is there twice")])
            objects.append(item)
    return objects


def _object(item: Any) -> Map:
    if not isinstance(item, Map):
        raise ManifestError([Problem(SourceLocation("", 1), "", "every document must be an object")])
    metadata = item.get("metadata")
    problems = [
        Problem(item.where, key, "is missing")
        for key in ("apiVersion", "kind")
        if not isinstance(item.get(key), str)
    ]
    if not isinstance(metadata, Map) or not isinstance(metadata.get("name"), str):
        problems.append(Problem(item.at("metadata"), "metadata.name", "is missing"))
    if problems:
        raise ManifestError(problems)
    return item


def _generate(spec: Map, folder: Path, objects: list[Map]) -> None:
    options = spec.get("generatorOptions") or {}
    for index, entry in enumerate(_list(spec, "configMapGenerator")):
        path = f"configMapGenerator[{index}]"
        own = entry.get("options") or {}
        if not {**options, **own}.get("disableNameSuffixHash"):
            text = (
                "needs generatorOptions.disableNameSuffixHash: true; names with a hash are not supported here"
            )
            raise ManifestError([Problem(entry.where, path, text)])
        unknown = [key for key in entry if key not in ("name", "literals", "files", "options")]
        if unknown:
            text = "is not supported; supported are name, literals, files, options"
            raise ManifestError([Problem(entry.at(unknown[0]), f"{path}.{unknown[0]}", text)])
        data = Map(entry.where)
        for literal in entry.get("literals") or ():
            key, _, value = str(literal).partition("=")
            data.put(key, value.strip("'\""), entry.at("literals"))
        for name in entry.get("files") or ():
            key, _, file = str(name).rpartition("=")
            data.put(key or Path(file).name, (folder / file).read_text(), entry.at("files"))
        generated = parse(
            f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {entry['name']}}}", entry.where
        )
        generated[0].put("data", data, entry.where)
        objects.append(generated[0])


def _patch(objects: list[Map], entry: Any, path: str, folder: Path, root: Path) -> None:
    if not isinstance(entry, Map) or ("patch" in entry) == ("path" in entry):
        raise ManifestError([Problem(entry.where, path, "needs either `patch` or `path`")])
    if "options" in entry:
        raise ManifestError([Problem(entry.at("options"), f"{path}.options", "is not supported")])
    if "path" in entry:
        documents = read((folder / str(entry["path"])).resolve(), root)
    else:
        place = entry.at("patch")
        documents = parse(str(entry["patch"]), SourceLocation(place.file, place.line + 1))
    for document in documents:
        if isinstance(document, List):
            for item in _targets(objects, entry, path):
                apply_json_patch(item, document)
        elif "target" in entry:
            for item in _targets(objects, entry, path):
                _merge_into(objects, item, document)
        else:
            index = _index(objects, _object(document))
            if index is None:
                raise ManifestError(
                    [Problem(document.where, path, f"there is no {_name(document)} to patch")]
                )
            _merge_into(objects, objects[index], document)


def _targets(objects: list[Map], entry: Map, path: str) -> list[Map]:
    target = entry.get("target")
    if not isinstance(target, Map):
        raise ManifestError([Problem(entry.where, f"{path}.target", "is needed by a list of operations")])
    return [item for item in objects if matches(item, target, f"{path}.target")]


def _merge_into(objects: list[Map], item: Map, patch: Map) -> None:
    if patch.get("$patch") == "delete":
        objects.remove(item)
        return
    name = item["metadata"]["name"]
    merge(item, patch)
    item["metadata"]["name"] = name


def _list(spec: Map, key: str) -> List:
    value = spec.get(key)
    if value is None:
        return List(spec.where)
    if not isinstance(value, List):
        raise ManifestError([Problem(spec.at(key), key, "must be a list")])
    return value


def _index(objects: list[Map], item: Map) -> int | None:
    wanted = _identity(item)
    return next((index for index, each in enumerate(objects) if _identity(each) == wanted), None)


def _identity(item: Map) -> tuple[str, str, str]:
    return (str(item["apiVersion"]).rpartition("/")[0], str(item["kind"]), str(item["metadata"]["name"]))


def _name(item: Map) -> str:
    return f"{item['kind']} {item['metadata']['name']}"

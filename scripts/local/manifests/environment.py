"""A container's variables, with ConfigMaps already read."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from .fields import Fields
from .metadata import read_metadata
from .model import EnvVar, SecretKey

_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
RESERVED = frozenset(("PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"))


@dataclass(frozen=True, slots=True)
class Values:
    """The ConfigMaps and Secrets that the manifests hold themselves, by (namespace, name)."""

    config_maps: dict[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    secrets: dict[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)


def read_config_map(manifest: Fields, values: Values) -> None:
    """Remember a ConfigMap's `data`."""
    metadata = read_metadata(manifest)
    manifest.ignore("immutable")
    values.config_maps[metadata.namespace, metadata.name] = manifest.text_map("data")
    manifest.finish()


def read_secret(manifest: Fields, values: Values) -> None:
    """Remember a Secret that stands in the manifests: `stringData`, and `data` in base64."""
    metadata = read_metadata(manifest)
    manifest.ignore("immutable", "type")
    content: dict[str, str] = {}
    for key, text in manifest.text_map("data").items():
        try:
            content[key] = base64.b64decode(text, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            manifest.fault("data", f"{key} is not text in base64")
    values.secrets[metadata.namespace, metadata.name] = {**content, **manifest.text_map("stringData")}
    manifest.finish()


def read_environment(container: Fields, namespace: str, values: Values) -> tuple[EnvVar, ...]:
    """`envFrom`, then `env`, which wins (Kubernetes, Container v1)."""
    found: dict[str, EnvVar] = {}
    for entry in container.items("envFrom"):
        for variable in _all_of(entry, namespace, values):
            found[variable.name] = variable
    for entry in container.items("env"):
        if (own := _variable(entry, namespace, values)) is not None:
            found[own.name] = own
    return tuple(found.values())


def _all_of(entry: Fields, namespace: str, values: Values) -> Iterator[EnvVar]:
    prefix = entry.text("prefix")
    if ("configMapRef" in entry) == ("secretRef" in entry):
        entry.fault("", "needs either configMapRef or secretRef")
    for key, held in (("configMapRef", values.config_maps), ("secretRef", values.secrets)):
        if key not in entry:
            continue
        reference = entry.fields(key)
        name = reference.required("name")
        optional = reference.boolean("optional")
        reference.finish()
        if (namespace, name) not in held and not optional:
            reference.fault("name", f"{name} is not among the manifests, so its keys are not known")
        for variable, text in held.get((namespace, name), {}).items():
            yield EnvVar(prefix + variable, text, reference.where)
    entry.ignore("configMapRef", "secretRef")
    entry.finish()


def _variable(entry: Fields, namespace: str, values: Values) -> EnvVar | None:
    name = entry.required("name")
    if name in RESERVED:
        entry.fault("name", f"{name} is reserved: Knative sets it")
    elif name and not _NAME.fullmatch(name):
        entry.fault("name", f"{name!r} is no name of a variable")
    if "value" in entry and "valueFrom" in entry:
        entry.fault("value", "stands beside valueFrom; one is allowed")
    value: str | SecretKey | None = entry.text("value")
    if "valueFrom" in entry:
        value = _value_from(entry.fields("valueFrom"), namespace, values)
    entry.finish()
    return None if value is None or not name else EnvVar(name, value, entry.where)


def _value_from(source: Fields, namespace: str, values: Values) -> str | SecretKey | None:
    for key in ("fieldRef", "resourceFieldRef"):
        if key in source:
            source.fault(key, "is not supported here; supported are secretKeyRef and configMapKeyRef")
    source.ignore("fieldRef", "resourceFieldRef")
    if "secretKeyRef" in source:
        name, key, _, _ = _reference(source.fields("secretKeyRef"))
        source.finish()
        held = values.secrets.get((namespace, name), {})
        return held[key] if key in held else SecretKey(name, key)
    if "configMapKeyRef" in source:
        name, key, optional, reference = _reference(source.fields("configMapKeyRef"))
        source.finish()
        found = values.config_maps.get((namespace, name), {}).get(key)
        if found is None and not optional:
            reference.fault("key", f"{key} is in no ConfigMap {name} of the manifests")
        return found
    source.finish()
    return None


def _reference(fields: Fields) -> tuple[str, str, bool, Fields]:
    name, key, optional = fields.required("name"), fields.required("key"), fields.boolean("optional")
    fields.finish()
    return name, key, optional, fields

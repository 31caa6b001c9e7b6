"""The Secrets that the containers read: made with random values where they are missing, never overwritten.

Values pass through standard input only; none is printed or stands in a command line.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from .cluster import Cluster
from .errors import Failed
from .objects import Manifest, containers, volumes
from .requirements import Missing

BOOTSTRAP = ("hadal-bootstrap", "token")
STORES, POSTGRESQL = "hadal-stores", "hadal-postgresql"
RANDOM = frozenset({"hadal-bootstrap", "hadal-key-encryption", "hadal-service-clients", POSTGRESQL})
"""Those whose values nobody but the functions need know."""
KEPT_WITH_DATA = frozenset({"hadal-key-encryption", POSTGRESQL, STORES})
"""Without these the data can't be read."""

Keys = dict[str, set[str]]


def wanted_keys(objects: Sequence[Manifest]) -> Keys:
    """The keys that containers can't start without, by Secret."""
    wanted: Keys = {}
    for each in objects:
        for container in containers(each):
            for variable in container.get("env", ()):
                reference = variable.get("valueFrom", {}).get("secretKeyRef")
                if reference and not reference.get("optional"):
                    wanted.setdefault(reference["name"], set()).add(reference["key"])
        for volume in volumes(each):
            secret = volume.get("secret")
            if secret and not secret.get("optional"):
                keys = {item["key"] for item in secret.get("items", ())}
                wanted.setdefault(secret["secretName"], set()).update(keys)
    return wanted


class Credentials:
    """The Secrets of one deployment."""

    def __init__(self, cluster: Cluster, namespace: str, objects: Sequence[Manifest]) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._wanted = wanted_keys(objects)
        self._has_postgresql = POSTGRESQL in self._wanted

    def lacking(self) -> Keys:
        """The keys that aren't there."""
        return self._lacking(self._there(*self._wanted))

    def not_ours(self) -> list[Missing]:
        """What lacks and can't be made here."""
        return [
            Missing(
                f"the Secret {name} in the namespace {self._namespace} with {', '.join(sorted(keys))}",
                f"kubectl -n {self._namespace} create secret generic {name} --from-file=KEY=FILE …;"
                " knative/README.md says what it holds",
            )
            for name, keys in self.lacking().items()
            if name not in RANDOM and not (name == STORES and self._has_postgresql)
        ]

    def make(self) -> list[str]:
        """Make what lacks; what was made, by names only.

        Raises:
            Failed: the cluster refuses one.
        """
        there = self._there(*self._wanted)
        lacking = self._lacking(there)
        for name in sorted(lacking, key=lambda each: each == STORES):  # whose addresses hold a password
            self._add(name, {key: self._value(name) for key in lacking[name]}, there.get(name))
        return [f"{name} ({', '.join(sorted(keys))})" for name, keys in lacking.items()]

    def value(self, name: str, key: str) -> str:
        """A value that is there. `Failed` where it isn't."""
        encoded = self._there(name).get(name, {}).get("data", {}).get(key)
        if encoded is None:
            raise Failed(f"the Secret {name} has no {key}")
        return base64.b64decode(encoded).decode()

    def _lacking(self, there: Mapping[str, dict[str, Any]]) -> Keys:
        lacking = {
            name: keys - set(there.get(name, {}).get("data") or {}) for name, keys in self._wanted.items()
        }
        return {name: keys for name, keys in sorted(lacking.items()) if keys}

    def _value(self, name: str) -> str:
        if name != STORES:
            return secrets.token_urlsafe(32)
        password = quote(self.value(POSTGRESQL, "password"), safe="")
        return f"postgresql://hadal:{password}@postgresql.{self._namespace}.svc.cluster.local:5432/hadal"

    def _add(self, name: str, values: Mapping[str, str], there: dict[str, Any] | None) -> None:
        metadata = {"name": name, "namespace": self._namespace, "labels": _OURS}
        secret = there or {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        secret["data"] = {**encoded, **(secret.get("data") or {})}
        # The version that was read goes along: what someone else has made meanwhile is refused, not lost.
        said = self._cluster.ask("replace" if there else "create", "-f", "-", text=json.dumps(secret))
        if said.status:
            raise Failed(
                f"the Secret {name} couldn't be made; another deployment may be under way: try again"
            )

    def _there(self, *names: str) -> dict[str, dict[str, Any]]:
        """The Secrets that are there, by name."""
        if not names:
            return {}
        words = ("get", "secret", *names, "-n", self._namespace, "--ignore-not-found", "-o", "json")
        said = self._cluster.ask(*words)
        if said.status:
            raise Failed(f"kubectl get secret: {said.trouble}")
        found = json.loads(said.out) if said.out.strip() else {"items": []}
        return {each["metadata"]["name"]: each for each in found.get("items", [found])}


_OURS = {"app.kubernetes.io/part-of": "hadal"}

"""One Service: the revisions that were made of its templates, and which of them a request goes to.

A template that changes makes a new revision. Requests go on to the old one until the new one has a replica
that is ready; then the old one is sent nothing more, finishes what it has, and ends, as with Knative's
Configuration and Route.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from scripts.local.manifests.model import Service, TrafficTarget
from scripts.local.manifests.problems import Problem

from .errors import NoSuchService
from .revision import Revision

KEPT = 20
"""Revisions without traffic that `traffic` may name again (Knative's min-non-active-revisions)."""

Make = Callable[[str, Service, Mapping[str, str], Callable[[Revision], None]], Revision]
"""A revision by name, from a template and what SinkBindings add to its variables."""


class Served:
    """A Service between its first manifest and its removal."""

    def __init__(self, service: Service, bound: Mapping[str, str], make: Make) -> None:
        self.service = service
        self._bound = dict(bound)
        self._make = make
        self._made = 0
        self._revisions: dict[str, Revision] = {}
        self._ready: set[str] = set()
        self._shares: list[tuple[Revision, int]] = []
        self._tags: dict[str, Revision] = {}
        self._latest = self._new()
        self._ready.add(self._latest.name)  # the first is started by the first request
        self._share_out()

    def start(self) -> None:
        """Start the processes that should be there before anyone asks."""
        self._latest.start()

    def apply(self, service: Service, bound: Mapping[str, str]) -> str | None:
        """Go over to a manifest, which has passed `missing`; the revision that is made of it, if one is."""
        is_new = self._is_new(service, bound)
        self.service, self._bound = service, dict(bound)
        if is_new:
            self._latest = self._new()
        self._share_out()
        if not is_new:
            return None
        self._latest.start(at_least=1)
        return f"revision {self._latest.name}"

    def missing(self, service: Service, bound: Mapping[str, str]) -> list[Problem]:
        """Why a manifest can't be applied: what it names and isn't there, or is there already."""
        names = set(self._revisions)
        if self._is_new(service, bound):
            name = self._next_name(service)
            if name in names:
                text = f"{name} is what an earlier template was called; a changed one needs another name"
                return [Problem(service.where, "spec.template.metadata.name", text)]
            names.add(name)
        return _missing(service, names)

    def revision(self, tag: str | None) -> Revision:
        """Whom a request goes to: by its tag, else by the shares. `NoSuchService`."""
        if tag is not None:
            if tag not in self._tags:
                raise NoSuchService(f"{self.service.name} has no ready revision with the tag {tag}")
            return self._tags[tag]
        if len(self._shares) == 1:
            return self._shares[0][0]
        revisions, percents = zip(*self._shares, strict=True)
        return random.choices(revisions, percents)[0]  # type: ignore[no-any-return]  # noqa: S311

    def all(self) -> list[Revision]:
        """Every revision that is kept."""
        return list(self._revisions.values())

    def status(self) -> dict[str, Any]:
        """Its row of the Services' status."""
        rows = {name: revision.status() for name, revision in self._revisions.items()}
        replicas = [replica for row in rows.values() for replica in row["replicas"]]
        return {
            "name": self.service.name,
            "state": rows[self._shares[0][0].name]["state"],
            "revision": self._latest.name,
            "ready": self._latest.name in self._ready,
            "traffic": [{"revision": revision.name, "percent": share} for revision, share in self._shares],
            "tags": {tag: revision.name for tag, revision in self._tags.items()},
            "replicas": replicas,
            "waiting": sum(row["waiting"] for row in rows.values()),
            "requests": sum(row["requests"] for row in rows.values()),
            "restarts": sum(row["restarts"] for row in rows.values()),
            "reason": rows[self._latest.name]["reason"],
            "memory_mb": round(sum(replica["memory_mb"] for replica in replicas), 1),
        }

    def _is_new(self, service: Service, bound: Mapping[str, str]) -> bool:
        return service.template != self.service.template or bound != self._bound

    def _next_name(self, service: Service) -> str:
        return revision_name(service, self._made + 1)

    def _new(self) -> Revision:
        name = self._next_name(self.service)
        self._made += 1
        self._revisions[name] = self._make(name, self.service.template, self._bound, self._is_ready)
        return self._revisions[name]

    def _is_ready(self, revision: Revision) -> None:
        if revision.name not in self._ready:
            self._ready.add(revision.name)
            self._share_out()

    def _share_out(self) -> None:
        """Point the requests at what `traffic` names; where a part isn't ready yet, all stays as it is."""
        targets = self.service.traffic or (TrafficTarget(self.service.where, None, 100),)
        ready = [name for name in self._revisions if name in self._ready]
        chosen = [(target, target.revision or ready[-1]) for target in targets]
        if all(name in self._ready for _, name in chosen):
            self._shares = [(self._revisions[name], each.percent) for each, name in chosen if each.percent]
            self._tags = {each.tag: self._revisions[name] for each, name in chosen if each.tag}
        used = {self._latest, *(revision for revision, _ in self._shares), *self._tags.values()}
        for revision in self._revisions.values():
            revision.come_back() if revision in used else revision.retire()
        self._forget([name for name, revision in self._revisions.items() if revision not in used])

    def _forget(self, unused: list[str]) -> None:
        for name in unused[:-KEPT]:
            if not self._revisions[name].status()["replicas"]:
                del self._revisions[name]


def revision_name(service: Service, number: int = 1) -> str:
    """What the revision of a Service's template is called; `number` counts its templates."""
    return service.revision_name or f"{service.name}-{number:05}"


def first_missing(service: Service) -> list[Problem]:
    """As `Served.missing`, for a Service that isn't there yet."""
    return _missing(service, {revision_name(service)})


def _missing(service: Service, names: set[str]) -> list[Problem]:
    there = ", ".join(sorted(names))
    return [
        Problem(target.where, "spec.traffic", f"there is no revision {target.revision}; there are: {there}")
        for target in service.traffic
        if target.revision is not None and target.revision not in names
    ]

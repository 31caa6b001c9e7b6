"""A cluster by kubectl and kn, whichever programs these are and however they find it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .errors import Failed, Unfit
from .objects import Identity, Manifest, identity, is_function, shown

MANAGER = "hadal-deploy"
CALL_S = 120.0
AT_ONCE = 4
"""Calls of kubectl and kn beside each other; each is a process."""
KNATIVES_OWN = "serving.knative.dev/"
"""The annotations of a Service that Knative writes."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The two programs, each with the words that choose the cluster."""

    kubectl: tuple[str, ...] = ("kubectl",)
    kn: tuple[str, ...] = ("kn",)


@dataclass(frozen=True, slots=True)
class Said:
    """What a program said."""

    status: int
    out: str
    err: str

    @property
    def trouble(self) -> str:
        """Its complaint, without warnings."""
        lines = [line for line in self.err.splitlines() if not line.startswith("Warning: ")]
        return "\n".join(lines).strip() or f"exit status {self.status}"


Run = Callable[[Sequence[str], str | None, float], Said]
"""Runs words with a text on standard input, for so many seconds at most."""


class Cluster:
    """What a deployment does with a cluster."""

    def __init__(self, tools: Tools, run: Run | None = None) -> None:
        self.tools = tools
        self._run = run or run_program
        self._kinds: dict[str, set[str]] = {}

    def ask(self, *words: str, text: str | None = None) -> Said:
        """What kubectl says; a Secret goes in by `text`, its standard input, and never by a word.

        Raises:
            Failed: it doesn't answer.
        """
        return self._run((*self.tools.kubectl, *words), text, CALL_S)

    def read(self, *words: str, text: str | None = None) -> Any:
        """Its answer as JSON; None where it refuses."""
        said = self.ask(*words, text=text)
        return json.loads(said.out) if said.status == 0 and said.out.strip() else None

    def kinds(self, version: str) -> set[str]:
        """The kinds of an API version that it knows."""
        if version not in self._kinds:
            path = f"/apis/{version}" if "/" in version else f"/api/{version}"
            served = self.read("get", "--raw", path) or {}
            self._kinds[version] = {each["kind"] for each in served.get("resources", ())}
        return self._kinds[version]

    def rendered(self, overlay: Path) -> list[Manifest]:
        """The overlay's objects; no cluster is asked. `Unfit`."""
        said = self.ask("kustomize", str(overlay))
        if said.status:
            raise Unfit(f"{overlay} can't be rendered: {said.trouble}")
        return [each for each in yaml.safe_load_all(said.out) if each]

    def known(self, manifests: Sequence[Manifest]) -> list[Manifest]:
        """Those of the objects whose kinds it knows."""
        return [each for each in manifests if each["kind"] in self.kinds(each["apiVersion"])]

    def live(self, manifests: Sequence[Manifest]) -> dict[Identity, Manifest]:
        """Those of the objects that are there, as they are now. `Failed`."""
        if not manifests:
            return {}
        said = self.ask("get", "--ignore-not-found", "-o", "json", "-f", "-", text=as_list(manifests))
        if said.status:
            raise Failed(f"kubectl get: {said.trouble}")
        found = json.loads(said.out) if said.out.strip() else {"items": []}
        return {identity(each): each for each in found.get("items", [found])}

    def apply(self, manifests: Sequence[Manifest]) -> None:
        """Create or change objects, all but Knative Services. `Failed`."""
        if manifests:
            self._must("apply", *_OURS, "-f", "-", text=as_list(manifests), about=manifests)

    def tried(self, manifest: Manifest, live: Manifest | None) -> tuple[Manifest | None, str]:
        """An object as it would be after it was applied, or None and why it would be refused.

        A Knative Service that is there is replaced: what kn leaves out goes away as well. `live` is the
        object as it is now.
        """
        words: tuple[str, ...] = ("apply", *_OURS)
        if live is not None and is_function(manifest):
            words, manifest = ("replace",), _with_knatives_own(manifest, live)
        said = self.ask(*words, "--dry-run=server", "-o", "json", "-f", "-", text=json.dumps(manifest))
        return (json.loads(said.out), "") if said.status == 0 else (None, said.trouble)

    def apply_service(self, manifest: Manifest) -> None:
        """Create or change a Knative Service, and don't wait for it. `Failed`."""
        name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
        words = ("service", "apply", name, "--namespace", namespace, "--no-wait", "-f", "/dev/stdin")
        said = self._run((*self.tools.kn, *words), json.dumps(manifest), CALL_S)
        if said.status:
            raise Failed(f"kn service apply {name}: {said.trouble or said.out.strip()}")

    def delete(self, manifests: Sequence[Manifest], within_s: int) -> None:
        """Delete objects and wait until they are gone. `Failed`."""
        if manifests:
            words = ("delete", "--ignore-not-found", f"--timeout={within_s}s", "-f", "-")
            self._must(*words, text=as_list(manifests), about=manifests, within_s=within_s + CALL_S)

    def _must(self, *words: str, text: str, about: Sequence[Manifest], within_s: float = CALL_S) -> None:
        said = self._run((*self.tools.kubectl, *words), text, within_s)
        if said.status:
            names = ", ".join(shown(each) for each in about)
            raise Failed(f"kubectl {words[0]} ({names}): {said.trouble}")


_OURS = ("--server-side", "--force-conflicts", f"--field-manager={MANAGER}")


def as_list(manifests: Sequence[Mapping[str, Any]]) -> str:
    """Several objects as one document."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})


def _with_knatives_own(service: Manifest, live: Manifest) -> Manifest:
    """The Service with who made it, which Knative writes beside it and lets nobody take away."""
    there = live["metadata"].get("annotations", {})
    own = {name: value for name, value in there.items() if name.startswith(KNATIVES_OWN)}
    metadata = service["metadata"]
    return {**service, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), **own}}}


def run_program(words: Sequence[str], text: str | None, within_s: float = CALL_S) -> Said:
    """A program with a text as its input. `Unfit` where it isn't there, `Failed` where it hangs."""
    try:
        done = subprocess.run(
            words, check=False, input=text or "", capture_output=True, text=True, timeout=within_s
        )
    except FileNotFoundError:
        raise Unfit(f"there is no {words[0]}; install it and put it on the PATH") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"{' '.join(words[:3])} … didn't end within {within_s:.0f} s") from None
    return Said(done.returncode, done.stdout, done.stderr)

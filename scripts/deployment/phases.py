"""The deployment itself: one phase after the other, each of which may be run again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from . import objects as phases
from .cluster import AT_ONCE, Cluster
from .credentials import Credentials
from .errors import Failed, Unfit
from .explanation import last_words
from .first_use import FirstUse
from .images import marked, replaced, tagged
from .machine import Machines
from .objects import Manifest, identity, namespace_of, of_phase, shown
from .pods import refused_pods
from .progress import Progress
from .readiness import failed_revision, wait_until_ready
from .requirements import Missing, survey
from .traffic import ALL, NEWEST, has_canary, targets, with_traffic


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be deployed, and how.

    Attributes:
        images: others in the places of the overlay's, by name.
        canary_percent: the share of requests that changed Services' new revisions get; 100: all.
        ingress: where the front door is; None: through the API server.
    """

    overlay: Path
    images: Mapping[str, str] = field(default_factory=dict)
    canary_percent: int = ALL
    ingress: str | None = None


class Deployer:
    """An overlay on its way to a cluster."""

    def __init__(self, cluster: Cluster, machines: Machines, wish: Wish, progress: Progress) -> None:
        self._cluster = cluster
        self._machines = machines
        self._wish = wish
        self._progress = progress
        self.objects: Sequence[Manifest] = replaced(cluster.rendered(wish.overlay), wish.images)
        self.namespace = namespace_of(self.objects)
        self._credentials = Credentials(cluster, self.namespace, self.objects)

    def deploy(self, key_made: Callable[[str], None]) -> None:
        """All phases; the first API key is told at once, for it can't be shown again.

        Raises:
            Unfit: the cluster lacks something; nothing has been changed.
            Failed: a phase failed; what is done stays.
        """
        with self._progress.phase("images, volumes, and what the cluster has"):
            self._machines.prepare(self.objects, self._progress.tell)
            self._check()
        with self._progress.phase(phases.NAMESPACE):
            self._namespace()
        with self._progress.phase(phases.STORES):
            self._applied(phases.STORES)
        with self._progress.phase(phases.BROKER):
            self._applied(phases.BROKER)
            # A bound function has the Broker's address from its first revision on.
            self._cluster.apply([each for each in self.objects if each["kind"] == "SinkBinding"])
        with self._progress.phase(phases.FUNCTIONS):
            self._functions()
        with self._progress.phase(phases.TRIGGERS):
            self._applied(phases.TRIGGERS)
        self._first_use(key_made)

    def use(self) -> FirstUse:
        """What can be asked of it once its functions are ready."""
        return FirstUse(self._cluster, self.namespace, self._credentials, self._wish.ingress)

    def _check(self) -> None:
        """Whether the cluster has what is needed. `Unfit` with all that it hasn't."""
        there = self._machines.images(self._cluster)
        self.objects = marked(tagged(self.objects, there), there)
        what, missing = survey(self._cluster, self.objects, there)
        self._progress.tell(what)
        missing += self._credentials.not_ours()
        if missing:
            raise Unfit(f"the cluster lacks:\n{_listed(missing)}")

    def _namespace(self) -> None:
        self._cluster.apply(of_phase(self.objects, phases.NAMESPACE))
        for made in self._credentials.make():
            self._progress.tell(f"made the Secret {made}")
        if refused := refused_pods(self._cluster, self.objects):
            raise Failed("these pods may not come in:\n" + "\n".join(f"    {line}" for line in refused))

    def _applied(self, phase: str) -> None:
        chosen = of_phase(self.objects, phase)
        self._cluster.apply(chosen)
        wait_until_ready(self._cluster, chosen, self._tell_ready)

    def _functions(self) -> None:
        services = of_phase(self.objects, phases.FUNCTIONS)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            live = self._cluster.live(services)
            shared = list(pool.map(lambda each: self._with_traffic(each, live.get(identity(each))), services))
            list(pool.map(self._cluster.apply_service, shared))
        self._begin_anew(services)
        wait_until_ready(self._cluster, shared, self._tell_ready)

    def _with_traffic(self, service: Manifest, live: Manifest | None) -> Manifest:
        percent = self._wish.canary_percent
        if percent == ALL or live is None:
            if has_canary(live):
                self._progress.tell(f"{shown(service)}: the canary gets everything")
            return with_traffic(service, NEWEST)
        wanted = targets(live, is_changed=makes_a_revision(self._cluster, service, live), percent=percent)
        if wanted != NEWEST:
            rest = wanted[0]["revisionName"]
            self._progress.tell(f"{shown(service)}: {percent} % to the canary, the rest stays with {rest}")
        return with_traffic(service, wanted)

    def _begin_anew(self, services: Sequence[Manifest]) -> None:
        """Make revisions that failed before once more: Knative doesn't try them again by itself."""
        for service in self._cluster.live(services).values():
            if revision := failed_revision(service):
                self._progress.tell(f"{shown(service)}: {revision} had failed, and is made once more")
                named = ("revision.serving.knative.dev", revision, "-n", self.namespace)
                self._cluster.ask("delete", *named, "--ignore-not-found", "--wait=false")

    def _first_use(self, key_made: Callable[[str], None]) -> None:
        use = self.use()
        try:
            with self._progress.phase("first API key"):
                if key := use.first_key():
                    key_made(key)
            with self._progress.phase("smoke test through the front door"):
                use.smoke_test(self._progress.tell)
        except Failed as failure:
            raise Failed(f"{failure}\n{last_words(self._cluster, self.namespace)}") from None

    def _tell_ready(self, manifest: Manifest, after_s: float) -> None:
        self._progress.tell(f"{shown(manifest)} is ready ({after_s:.1f} s)")


def makes_a_revision(cluster: Cluster, service: Manifest, live: Manifest) -> bool:
    """Whether applying a Service changes its template, as the API server says. `Failed`."""
    tried, refusal = cluster.tried(service, live)
    if tried is None:
        raise Failed(f"{shown(service)} may not come in: {refusal}")
    return bool(tried["spec"]["template"] != live["spec"]["template"])


def _listed(missing: Sequence[Missing]) -> str:
    return "\n".join(f"  - {each.what}\n      {each.cure}" for each in missing)

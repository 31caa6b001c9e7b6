"""What the manifests say, read and checked: the words that the rest of the runner speaks.

Times are seconds, `where` is the line of the manifest, and None means that the manifest doesn't say. Objects
are equal where they say the same, wherever they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal


@dataclass(frozen=True, slots=True, order=True)
class SourceLocation:
    """A place in a manifest; lines count from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where events go: an object, a URI, or a URI relative to the object's address (Knative's duck type)."""

    where: SourceLocation = field(compare=False)
    kind: Literal["Service", "Broker"] | None = None
    namespace: str = ""
    name: str = ""
    uri: str | None = None


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A key of a Secret that the runner keeps."""

    secret: str
    key: str


@dataclass(frozen=True, slots=True)
class EnvVar:
    """A variable of a container: its text (`$(NAME)` not yet expanded), or the secret that holds it."""

    name: str
    value: str | SecretKey
    where: SourceLocation = field(compare=False)


@dataclass(frozen=True, slots=True)
class Probe:
    """A readiness, liveness or startup probe: a TCP connection, or a GET where there is a path."""

    http_path: str | None = None
    http_headers: tuple[tuple[str, str], ...] = ()
    initial_delay_s: float = 0.0
    period_s: float = 0.0
    timeout_s: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3


@dataclass(frozen=True, slots=True)
class Scaling:
    """The autoscaling annotations of a revision, with Knative's defaults (knative.md, Serving)."""

    metric: Literal["concurrency", "rps"] = "concurrency"
    target: float = 100.0
    """Requests at once (or a second) that one replica should have, before utilisation."""
    utilisation: float = 0.7
    min_scale: int = 0
    max_scale: int | None = None
    initial_scale: int = 0
    """Replicas at the start; on a cluster the default is 1, here nothing runs before it is asked for."""
    activation_scale: int = 1
    scale_down_delay_s: float = 0.0
    retention_s: float = 0.0
    window_s: float = 60.0
    panic_window: float = 0.1
    """As a part of `window_s`."""
    panic_threshold: float = 2.0
    """Wanted over ready replicas from which it panics."""


@dataclass(frozen=True, slots=True)
class TrafficTarget:
    """A share of a Service's requests; with a `tag`, also an address of its own."""

    where: SourceLocation = field(compare=False)
    revision: str | None = None
    """None: the latest that is ready."""
    percent: int = 0
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """A Knative Service: a process, how many of it, and for how long it may answer."""

    name: str
    namespace: str
    where: SourceLocation = field(compare=False)
    image: str
    command: tuple[str, ...]
    """With the arguments; `$(NAME)` not yet expanded."""
    env: tuple[EnvVar, ...] = ()
    scaling: Scaling = Scaling()
    container_concurrency: int = 0
    """Requests at once that one replica is ever given; 0 is any number."""
    timeout_s: float = 300.0
    response_start_timeout_s: float = 300.0
    idle_timeout_s: float | None = None
    progress_deadline_s: float = 600.0
    cluster_local: bool = False
    readiness: Probe = Probe()
    liveness: Probe | None = None
    startup: Probe | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    revision_name: str | None = None
    """What the template calls the revision that is made of it; None: Service and number."""
    traffic: tuple[TrafficTarget, ...] = ()
    """Empty: all of it to the latest revision."""

    @property
    def host(self) -> str:
        """The name under which others call it."""
        return f"{self.name}.{self.namespace}.svc.cluster.local"

    @property
    def template(self) -> Service:
        """What a revision is made of: without what can change and leave the processes as they are."""
        return replace(self, cluster_local=False, labels={}, traffic=())


@dataclass(frozen=True, slots=True)
class Delivery:
    """How events are delivered. None: as the Broker says, else as clusters do (10, exponential, 0.2 s)."""

    retry: int | None = None
    backoff_policy: Literal["linear", "exponential"] | None = None
    backoff_delay_s: float | None = None
    timeout_s: float | None = None
    dead_letter_sink: Destination | None = None


@dataclass(frozen=True, slots=True)
class Broker:
    """An event broker; `klass` is the annotation `eventing.knative.dev/broker.class`."""

    name: str
    namespace: str
    where: SourceLocation = field(compare=False)
    klass: str
    delivery: Delivery = Delivery()


@dataclass(frozen=True, slots=True)
class Filter:
    """One element of `spec.filters`: a dialect and what stands under it, as plain values."""

    dialect: str
    argument: Any
    """A map of strings (exact, prefix, suffix), Filters (all, any), a Filter (not), or text (cesql)."""
    where: SourceLocation = field(compare=False)
    path: str
    """The field in the manifest, such as `spec.filters[0].any[1].exact`."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """Which events of a Broker go where. `filters` replaces `filter_attributes` where both stand."""

    name: str
    namespace: str
    where: SourceLocation = field(compare=False)
    broker: str
    subscriber: Destination
    filter_attributes: Mapping[str, str] | None = None
    filters: tuple[Filter, ...] | None = None
    delivery: Delivery = Delivery()
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class PingSource:
    """An event on a cron schedule (five fields, or six with seconds first, or `@hourly` and the like)."""

    name: str
    namespace: str
    where: SourceLocation = field(compare=False)
    schedule: str
    sink: Destination
    timezone: str | None = None
    content_type: str | None = None
    data: bytes | None = None
    ce_overrides: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SinkBinding:
    """Puts a sink's address into `K_SINK` of the Services that its subject names or selects."""

    name: str
    namespace: str
    where: SourceLocation = field(compare=False)
    sink: Destination
    subject_name: str | None = None
    subject_labels: Mapping[str, str] = field(default_factory=dict)
    ce_overrides: Mapping[str, str] = field(default_factory=dict)

    def binds(self, service: Service) -> bool:
        """Whether `service` is a subject."""
        if service.namespace != self.namespace:
            return False
        if self.subject_name is not None:
            return service.name == self.subject_name
        return all(service.labels.get(name) == value for name, value in self.subject_labels.items())


@dataclass(frozen=True, slots=True)
class Manifests:
    """Everything that an overlay describes and the runner does."""

    services: tuple[Service, ...] = ()
    brokers: tuple[Broker, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    ping_sources: tuple[PingSource, ...] = ()
    sink_bindings: tuple[SinkBinding, ...] = ()

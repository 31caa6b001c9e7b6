"""Manifests that are right, and what they mean."""

from __future__ import annotations

from pathlib import Path

from scripts.local.eventing import problems
from scripts.local.machine import IMAGES as REAL_IMAGES
from scripts.local.manifests import load
from scripts.local.manifests.changes import changes
from scripts.local.manifests.model import Delivery, EnvVar, Filter, Probe, Scaling, SecretKey, TrafficTarget
from tests.scripts.local.manifests.overlay import BROKER, SERVICE, read

ROOT = Path(__file__).parents[4]

FULL = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: blue, shape: round}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: app
  labels: {networking.knative.dev/visibility: cluster-local, tier: back}
spec:
  template:
    metadata:
      annotations:
        autoscaling.knative.dev/min-scale: "1"
        autoscaling.knative.dev/max-scale: "4"
        autoscaling.knative.dev/initial-scale: "2"
        autoscaling.knative.dev/activation-scale: "3"
        autoscaling.knative.dev/target: "8"
        autoscaling.knative.dev/target-utilization-percentage: "50"
        autoscaling.knative.dev/window: 30s
        autoscaling.knative.dev/scale-down-delay: 1m
        autoscaling.knative.dev/scale-to-zero-pod-retention-period: 1m30s
        autoscaling.knative.dev/panic-window-percentage: "20.0"
        autoscaling.knative.dev/panic-threshold-percentage: "150.0"
        serving.knative.dev/progress-deadline: 5m
    spec:
      containerConcurrency: 10
      timeoutSeconds: 120
      responseStartTimeoutSeconds: 60
      idleTimeoutSeconds: 20
      serviceAccountName: app
      containers:
        - image: dev.local/app:v1
          command: [run]
          args: [--fast]
          ports: [{containerPort: 8080, name: http1}]
          envFrom:
            - {configMapRef: {name: settings}, prefix: THE_}
          env:
            - {name: PLAIN, value: "1"}
            - {name: THE_SHAPE, valueFrom: {configMapKeyRef: {name: settings, key: shape}}}
            - {name: HIDDEN, valueFrom: {secretKeyRef: {name: keys, key: door}}}
          readinessProbe:
            httpGet: {path: /ready, httpHeaders: [{name: X-Probe, value: "yes"}]}
            initialDelaySeconds: 1
            successThreshold: 2
          livenessProbe: {tcpSocket: {port: 8080}, periodSeconds: 5, failureThreshold: 2}
          resources: {limits: {nvidia.com/gpu: "1"}}
  traffic: [{latestRevision: true, percent: 100}]
"""


def test_a_service_is_read_with_everything_it_says(tmp_path: Path) -> None:
    (service,) = read(tmp_path, {"app.yaml": FULL}).services
    assert (service.name, service.namespace, service.host) == ("app", "hadal", "app.hadal.svc.cluster.local")
    assert (service.where.file, service.where.line) == ("app.yaml", 6)
    assert (service.image, service.command) == ("dev.local/app", ("run", "--fast"))
    assert service.cluster_local
    assert service.labels["tier"] == "back"
    assert service.scaling == Scaling(
        target=8.0,
        utilisation=0.5,
        min_scale=1,
        max_scale=4,
        initial_scale=2,
        activation_scale=3,
        scale_down_delay_s=60.0,
        retention_s=90.0,
        window_s=30.0,
        panic_window=0.2,
        panic_threshold=1.5,
    )
    assert (service.container_concurrency, service.timeout_s, service.progress_deadline_s) == (10, 120, 300)
    assert (service.response_start_timeout_s, service.idle_timeout_s) == (60, 20)
    assert service.readiness == Probe("/ready", (("X-Probe", "yes"),), initial_delay_s=1, success_threshold=2)
    assert service.liveness == Probe(period_s=5, failure_threshold=2)
    assert {variable.name: variable.value for variable in service.env} == {
        "THE_colour": "blue",
        "THE_shape": "round",
        "PLAIN": "1",
        "THE_SHAPE": "round",
        "HIDDEN": SecretKey("keys", "door"),
    }


def test_a_service_that_says_nothing_has_knative_s_defaults(tmp_path: Path) -> None:
    (service,) = read(tmp_path, {"app.yaml": SERVICE}).services
    assert service.scaling == Scaling()
    assert (service.timeout_s, service.container_concurrency, service.idle_timeout_s) == (300, 0, None)
    assert service.readiness == Probe()
    assert not service.cluster_local


def test_the_target_is_what_a_replica_takes_at_once_where_nothing_else_is_said(tmp_path: Path) -> None:
    limited = SERVICE.replace("containers:", "containerConcurrency: 5\n      containers:")
    (service,) = read(tmp_path, {"app.yaml": limited}).services
    assert service.scaling.target == 5.0


def test_a_later_variable_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    text = SERVICE + "          env: [{name: A, value: '1'}, {name: A, value: '2'}]\n"
    (service,) = read(tmp_path, {"app.yaml": text}).services
    assert [(each.name, each.value) for each in service.env] == [("A", "2")]


EVENTS = """\
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata:
  name: all
  annotations: {kafka.eventing.knative.dev/delivery.order: ordered}
spec:
  broker: default
  filter: {attributes: {type: a.b, source: ""}}
  filters:
    - any:
        - {prefix: {type: a.}}
        - not: {exact: {source: /x}}
  subscriber:
    ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: app}
    uri: /hook
  delivery:
    retry: 3
    backoffPolicy: linear
    backoffDelay: PT0.5S
    timeout: PT1M30S
    deadLetterSink: {uri: "http://127.0.0.1:9/dead"}
---
apiVersion: sources.knative.dev/v1
kind: PingSource
metadata: {name: tick}
spec:
  schedule: "*/5 * * * *"
  timezone: Europe/Berlin
  contentType: application/json
  data: '{"a": 1}'
  ceOverrides: {extensions: {colour: blue}}
  sink: {ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: default}}
---
apiVersion: sources.knative.dev/v1
kind: SinkBinding
metadata: {name: bind}
spec:
  subject: {apiVersion: serving.knative.dev/v1, kind: Service, name: app}
  sink: {ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: default}}
"""


def test_brokers_triggers_sources_and_bindings_are_read(tmp_path: Path) -> None:
    files = {"app.yaml": SERVICE, "broker.yaml": BROKER, "events.yaml": EVENTS}
    manifests = read(tmp_path, files)
    (broker,) = manifests.brokers
    assert (broker.name, broker.namespace, broker.klass) == ("default", "hadal", "Kafka")
    (trigger,) = manifests.triggers
    assert trigger.ordered
    assert trigger.filter_attributes == {"type": "a.b", "source": ""}
    assert trigger.filters is not None
    (one,) = trigger.filters
    assert (one.dialect, one.path, one.where.line) == ("any", "spec.filters[0].any", 10)
    prefix, negated = one.argument
    assert (prefix.dialect, prefix.argument) == ("prefix", {"type": "a."})
    assert isinstance(negated.argument, Filter)
    assert (negated.argument.path, negated.argument.where.line) == ("spec.filters[0].any[1].not.exact", 12)
    assert (trigger.subscriber.kind, trigger.subscriber.name) == ("Service", "app")
    assert (trigger.subscriber.namespace, trigger.subscriber.uri) == ("hadal", "/hook")
    sink = trigger.delivery.dead_letter_sink
    assert sink is not None
    assert sink.uri == "http://127.0.0.1:9/dead"
    assert trigger.delivery == Delivery(3, "linear", 0.5, 90.0, sink)
    (source,) = manifests.ping_sources
    assert (source.schedule, source.timezone, source.data) == ("*/5 * * * *", "Europe/Berlin", b'{"a": 1}')
    assert source.ce_overrides == {"colour": "blue"}
    (binding,) = manifests.sink_bindings
    assert binding.binds(manifests.services[0])


def test_kinds_of_a_cluster_that_mean_nothing_here_are_passed_over(tmp_path: Path) -> None:
    account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: app}\n"
    assert read(tmp_path, {"account.yaml": account, "app.yaml": SERVICE}).services


def test_the_project_s_own_overlay_can_be_run_here() -> None:
    manifests = load(ROOT / "knative/overlays/local", ROOT, images=REAL_IMAGES, check=problems)
    assert {service.name for service in manifests.services} >= {"gateway", "auth", "chat", "inference"}
    chat = next(service for service in manifests.services if service.name == "chat")
    assert EnvVar("FUNCTION_TARGET", "chat", chat.env[1].where) in chat.env


def test_traffic_is_read_with_its_defaults(tmp_path: Path) -> None:
    traffic = "[{revisionName: app-00001, percent: 90}, {percent: 10, tag: new}, {tag: newest}]"
    (service,) = read(tmp_path, {"app.yaml": SERVICE + f"  traffic: {traffic}\n"}).services
    assert service.traffic == (
        TrafficTarget(service.where, "app-00001", 90),
        TrafficTarget(service.where, None, 10, "new"),
        TrafficTarget(service.where, None, 0, "newest"),
    )


def test_objects_are_the_same_wherever_they_stand_and_a_change_is_told(tmp_path: Path) -> None:
    for folder in ("before", "after"):
        (tmp_path / folder).mkdir()
    before = read(tmp_path / "before", {"app.yaml": SERVICE + "---\n" + BROKER})
    after = read(
        tmp_path / "after", {"app.yaml": "# moved\n" + BROKER.replace("Kafka", "MTChannelBasedBroker")}
    )
    assert changes(before, before) == {}
    assert changes(before, after) == {"Broker hadal/default": "changed", "Service hadal/app": "removed"}
    assert changes(after, before)["Service hadal/app"] == "added"

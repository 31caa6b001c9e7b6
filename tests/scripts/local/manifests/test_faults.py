"""Manifests that are wrong: each fault with its file, its line, its field, and what is supported."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scripts.local.manifests.overlay import BROKER, SERVICE, faults

TRIGGER = """\
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata:
  name: all
spec:
  broker: default
  subscriber:
    ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: app}
"""
PING = """\
apiVersion: sources.knative.dev/v1
kind: PingSource
metadata:
  name: tick
spec:
  schedule: "* * * * *"
  sink:
    ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: default}
"""
BINDING = """\
apiVersion: sources.knative.dev/v1
kind: SinkBinding
metadata:
  name: bind
spec:
  subject: {apiVersion: serving.knative.dev/v1, kind: Service, name: app}
  sink:
    ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: default}
"""


def pod(field: str) -> str:
    """A Service with one more field in the Pod, on line 8."""
    return SERVICE.replace("      containers:\n", f"      {field}\n      containers:\n")


def container(field: str) -> str:
    """A Service with one more field in the container, on line 11."""
    return SERVICE + f"          {field}\n"


def annotated(name: str, value: str) -> str:
    """A Service with an annotation of the revision, on line 9."""
    metadata = f"    metadata:\n      annotations:\n        {name}: {value}\n    spec:\n"
    return SERVICE.replace("    spec:\n", metadata, 1)


def scaled(name: str, value: str) -> str:
    """A Service with an autoscaling annotation, on line 9."""
    return annotated(f"autoscaling.knative.dev/{name}", value)


POD = "spec.template.spec"
BOX = "spec.template.spec.containers[0]"
AUTO = "spec.template.metadata.annotations[autoscaling.knative.dev/"

WRONG_SERVICES = [
    (pod("timeoutSeconds: 601"), f"app.yaml:8: {POD}.timeoutSeconds: 601 is out of range: 0 to 600"),
    (
        pod("timeoutSeconds: 5m"),
        f"app.yaml:8: {POD}.timeoutSeconds: must be a whole number, not the text '5m'",
    ),
    (
        pod("responseStartTimeoutSeconds: 301"),
        f"app.yaml:8: {POD}.responseStartTimeoutSeconds: 301 is out of",
    ),
    (
        pod("containerConcurrency: 1001"),
        f"app.yaml:8: {POD}.containerConcurrency: 1001 is out of range: 0 to 1000",
    ),
    (pod("containerConcurrency: true"), f"app.yaml:8: {POD}.containerConcurrency: must be a whole number"),
    (pod("hostNetwork: true"), f"app.yaml:8: {POD}.hostNetwork: is not supported here; supported fields are"),
    (pod("initContainers: [{name: a}]"), f"app.yaml:8: {POD}.initContainers: is not supported here"),
    (
        pod("volumes: [{name: a, configMap: {name: b}}]"),
        f"app.yaml:8: {POD}.volumes[0].configMap: is not supp",
    ),
    (container("command: [again]"), "app.yaml:11: command: stands twice (first on line 10)"),
    (container("image: x"), "app.yaml:11: image: stands twice"),
    (container("lifecycle: {}"), f"app.yaml:11: {BOX}.lifecycle: is not supported here"),
    (container("workingDir: /app"), f"app.yaml:11: {BOX}.workingDir: is not supported here"),
    (
        container("ports: [{containerPort: 8012}]"),
        f"app.yaml:11: {BOX}.ports[0].containerPort: 8012 is reserved",
    ),
    (container("ports: [{name: h2c}]"), f"app.yaml:11: {BOX}.ports[0].name: 'h2c' is not supported here"),
    (container("ports: [{}, {}]"), f"app.yaml:11: {BOX}.ports: more than one port is set"),
    (container("env: [{name: PORT, value: '1'}]"), f"app.yaml:11: {BOX}.env[0].name: PORT is reserved"),
    (
        container("env: [{name: A, value: 1}]"),
        f"app.yaml:11: {BOX}.env[0].value: must be text, not the number 1",
    ),
    (container("env: [{value: a}]"), f"app.yaml:11: {BOX}.env[0].name: is missing"),
    (
        container("env: [{name: A, valueFrom: {fieldRef: {}}}]"),
        f"app.yaml:11: {BOX}.env[0].valueFrom.fieldRef: is",
    ),
    (
        container("env: [{name: A, valueFrom: {configMapKeyRef: {name: b, key: c}}}]"),
        f"app.yaml:11: {BOX}.env[0].valueFrom.configMapKeyRef.key: c is in no ConfigMap b",
    ),
    (
        container("readinessProbe: {exec: {command: [a]}}"),
        f"app.yaml:11: {BOX}.readinessProbe.exec: is not supp",
    ),
    (
        container("readinessProbe: {httpGet: {scheme: HTTPS}}"),
        f"app.yaml:11: {BOX}.readinessProbe.httpGet.scheme",
    ),
    (
        container("readinessProbe: {failureThreshold: 2}"),
        f"app.yaml:11: {BOX}.readinessProbe.failureThreshold: is",
    ),
    (
        container("livenessProbe: {httpGet: {}, tcpSocket: {}}"),
        f"app.yaml:11: {BOX}.livenessProbe: has httpGet and",
    ),
    (
        container("volumeMounts: [{name: a, mountPath: /a}]"),
        f"app.yaml:11: {BOX}.volumeMounts[0].name: has no vol",
    ),
    (scaled("min-scale", '"-1"'), f"app.yaml:9: {AUTO}min-scale]: -1 is out of range: at least 0"),
    (scaled("min-scale", '"one"'), f"app.yaml:9: {AUTO}min-scale]: 'one' is no whole number"),
    (
        scaled("min-scale", "1"),
        f"app.yaml:9: {AUTO}min-scale]: must be text, not the number 1: put it into quotes",
    ),
    (scaled("target", '"0.001"'), f"app.yaml:9: {AUTO}target]: 0.001 is out of range: at least 0.01"),
    (
        scaled("target-utilization-percentage", '"0"'),
        f"app.yaml:9: {AUTO}target-utilization-percentage]: 0 is out",
    ),
    (scaled("window", "5s"), f"app.yaml:9: {AUTO}window]: 5s is out of range: 6s to 1h"),
    (
        scaled("window", "PT1M"),
        f"app.yaml:9: {AUTO}window]: 'PT1M' is no duration; write it as 90s, 15m or 1h30m",
    ),
    (scaled("scale-down-delay", "2h"), f"app.yaml:9: {AUTO}scale-down-delay]: 2h is out of range: 0s to 1h"),
    (scaled("scale-down-delay", "1.5s"), f"app.yaml:9: {AUTO}scale-down-delay]: 1.5s must be whole seconds"),
    (
        scaled("activation-scale", '"1"'),
        f"app.yaml:9: {AUTO}activation-scale]: 1 is out of range: at least 2",
    ),
    (
        scaled("panic-threshold-percentage", '"100"'),
        f"app.yaml:9: {AUTO}panic-threshold-percentage]: 100 is out",
    ),
    (
        scaled("metric", "cpu"),
        f"app.yaml:9: {AUTO}metric]: 'cpu' is not supported; the KPA knows concurrency and rps",
    ),
    (
        scaled("class", "hpa.autoscaling.knative.dev"),
        f"app.yaml:9: {AUTO}class]: 'hpa.autoscaling.knative.dev' is",
    ),
    (
        scaled("minScale", '"1"'),
        f"app.yaml:9: {AUTO}minScale]: is not known; there are class, metric, target",
    ),
    (
        annotated("serving.knative.dev/progress-deadline", "-5s"),
        "app.yaml:9: spec.template.metadata.annotations[serving.knative.dev/progress-deadline]: -5s must be",
    ),
    (
        SERVICE.replace(
            "  name: app\n", "  name: app\n  annotations: {autoscaling.knative.dev/min-scale: '1'}\n"
        ),
        "app.yaml:5: metadata.annotations[autoscaling.knative.dev/min-scale]: has no effect here",
    ),
    (
        SERVICE.replace("name: app", "name: App"),
        "app.yaml:4: metadata.name: 'App' is no DNS label (RFC 1035)",
    ),
    (
        SERVICE.replace("name: app", "name: 1app"),
        "app.yaml:4: metadata.name: '1app' is no DNS label (RFC 1035)",
    ),
    (SERVICE.replace("name: app", f"name: {'a' * 64}"), "app.yaml:4: metadata.name: 'aaaa"),
    (
        SERVICE.replace(
            "  name: app\n", "  name: app\n  labels: {networking.knative.dev/visibility: here}\n"
        ),
        "app.yaml:5: metadata.labels[networking.knative.dev/visibility]: 'here' is not known",
    ),
    (
        SERVICE.replace("dev.local/app", "docker.io/app"),
        f"app.yaml:9: {BOX}.image: docker.io/app: this machine has",
    ),
    (SERVICE.replace("          command: [run, me]\n", ""), f"app.yaml:9: {BOX}.command: is missing"),
    (SERVICE.replace("command: [run, me]", "command: run me"), f"app.yaml:10: {BOX}.command: must be a list"),
    (
        SERVICE + "        - {image: dev.local/app, command: [two]}\n",
        f"app.yaml:8: {POD}.containers: 2 containers; exactly one is supported here",
    ),
    (SERVICE + "  traffic: [{percent: 50}]\n", "app.yaml:11: spec.traffic: the shares make 50 %"),
    (
        SERVICE + "  traffic: [{tag: a, percent: 100}, {tag: a}]\n",
        "app.yaml:11: spec.traffic: the tag 'a' stands twice",
    ),
    (
        SERVICE.replace("serving.knative.dev/v1", "serving.knative.dev/v2"),
        "app.yaml:2: kind: serving.knative.dev/v2",
    ),
    (
        SERVICE.replace("kind: Service", "kind: Route"),
        "app.yaml:2: kind: serving.knative.dev/v1 Route is not supp",
    ),
    (
        SERVICE.replace("spec:\n", "speck:\n", 1),
        "app.yaml:5: speck: is not supported here; supported fields are",
    ),
    ("a: [1", "app.yaml:1: not YAML"),
    (
        "a: !!python/object:os.system x",
        "app.yaml:1: the tag tag:yaml.org,2002:python/object:os.system is not supp",
    ),
    ("kind: Service\nmetadata: {name: a}\n", "app.yaml:1: apiVersion: is missing"),
]


@pytest.mark.parametrize(("text", "fault"), WRONG_SERVICES)
def test_a_service_that_cannot_be_honoured_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    found = faults(tmp_path, {"app.yaml": text})
    assert any(line.startswith(fault) for line in found), found


def added(manifest: str, field: str) -> str:
    """A manifest with one more field in its spec, on the line after its last."""
    return manifest + f"  {field}\n"


WRONG_EVENTS = [
    (
        BROKER.replace(": Kafka", ": Rabbit"),
        "metadata.annotations[eventing.knative.dev/broker.class]: 'Rabbit' is",
    ),
    (
        BROKER.replace(": Kafka", ": ''"),
        "metadata.annotations[eventing.knative.dev/broker.class]: is missing",
    ),
    (BROKER + "spec: {delivery: {retry: -1}}\n", "spec.delivery.retry: -1 is out of range: at least 0"),
    (
        BROKER + "spec: {delivery: {backoffPolicy: random}}\n",
        "spec.delivery.backoffPolicy: 'random' is not known",
    ),
    (
        BROKER + "spec: {delivery: {backoffDelay: 1s}}\n",
        "spec.delivery.backoffDelay: '1s' is no ISO 8601 duration",
    ),
    (BROKER + "spec: {delivery: {timeout: PT0S}}\n", "spec.delivery.timeout: PT0S must be more than zero"),
    (
        BROKER + "spec: {delivery: {retryAfterMax: PT1S}}\n",
        "spec.delivery.retryAfterMax: is not supported here",
    ),
    (BROKER + "spec: {delivery: {format: json}}\n", "spec.delivery.format: is not supported here"),
    (TRIGGER.replace("broker: default", "broker: other"), "spec.broker: there is no Broker hadal/other"),
    (TRIGGER.replace("name: app", "name: ghost"), "spec.subscriber: there is no Service hadal/ghost"),
    (
        TRIGGER.replace("kind: Service", "kind: Pod"),
        "spec.subscriber.ref.kind: Pod of serving.knative.dev/v1 is not",
    ),
    (added(TRIGGER, "filters: [{exact: {type: a}, prefix: {type: b}}]"), "spec.filters[0]: has 2 dialects"),
    (added(TRIGGER, "filters: [{like: {type: a}}]"), "spec.filters[0].like: is not known; there are exact"),
    (
        added(TRIGGER, "filters: [{exact: {Type: a}}]"),
        "spec.filters[0].exact.Type: is no name of an attribute",
    ),
    (
        added(TRIGGER, "filter: {attributes: {type: 1}}"),
        "spec.filter.attributes.type: must be text, not the number 1",
    ),
    (
        added(TRIGGER, "delivery: {deadLetterSink: {uri: 'https://a/'}}"),
        "spec.delivery.deadLetterSink.uri: 'https://a/'",
    ),
    (PING.replace('"* * * * *"', '"often"'), "spec.schedule: "),
    (added(PING, "timezone: Moon/Crater"), "spec.timezone: "),
    (added(PING, "contentType: application/json\n  data: '{'"), "spec.data: is not JSON"),
    (added(PING, "data: a\n  dataBase64: YQ=="), "spec.data: stands beside dataBase64"),
    (
        added(PING, "ceOverrides: {extensions: {Bad-Name: a}}"),
        "spec.ceOverrides.extensions: 'Bad-Name' is no name",
    ),
    (BINDING.replace("name: app", "name: ghost"), "spec.subject: there is no such Service"),
    (BINDING.replace("kind: Service", "kind: Deployment"), "spec.subject.kind: only a Service of"),
    (BINDING.replace(", name: app", ""), "spec.subject: needs either name or selector.matchLabels"),
]


@pytest.mark.parametrize(("text", "fault"), WRONG_EVENTS)
def test_an_event_object_that_cannot_be_honoured_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    files = {"app.yaml": SERVICE, "events.yaml": text}
    if "kind: Broker\n" not in text:
        files["broker.yaml"] = BROKER
    found = faults(tmp_path, files)
    assert any(line.startswith("events.yaml:") and f": {fault}" in line for line in found), found
    assert len(found) == 1, found


def test_all_faults_are_told_together_in_the_order_of_the_files(tmp_path: Path) -> None:
    broken = pod("timeoutSeconds: 601").replace("dev.local/app", "docker.io/app")
    found = faults(tmp_path, {"b.yaml": BROKER.replace("Kafka", "Rabbit"), "a.yaml": broken})
    assert [line.partition(": ")[0] for line in found] == ["a.yaml:8", "a.yaml:10", "b.yaml:6"]

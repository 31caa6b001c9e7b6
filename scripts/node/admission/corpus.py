"""Broken and odd manifests: each a sound object with one field changed.

What Knative says to each is written down in `verdicts.json`; the runner must refuse whatever Knative refuses.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .sound import APP, SOUND

ABSENT: Final = object()
"""The value of a field that is taken away."""

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """The sound object of a kind, changed at one place."""

    kind: str
    at: Path
    value: Any

    @property
    def name(self) -> str:
        """The change in words."""
        field = ".".join(str(step) for step in self.at).removeprefix("spec.template.")
        field = field.removeprefix("metadata.annotations.")
        return f"{self.kind} {field} " + ("absent" if self.value is ABSENT else f"= {self.value!r}")

    def manifest(self) -> dict[str, Any]:
        """The object."""
        changed: dict[str, Any] = copy.deepcopy(dict(SOUND[self.kind]))
        place: Any = changed
        for step in self.at[:-1]:
            place = place.setdefault(step, {}) if isinstance(step, str) else place[step]
        if self.value is ABSENT:
            del place[self.at[-1]]
        else:
            place[self.at[-1]] = self.value
        return changed


def _cases(kind: str, changes: Mapping[Path, Sequence[Any]]) -> list[Case]:
    return [Case(kind, at, value) for at, values in changes.items() for value in values]


_TEMPLATE: Path = ("spec", "template", "spec")
_CONTAINER: Path = (*_TEMPLATE, "containers", 0)
_ANNOTATIONS: Path = ("spec", "template", "metadata", "annotations")
_AUTOSCALING = "autoscaling.knative.dev"

_SERVICE: Mapping[Path, Sequence[Any]] = {
    ("metadata", "name"): ["", "App", "a" * 64, "app_1", ABSENT],
    ("metadata", "labels", "networking.knative.dev/visibility"): ["cluster-local", "private"],
    ("spec", "template"): [ABSENT, []],
    ("spec", "tamplate"): [{}],
    ("spec", "traffic"): [
        [{"latestRevision": True, "percent": 100}],
        [{"latestRevision": True, "percent": 90}],
        [{"latestRevision": True, "percent": -1}],
        [{"percent": 100}],
        [],
        {},
        [{"revisionName": "app-00001", "percent": 100}],
        [{"revisionName": "app-00001", "latestRevision": True, "percent": 100}],
        [{"revisionName": "app-00001", "latestRevision": False, "percent": 100}],
        [{"latestRevision": False, "percent": 100}],
        [{"revisionName": "App", "percent": 100}],
        [{"revisionName": "app_1", "percent": 100}],
        [{"revisionName": "-app", "percent": 100}],
        [{"revisionName": "1", "percent": 100}],
        [{"revisionName": "a" * 64, "percent": 100}],
        [{"revisionName": 1, "percent": 100}],
        [{"revisionName": "app-00001", "percent": 90}, {"latestRevision": True, "percent": 10}],
        [{"revisionName": "app-00001", "percent": 90}, {"percent": 20}],
        [{"percent": 101}, {"percent": -1}],
        [{"percent": "100"}],
        [{"percent": 50.5}, {"percent": 49.5}],
        [{"percent": 100}, {"tag": "new"}],
        [{"percent": 100}, {"revisionName": "app-00001", "tag": "old", "percent": 0}],
        [{"percent": 100, "tag": "new"}, {"tag": "new"}],
        [{"percent": 100, "tag": "New"}],
        [{"percent": 100, "tag": "new.er"}],
        [{"percent": 100, "tag": "1st"}],
        [{"percent": 100, "tag": "-new"}],
        [{"percent": 100, "tag": ""}],
        [{"percent": 100, "tag": "a" * 63}],
        [{"percent": 100, "tag": "a" * 64}],
        [{"tag": "new"}],
        [{"percent": 100, "configurationName": "app"}],
        [{"percent": 100, "url": "http://app"}],
        [{"percent": 100, "share": 1}],
    ],
    ("spec", "template", "metadata", "name"): [
        "app-blue",
        "app-00002",
        "app-",
        "app",
        "blue",
        "app-Blue",
        "app-blue.1",
        "app-" + "a" * 59,
        "app-" + "a" * 60,
    ],
    (*_TEMPLATE, "timeoutSeconds"): [0, 600, 601, -1, "60", 1.5],
    (*_TEMPLATE, "responseStartTimeoutSeconds"): [30, 61, -1],
    (*_TEMPLATE, "idleTimeoutSeconds"): [30, 61, -1],
    (*_TEMPLATE, "containerConcurrency"): [0, 1000, 1001, -1, "10"],
    (*_TEMPLATE, "containers"): [ABSENT, []],
    (*_TEMPLATE, "timeoutSecond"): [60],
    (*_CONTAINER, "image"): [ABSENT, "", "dev.local/x y"],
    (*_CONTAINER, "command"): ["run", [1]],
    (*_CONTAINER, "env"): [
        [{"name": "", "value": "x"}],
        [{"value": "x"}],
        [{"name": "A", "value": 1}],
        [{"name": "A=B", "value": "x"}],
        [{"name": "A", "value": "x", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}],
    ],
    (*_CONTAINER, "ports"): [
        [{"containerPort": 0}],
        [{"containerPort": 70000}],
        [{"containerPort": "8080"}],
        [{"containerPort": 8080}, {"containerPort": 8081}],
        [{"containerPort": 8080, "name": "http"}],
        [{"containerPort": 8022}],
    ],
    (*_CONTAINER, "readinessProbe"): [
        {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": -1},
        {"httpGet": {"path": "/readyz"}, "exec": {"command": ["true"]}},
        {"httpGet": {"path": "/readyz"}, "failureThreshold": 0},
        {"httpGet": {"path": "/readyz"}, "timeoutSeconds": "1"},
        {"httpGett": {"path": "/readyz"}},
    ],
    (*_CONTAINER, "livenessProbe"): [
        {"httpGet": {"path": "/healthz"}, "successThreshold": 2},
        {"periodSeconds": 10},
    ],
    (*_CONTAINER, "startupProbe"): [
        {"httpGet": {"path": "/healthz"}},
        {"httpGet": {"path": "/healthz", "port": 8080}},
        {"tcpSocket": {}},
        {"httpGet": {"path": "/healthz", "port": 8080}, "successThreshold": 2},
    ],
    (*_CONTAINER, "resources"): [
        {"requests": {"cpu": "plenty"}},
        {"limits": {"memory": "-1Mi"}},
        {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
    ],
    (*_CONTAINER, "securityContext"): [{"runAsNonRoot": "yes"}, {"runAsUser": -1}],
    (*_CONTAINER, "volumeMounts"): [[{"name": "nowhere", "mountPath": "/data"}]],
    (*_ANNOTATIONS, f"{_AUTOSCALING}/min-scale"): ["banana", "-1", "5", 1],
    (*_ANNOTATIONS, f"{_AUTOSCALING}/max-scale"): ["-1", "1.5"],
    (*_ANNOTATIONS, f"{_AUTOSCALING}/initial-scale"): ["1", "0", "-1"],
    (*_ANNOTATIONS, f"{_AUTOSCALING}/activation-scale"): ["0", "2"],
    (*_ANNOTATIONS, f"{_AUTOSCALING}/target"): ["0", "0.001", "many"],
    (*_ANNOTATIONS, f"{_AUTOSCALING}/target-utilization-percentage"): ["0", "101", "70"],
    (*_ANNOTATIONS, f"{_AUTOSCALING}/metric"): ["concurrency", "mood"],
    (*_ANNOTATIONS, f"{_AUTOSCALING}/window"): ["1s", "30s", "2h", "soon"],
    (*_ANNOTATIONS, f"{_AUTOSCALING}/scale-down-delay"): ["1m", "2h", "-1s"],
    (*_ANNOTATIONS, f"{_AUTOSCALING}/scale-to-zero-pod-retention-period"): ["1m", "2h", "later"],
    (*_ANNOTATIONS, f"{_AUTOSCALING}/panic-window-percentage"): ["20", "0.5", "101"],
    (*_ANNOTATIONS, f"{_AUTOSCALING}/panic-threshold-percentage"): ["150", "109"],
    (*_ANNOTATIONS, f"{_AUTOSCALING}/minscale"): ["1"],
    (*_ANNOTATIONS, "serving.knative.dev/progress-deadline"): ["5m", "0s", "-1s", "300"],
}

_DELIVERIES: Mapping[Path, Sequence[Any]] = {
    ("spec", "delivery", "retry"): [0, -1, "3", 1.5],
    ("spec", "delivery", "backoffPolicy"): ["linear", "random", ""],
    ("spec", "delivery", "backoffDelay"): ["PT1S", "1s", "PT-1S", "", "P1M"],
    ("spec", "delivery", "timeout"): ["PT1S", "PT0S", "5s"],
    ("spec", "delivery", "retries"): [3],
    ("spec", "delivery", "deadLetterSink"): [
        {},
        {"uri": "nowhere"},
        {"ref": {"kind": "Service", "name": "a"}},
    ],
}

_BROKER_CHANGES: Mapping[Path, Sequence[Any]] = {
    ("metadata", "name"): ["", "Default", ABSENT],
    ("metadata", "annotations", "eventing.knative.dev/broker.class"): [ABSENT],
    ("spec", "config"): [{"apiVersion": "v1", "kind": "ConfigMap"}, {"kind": "ConfigMap", "name": "c"}],
    **_DELIVERIES,
}

_TRIGGER: Mapping[Path, Sequence[Any]] = {
    ("metadata", "name"): ["", "Reaction", ABSENT],
    ("metadata", "annotations", "kafka.eventing.knative.dev/delivery.order"): ["unordered", "sorted"],
    ("spec", "broker"): [ABSENT, ""],
    ("spec", "subscriber"): [
        ABSENT,
        {},
        {"ref": {"kind": "Service", "name": "app"}},
        {"ref": {**APP, "name": ""}},
        {"uri": "/relative"},
    ],
    ("spec", "filters"): [
        [],
        [{}],
        [{"exact": {}}],
        [{"exact": {"type": ""}}],
        [{"exact": {"Type": "a"}}],
        [{"exact": {"type": 1}}],
        [{"prefix": {"type": "a."}, "suffix": {"type": ".c"}}],
        [{"all": []}],
        [{"any": [{"exact": {"type": "a"}}]}],
        [{"not": {}}],
        [{"equals": {"type": "a"}}],
        [{"cesql": "type = "}],
        [{"cesql": "UNKNOWN(type)"}],
    ],
    ("spec", "filter"): [{"attributes": {"type": "a"}}, {"attributes": {"Type": "a"}}],
    **_DELIVERIES,
}

_PING: Mapping[Path, Sequence[Any]] = {
    ("spec", "schedule"): ["", "* * * *", "61 * * * *", "@every 5m", "*/30 * * * * *"],
    ("spec", "timezone"): ["Europe/Berlin", "Middle/Earth"],
    ("spec", "data"): ["{", ABSENT],
    ("spec", "dataBase64"): ["e30="],
    ("spec", "contentType"): ["", "text/plain"],
    ("spec", "sink"): [ABSENT, {}, {"ref": {"kind": "Broker"}}],
    ("spec", "ceOverrides"): [{"extensions": {"Tenant": "a"}}, {"extensions": {"tenant": 1}}],
}

_BINDING: Mapping[Path, Sequence[Any]] = {
    ("spec", "subject"): [ABSENT, {}, {**APP, "name": ""}, {**APP, "namespace": "elsewhere"}],
    ("spec", "sink"): [ABSENT, {}, {"uri": "nowhere"}],
    ("spec", "ceOverrides"): [{"extensions": {"Tenant": "a"}}, {"extension": {}}],
}

CASES: Sequence[Case] = [
    *_cases("Service", _SERVICE),
    *_cases("Broker", _BROKER_CHANGES),
    *_cases("Trigger", _TRIGGER),
    *_cases("PingSource", _PING),
    *_cases("SinkBinding", _BINDING),
]

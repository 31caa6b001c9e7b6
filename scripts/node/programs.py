"""What a real Knative is built of: each program, the pinned module that it comes from, and its package.

The modules stand in `tools/`, each with its `go.mod` and `go.sum`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

KUBERNETES = "1.34.4"


@dataclass(frozen=True, slots=True)
class Program:
    """A Go program. `minutes` is about what building it takes on two cores when nothing is there yet."""

    name: str
    module: str
    package: str
    minutes: float
    variables: tuple[str, ...] = ()


def _kubernetes(name: str, minutes: float) -> Program:
    # Unstamped, the programs say that they are version 0.0, and Knative refuses to run on that.
    major, minor, _ = KUBERNETES.split(".")
    stamps = ("gitVersion", f"v{KUBERNETES}"), ("gitMajor", major), ("gitMinor", minor)
    return Program(
        name,
        "kubernetes",
        f"k8s.io/kubernetes/cmd/{name}",
        minutes,
        tuple(
            f"{package}.{variable}={value}"
            for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
            for variable, value in stamps
        ),
    )


def _knative(name: str, part: str, command: str, minutes: float) -> Program:
    return Program(name, "knative", f"knative.dev/{part}/cmd/{command}", minutes)


PROGRAMS: Mapping[str, Program] = {
    program.name: program
    for program in (
        Program("etcd", "etcd", "go.etcd.io/etcd/server/v3", 1),
        _kubernetes("kubectl", 2),
        _kubernetes("kube-apiserver", 4),
        _knative("serving-webhook", "serving", "webhook", 3),
        _knative("eventing-webhook", "eventing", "webhook", 0.5),
        _kubernetes("kube-controller-manager", 2),
        _kubernetes("kube-scheduler", 0.5),
        _kubernetes("kube-proxy", 0.5),
        _kubernetes("kubelet", 2),
        _knative("serving-activator", "serving", "activator", 0.5),
        _knative("serving-autoscaler", "serving", "autoscaler", 0.5),
        _knative("serving-controller", "serving", "controller", 1),
        _knative("serving-queue", "serving", "queue", 0.3),
        _knative("eventing-broker-filter", "eventing", "broker/filter", 0.5),
        _knative("eventing-broker-ingress", "eventing", "broker/ingress", 0.3),
        _knative("eventing-controller", "eventing", "controller", 0.5),
        _knative("eventing-mtchannel-broker", "eventing", "mtchannel_broker", 0.3),
        _knative("eventing-mtping", "eventing", "mtping", 0.3),
        _knative("eventing-channel-controller", "eventing", "in_memory/channel_controller", 0.3),
        _knative("eventing-channel-dispatcher", "eventing", "in_memory/channel_dispatcher", 0.3),
        Program("kourier", "kourier", "knative.dev/net-kourier/cmd/kourier", 0.5),
        Program("kn", "kn", "knative.dev/client/cmd/kn", 1),
        Program("coredns", "coredns", "github.com/coredns/coredns", 2),
        Program("pause", "pause", "hadal.invalid/scripts/node/tools/pause", 0.1),
    )
}
"""By name, in the order in which they are best built."""

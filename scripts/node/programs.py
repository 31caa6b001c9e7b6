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
    )
}
"""By name, in the order in which they are best built."""

"""CoreDNS: names of Services, for pods. It knows no server outside; other names don't exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .images import image_name
from .place import DNS_SERVICE

_NAME = {"name": "coredns", "namespace": "kube-system"}
_LABELS = {"k8s-app": "kube-dns"}
_PORT = 1053
"""Inside; a process without rights can't listen on 53."""
_COREFILE = f""".:{_PORT} {{
    errors
    health :8080
    ready :8181
    kubernetes cluster.local in-addr.arpa {{
        pods insecure
        ttl 5
    }}
    cache 5
    reload
}}
"""


def objects(program: Path) -> list[dict[str, Any]]:
    """All of it; `program` is CoreDNS as it was built."""
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _NAME},
        *_rights(),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _NAME, "data": {"Corefile": _COREFILE}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": _NAME,
            "spec": {
                "selector": {"matchLabels": _LABELS},
                "template": {"metadata": {"labels": _LABELS}, "spec": _pod(program)},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {**_NAME, "name": "kube-dns"},
            "spec": {
                "clusterIP": DNS_SERVICE,
                "selector": _LABELS,
                "ports": [
                    {"name": f"dns-{protocol.lower()}", "port": 53, "targetPort": _PORT, "protocol": protocol}
                    for protocol in ("UDP", "TCP")
                ],
            },
        },
    ]


def _rights() -> list[dict[str, Any]]:
    rbac = "rbac.authorization.k8s.io"
    watched = {"": ["endpoints", "services", "pods", "namespaces"], "discovery.k8s.io": ["endpointslices"]}
    return [
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "coredns"},
            "rules": [
                {"apiGroups": [group], "resources": kinds, "verbs": ["list", "watch"]}
                for group, kinds in watched.items()
            ],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "coredns"},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "coredns"},
            "subjects": [{"kind": "ServiceAccount", **_NAME}],
        },
    ]


def _pod(program: Path) -> dict[str, Any]:
    return {
        "serviceAccountName": "coredns",
        "dnsPolicy": "Default",
        "containers": [
            {
                "name": "coredns",
                "image": image_name(program),
                "args": ["-conf", "/etc/coredns/Corefile"],
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
                "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "runAsNonRoot": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
            }
        ],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }

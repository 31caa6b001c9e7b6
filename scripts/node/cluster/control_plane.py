"""etcd, the API server, and what keeps the cluster as its objects say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scripts.node.admission.apiserver import Kubectl

from .certificates import Authority, signing_key
from .daemons import Daemons
from .namespaces import Namespaces
from .place import (
    ADDRESS,
    CERTIFICATES,
    KUBECONFIG,
    KUBERNETES_SERVICE,
    NODE,
    PODS,
    SERVICES,
    STATE,
)

_STORE = "http://127.0.0.1:2379"
_READY_S = 90.0
_SERVER_NAMES = (
    ADDRESS,
    KUBERNETES_SERVICE,
    "127.0.0.1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


def start_control_plane(
    programs: Mapping[str, Path], authority: Authority, inside: Namespaces, daemons: Daemons
) -> Kubectl:
    """Start it, and return when the API server answers.

    Raises:
        NodeError: it doesn't.
    """
    tokens = signing_key(CERTIFICATES / "service-accounts.key")
    daemons.start(inside, "etcd", _etcd(programs))
    daemons.start(inside, "kube-apiserver", _apiserver(programs, authority, tokens))
    kubectl = Kubectl(programs["kubectl"], authority.kubeconfig(KUBECONFIG, "hadal-admin", "system:masters"))
    daemons.wait_until(
        "kube-apiserver", lambda: kubectl.run("get", "--raw", "/readyz").returncode == 0, _READY_S
    )
    for name in ("kube-controller-manager", "kube-scheduler"):
        config = authority.kubeconfig(STATE / f"{name}.kubeconfig", f"system:{name}")
        words = [str(programs[name]), f"--kubeconfig={config}", "--leader-elect=false"]
        if name == "kube-controller-manager":
            words += _controllers(authority, tokens)
        daemons.start(inside, name, words)
    return kubectl


def _etcd(programs: Mapping[str, Path]) -> list[str]:
    return [
        str(programs["etcd"]),
        f"--data-dir={STATE / 'etcd'}",
        "--unsafe-no-fsync",  # nothing of it outlives the node
        f"--listen-client-urls={_STORE}",
        f"--advertise-client-urls={_STORE}",
        "--listen-peer-urls=http://127.0.0.1:2380",
    ]


def _apiserver(programs: Mapping[str, Path], authority: Authority, tokens: Path) -> list[str]:
    serving = authority.server("kube-apiserver", _SERVER_NAMES)
    asks_kubelet = authority.client("kube-apiserver-kubelet", "kube-apiserver", "system:masters")
    return [
        str(programs["kube-apiserver"]),
        f"--etcd-servers={_STORE}",
        f"--bind-address={ADDRESS}",
        f"--advertise-address={ADDRESS}",
        "--secure-port=6443",
        f"--tls-cert-file={serving.certificate}",
        f"--tls-private-key-file={serving.key}",
        "--tls-min-version=VersionTLS13",
        f"--client-ca-file={authority.certificate}",
        f"--kubelet-certificate-authority={authority.certificate}",
        f"--kubelet-client-certificate={asks_kubelet.certificate}",
        f"--kubelet-client-key={asks_kubelet.key}",
        "--kubelet-preferred-address-types=InternalIP",  # the node's name is in no DNS
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={tokens}",
        f"--service-account-signing-key-file={tokens}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--anonymous-auth=false",
        f"--service-cluster-ip-range={SERVICES}",
    ]


def _controllers(authority: Authority, tokens: Path) -> list[str]:
    return [
        "--allocate-node-cidrs=true",
        f"--cluster-cidr={PODS}",
        f"--service-cluster-ip-range={SERVICES}",
        f"--cluster-name={NODE}",
        f"--root-ca-file={authority.certificate}",
        f"--service-account-private-key-file={tokens}",
        "--use-service-account-credentials=true",
        # A throw-away cluster: what has failed is looked at again soon.
        "--node-monitor-grace-period=40s",
    ]

"""What runs pods: containerd, the kubelet, and kube-proxy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from .certificates import Authority
from .cgroups import GROUP
from .daemons import Daemons
from .namespaces import Namespaces
from .place import (
    ADDRESS,
    CONTAINERD_SOCKET,
    DNS_SERVICE,
    NODE,
    PODS,
    STATE,
    images_folder,
)

_READY_S = 60.0
_CNI = STATE / "cni"


def start_containerd(pause_image: str, inside: Namespaces, daemons: Daemons) -> None:
    """Start it, and return when it answers.

    Raises:
        NodeError: it doesn't.
    """
    _CNI.mkdir()
    (_CNI / "10-bridge.conflist").write_text(json.dumps(_network()))
    config = STATE / "containerd.toml"
    config.write_text(_containerd_config(pause_image))
    daemons.start(inside, "containerd", ["containerd", f"--config={config}"])
    daemons.wait_until("containerd", CONTAINERD_SOCKET.exists, _READY_S)


def start_worker(
    programs: Mapping[str, Path], authority: Authority, inside: Namespaces, daemons: Daemons
) -> None:
    """Start the kubelet and kube-proxy; the node says by itself when it is ready."""
    resolver = STATE / "resolv.conf"  # of pods that don't ask the cluster's DNS: no server at all
    resolver.write_text("options ndots:1\n")
    kubelet = STATE / "kubelet.yaml"
    kubelet.write_text(json.dumps(_kubelet_config(authority, resolver)))
    asks = authority.kubeconfig(STATE / "kubelet.kubeconfig", f"system:node:{NODE}", "system:nodes")
    daemons.start(
        inside,
        "kubelet",
        [
            str(programs["kubelet"]),
            f"--config={kubelet}",
            f"--kubeconfig={asks}",
            f"--hostname-override={NODE}",
            f"--node-ip={ADDRESS}",
            f"--root-dir={STATE / 'kubelet'}",
        ],
    )
    asks = authority.kubeconfig(STATE / "kube-proxy.kubeconfig", "system:kube-proxy")
    proxy = STATE / "kube-proxy.yaml"
    proxy.write_text(json.dumps(_proxy_config(asks)))
    daemons.start(inside, "kube-proxy", [str(programs["kube-proxy"]), f"--config={proxy}"])


def _network() -> dict[str, object]:
    return {
        "cniVersion": "1.0.0",
        "name": "hadal",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "pods",
                "isGateway": True,
                "ipMasq": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(_CNI / "addresses"),
                    "ranges": [[{"subnet": PODS}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _containerd_config(pause_image: str) -> str:
    runtime = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""version = 2
root = "{images_folder()}"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]

[grpc]
address = "{CONTAINERD_SOCKET}"

[{runtime}]
sandbox_image = "{pause_image}"
restrict_oom_score_adj = true
disable_apparmor = true
max_concurrent_downloads = 1

[{runtime}.cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{_CNI}"

[{runtime}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[{runtime}.containerd.runtimes.runc.options]
SystemdCgroup = false
"""


def _kubelet_config(authority: Authority, resolver: Path) -> dict[str, object]:
    serving = authority.server("kubelet-server", (NODE, ADDRESS))
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{GROUP}",
        "failSwapOn": False,
        "failCgroupV1": False,
        "maxOpenFiles": 20_000,
        "maxPods": 100,
        "resolvConf": str(resolver),
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "imageGCHighThresholdPercent": 100,  # images are imported once and can't be pulled again
        "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "volumePluginDir": str(STATE / "volume-plugins"),
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
    }


def _proxy_config(kubeconfig: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "hostnameOverride": NODE,
        "mode": "iptables",
        "clusterCIDR": PODS,
        "conntrack": {"maxPerCore": 0},  # which would change the whole machine's
        "iptables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
    }

"""Where the node lives: its folder, its addresses, its files."""

from __future__ import annotations

from pathlib import Path

from scripts.node.build import cache_folder

STATE = Path("/var/lib/hadal-cluster")
"""All that one life of the node keeps; `down` removes it. Readable by root only."""
LOGS = STATE / "logs"
CERTIFICATES = STATE / "certificates"
KUBECONFIG = STATE / "kubeconfig"
CONTAINERD_SOCKET = STATE / "containerd.sock"

NODE = "hadal"
LINK = "hadal-cluster"
"""The host's end of the link to the node; the name of its cgroups too."""
HOST_ADDRESS = "10.78.0.1"
ADDRESS = "10.78.0.2"
PREFIX = 30
SERVER = f"https://{ADDRESS}:6443"
INGRESS = f"http://{ADDRESS}"
DOMAIN = f"{ADDRESS}.sslip.io"
"""Of the Services' hosts: a name of sslip.io leads to the address that stands in it."""
PODS = "10.244.0.0/16"
SERVICES = "10.96.0.0/16"
KUBERNETES_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"


def images_folder() -> Path:
    """The folder of containerd, which outlives the node: images are imported once."""
    return cache_folder() / "containerd"

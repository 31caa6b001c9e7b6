"""etcd and the API server as processes, and kubectl as the way to them."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.node.build import NodeError
from scripts.node.processes import running, wait_until

from .network import ADDRESS

SERVER = f"https://{ADDRESS}:6443"
_STORE = "http://127.0.0.1:2379"
_READY_S = 60.0
_CALL_S = 60.0


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl with the right to everything. `kubeconfig` is readable by its owner only."""

    program: Path
    kubeconfig: Path

    def run(
        self, *words: str, text: str | None = None, within_s: float = _CALL_S
    ) -> subprocess.CompletedProcess[str]:
        """What it says; `text` is its standard input."""
        return subprocess.run(
            [str(self.program), "--kubeconfig", str(self.kubeconfig), *words],
            check=False,
            input=text,
            capture_output=True,
            text=True,
            timeout=within_s,
        )

    def apply(self, *words: str, text: str | None = None) -> None:
        """Apply on the server's side.

        Raises:
            NodeError: it was refused.
        """
        done = self.run("apply", "--server-side", "--force-conflicts", *words, text=text)
        if done.returncode:
            raise NodeError(f"kubectl apply failed: {done.stderr.strip()}")


@contextmanager
def api_server(programs: Mapping[str, Path], folder: Path) -> Iterator[Kubectl]:
    """A fresh API server that runs until the block ends; keys, token and logs lie in `folder`.

    Raises:
        NodeError: it doesn't get ready.
    """
    kubectl = Kubectl(programs["kubectl"], folder / "kubeconfig")
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder)}
    with (
        running(_etcd(programs, folder), folder / "etcd.log", environment),
        running(_apiserver(programs, folder), folder / "apiserver.log", environment) as server,
    ):
        wait_until(
            "the API server isn't ready",
            lambda: kubectl.run("get", "--raw", "/readyz").returncode == 0,
            server,
            folder / "apiserver.log",
            _READY_S,
        )
        yield kubectl


def _etcd(programs: Mapping[str, Path], folder: Path) -> list[str]:
    return [
        str(programs["etcd"]),
        f"--data-dir={folder / 'etcd'}",
        "--unsafe-no-fsync",  # nothing of it is kept
        f"--listen-client-urls={_STORE}",
        f"--advertise-client-urls={_STORE}",
        "--listen-peer-urls=http://127.0.0.1:2380",
    ]


def _apiserver(programs: Mapping[str, Path], folder: Path) -> list[str]:
    token = secrets.token_hex(32)
    certificates = folder / "certificates"  # the server makes its own there
    _write_private(folder / "tokens.csv", f"{token},admin,admin,system:masters\n")
    _write_private(folder / "kubeconfig", _kubeconfig(token, certificates / "apiserver.crt"))
    key = _service_account_key(folder / "service-accounts.key")
    return [
        str(programs["kube-apiserver"]),
        f"--etcd-servers={_STORE}",
        f"--bind-address={ADDRESS}",
        f"--advertise-address={ADDRESS}",
        "--secure-port=6443",
        f"--cert-dir={certificates}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--enable-aggregator-routing=true",  # webhooks are called at their endpoints: there is no kube-proxy
    ]


def _kubeconfig(token: str, certificate: Path) -> str:
    return f"""apiVersion: v1
kind: Config
clusters: [{{name: admission, cluster: {{server: "{SERVER}", certificate-authority: "{certificate}"}}}}]
users: [{{name: admin, user: {{token: "{token}"}}}}]
contexts: [{{name: admission, context: {{cluster: admission, user: admin}}}}]
current-context: admission
"""


def _service_account_key(path: Path) -> Path:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    _write_private(path, pem.decode())
    return path


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")

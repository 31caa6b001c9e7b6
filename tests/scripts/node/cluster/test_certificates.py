"""The cluster's own authority."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID

from scripts.node.cluster import certificates
from scripts.node.cluster.certificates import Authority, Pair


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    monkeypatch.setattr(certificates, "CERTIFICATES", tmp_path)
    return Authority()


def handshake(authority: Authority, server: Pair, client: Pair | None, host: str) -> x509.Certificate:
    """Whom the server knows the client to be, after both have looked at each other's certificate."""
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate))
    serving.load_cert_chain(server.certificate, server.key)
    serving.verify_mode = ssl.CERT_REQUIRED
    asking = ssl.create_default_context(cafile=str(authority.certificate))
    if client is not None:
        asking.load_cert_chain(client.certificate, client.key)
    near, far = socket.socketpair()
    seen: list[bytes | None] = []

    def serve() -> None:
        try:
            with serving.wrap_socket(far, server_side=True) as connection:
                seen.append(connection.getpeercert(binary_form=True))
                connection.sendall(b"!")
        except ssl.SSLError:
            far.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with asking.wrap_socket(near, server_hostname=host) as connection:
            assert connection.recv(1) == b"!"
    finally:
        near.close()
        thread.join()
    assert seen[0] is not None
    return x509.load_der_x509_certificate(seen[0])


def test_a_client_is_known_by_its_name_and_its_groups(authority: Authority) -> None:
    server = authority.server("server", ("kubernetes.default", "10.96.0.1"))
    client = authority.client("kubelet", "system:node:hadal", "system:nodes")
    subject = handshake(authority, server, client, "kubernetes.default").subject
    assert subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "system:node:hadal"
    assert subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "system:nodes"


def test_a_server_is_known_by_its_address_too_and_by_no_other_name(authority: Authority) -> None:
    server = authority.server("server", ("kubernetes.default", "10.96.0.1"))
    client = authority.client("admin", "hadal-admin", "system:masters")
    handshake(authority, server, client, "10.96.0.1")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(authority, server, client, "elsewhere.example")


def test_a_client_of_another_authority_is_refused(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = authority.server("server", ("kubernetes.default",))
    (tmp_path / "other").mkdir()
    monkeypatch.setattr(certificates, "CERTIFICATES", tmp_path / "other")
    stranger = Authority().client("stranger", "hadal-admin", "system:masters")
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        handshake(authority, server, stranger, "kubernetes.default")


def test_keys_and_kubeconfigs_are_their_owners_only(authority: Authority, tmp_path: Path) -> None:
    path = authority.kubeconfig(tmp_path / "kubeconfig", "hadal-admin", "system:masters")
    (user,) = yaml.safe_load(path.read_text())["users"]
    for secret in (path, Path(user["user"]["client-key"])):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert not (tmp_path / "ca.key").exists()
